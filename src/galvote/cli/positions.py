"""Options of the verbs that look galaxies up by position, in a field or at a cutout service."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galvote.errors import CatalogueError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool
    from rich.console import Console

    from galvote.catalogue import Sources
    from galvote.catalogue.positions import Positions
    from galvote.images.sky import SkyField


class SurveyName(StrEnum):
    """Whose cutout service is asked."""

    sdss = "sdss"
    legacy = "legacy"


CatalogueOption = Annotated[
    Path | None,
    typer.Option("--catalogue", help="Table of positions: ra and dec in degrees, and r90 in arcseconds."),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option("--field", help="FITS image with a WCS that shows them; three times for g, r and i."),
]
SurveyOption = Annotated[
    SurveyName | None, typer.Option("--survey", help="Or the survey whose cutout service is asked.")
]
ServiceUrl = Annotated[str | None, typer.Option(help="Another address of the service.")]
SizeColumn = Annotated[
    str | None, typer.Option(help="Column of the catalogue with r90; petroR90_r or r90 if not given.")
]
Arcsec = Annotated[
    float | None,
    typer.Option(min=0.01, help="Width of the pictures of galaxies whose r90 is unknown, in arcseconds."),
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for what is fetched; galvote in your cache folder if not given.")
]


@dataclass(frozen=True)
class Sky:
    """Where the galaxies of a catalogue are looked up, and on what terms."""

    field: list[str] | None
    survey: SurveyName | None
    service_url: str | None = None
    size_column: str | None = None
    arcsec: float | None = None
    cache: Path | None = None
    rate: float = 2.0
    attempts: int = 5
    timeout: float = 30.0


def look_up(context: typer.Context, catalogue: Path, sky: Sky, console: Console) -> tuple[Positions, Sources]:
    """Return the catalogue's galaxies, with sizes, and their pictures; files are closed with the command.

    Sizes that the catalogue does not know are such that the pictures are ``sky.arcsec`` wide. Without that,
    they are measured in a field, while a survey's galaxies must have them.
    """
    import numpy as np

    from galvote.catalogue.positions import read_positions
    from galvote.images.services import CutoutService
    from galvote.images.sky import FRAME_RADII, SkyField

    if bool(sky.field) == bool(sky.survey):
        raise CatalogueError(f"Say where the galaxies of {catalogue} are looked up: --field or --survey.")
    positions = read_positions(catalogue, size_column=sky.size_column)
    unknown = ~(positions.r90 > 0)
    if sky.arcsec is not None:
        positions = positions.with_r90(np.where(unknown, sky.arcsec / FRAME_RADII, positions.r90))
    if sky.field:
        image = context.with_resource(SkyField.open(sky.field))
        if sky.arcsec is None and unknown.any():
            positions = _measured(positions, unknown, image, console)
        return positions, positions.sources(image)
    if sky.arcsec is None and unknown.all():
        raise CatalogueError(
            f"{catalogue} says of no galaxy how large it is: name its column of r90 with --size-column, or "
            "one width of all pictures with --arcsec."
        )
    service = CutoutService(
        str(sky.survey),
        sky.cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galvote",
        url=sky.service_url,
        rate=sky.rate,
        attempts=sky.attempts,
        timeout=sky.timeout,
    )
    return positions, positions.sources(service)


def _measured(
    positions: Positions, unknown: Bool[np.ndarray, " galaxy"], image: SkyField, console: Console
) -> Positions:
    """Return the positions with sizes that are measured in the image where they are unknown."""
    import numpy as np

    from galvote.cli.progress import progress_bar

    r90 = np.where(unknown, np.nan, positions.r90)
    with progress_bar(console) as progress:
        rows = np.flatnonzero(unknown)
        found = image.measure_r90(positions.ra[rows], positions.dec[rows])
        for row, size in progress.track(zip(rows, found, strict=True), len(rows), description="measuring"):
            r90[row] = size
    measured = int(np.isfinite(r90[rows]).sum())
    console.print(
        f"The sizes of {measured} galaxies were measured; of {len(rows) - measured} they are unknown."
    )
    return positions.with_r90(r90)
