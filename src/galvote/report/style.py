"""The one style sheet, and its colours for whatever is drawn without it."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def style_sheet() -> str:
    """Return the CSS of reports and pages; both have a light and a dark form."""
    return (files("galvote.report") / "style.css").read_text(encoding="utf-8")


@cache
def palette(*, dark: bool = False) -> Mapping[str, str]:
    """Return the style sheet's colours as ``#rrggbb`` by their names, such as ``ink``."""
    schemes = re.findall(r":root \{(.*?)\}", style_sheet(), re.DOTALL)
    return MappingProxyType(dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", schemes[dark])))
