"""Pages from their templates."""

from functools import cache
from math import log1p
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from galvote.report.style import style_sheet


def fill_template(name: str, **values: Any) -> str:
    """Return a file of ``templates`` with its gaps filled; values are escaped unless it calls them safe."""
    return _environment().get_template(name).render(values)


def say_number(value: float) -> str:
    """Return a number of any size with three decimals or, if it is large or very small, three digits or so.

    Parameters
    ----------
    value
        A score, perhaps in a user's unit.
    """
    size = abs(value)
    if size and not 0.01 <= size < 1e6:
        return f"{value:.3g}"
    return f"{value:,.{3 - sum(size >= least for least in (10, 100, 1000))}f}"


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
    environment.filters["say"] = say_number
    environment.filters["words"] = lambda name: name.replace("_", " ")
    return environment
