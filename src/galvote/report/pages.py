"""Pages from their templates."""

from functools import cache
from math import log1p
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from galvote.report.style import style_sheet


def fill_template(name: str, **values: Any) -> str:
    """Return a file of ``templates`` with its gaps filled; values are escaped unless it calls them safe."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("galvote.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style_sheet"] = style_sheet
    environment.filters["log1p"] = log1p
    environment.filters["px"] = lambda pixels: f"{pixels:.1f}"
    environment.filters["words"] = lambda name: name.replace("_", " ")
    return environment
