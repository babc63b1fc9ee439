"""Options of the verbs that look galaxies up by position, in a field or at a cutout service."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from galvote.images.services import CutoutService

SKY = "Where galaxies are looked up by position"


class SurveyName(StrEnum):
    """Whose cutout service is asked."""

    sdss = "sdss"
    legacy = "legacy"


CATALOGUE_HELP = "Table of positions: ra and dec in degrees, and r90 in arcseconds; or of ids and r90."
FieldOption = Annotated[
    list[str] | None,
    typer.Option("--field", help="FITS image with a WCS that shows them; three times for g, r and i."),
]
SurveyOption = Annotated[
    SurveyName | None, typer.Option("--survey", help="Or the survey whose cutout service is asked.")
]
ServiceUrl = Annotated[str | None, typer.Option(help="Another address of the service.", rich_help_panel=SKY)]
SizeColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of the catalogue with r90; petroR90_r or r90 if not given.", rich_help_panel=SKY
    ),
]
Arcsec = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Width of the images of galaxies whose r90 is unknown, in arcseconds.",
        rich_help_panel=SKY,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for what is fetched; galvote in your cache folder if not given.", rich_help_panel=SKY
    ),
]


def open_service(survey: SurveyName | None, **settings: Any) -> CutoutService | None:
    """Return a survey's cutout service, if one is asked for; None leaves a setting at its default."""
    from galvote.images.services import CutoutService

    if survey is None:
        return None
    given = {name: value for name, value in settings.items() if value is not None}
    return CutoutService(str(survey), **given)
