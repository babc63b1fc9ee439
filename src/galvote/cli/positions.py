"""Options of the verbs that look galaxies up by position, in a field or at a cutout service."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from galvote.errors import CatalogueError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool
    from rich.console import Console

    from galvote.images.services import CutoutService
    from galvote.images.sky import SkyField
    from galvote.io import Sources
    from galvote.io.positions import Positions


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
    """A catalogue of positions, where its galaxies are looked up, and on what terms."""

    catalogue: Path | None
    field: list[str] | None
    survey: SurveyName | None
    service_url: str | None = None
    size_column: str | None = None
    arcsec: float | None = None
    cache: Path | None = None
    rate: float = 2.0
    attempts: int = 5
    timeout: float = 30.0

    @property
    def asked(self) -> bool:
        """Whether galaxies are to be looked up."""
        return bool(self.catalogue or self.field or self.survey)

    def read(self) -> Positions:
        """Read the catalogue, or raise `CatalogueError` if the options contradict each other."""
        from galvote.io.positions import read_positions

        if self.catalogue is None:
            raise CatalogueError("Say which galaxies: --catalogue is a table of their positions.")
        if bool(self.field) == bool(self.survey):
            raise CatalogueError(
                f"Say where the galaxies of {self.catalogue} are looked up: either --field or --survey."
            )
        return read_positions(self.catalogue, size_column=self.size_column)

    def look_up(self, positions: Positions, console: Console) -> tuple[Positions, Sources]:
        """Return the galaxies, with sizes, and their pictures.

        Sizes that the catalogue does not know are such that the pictures are ``arcsec`` wide. Without that,
        they are measured in a field, while a survey's galaxies must have them.
        """
        import numpy as np

        from galvote.images import FRAME_WIDTH
        from galvote.images.services import CutoutService
        from galvote.images.sky import SkyField

        unknown = ~(positions.r90 > 0)
        if self.arcsec is not None:
            positions = positions.with_r90(np.where(unknown, self.arcsec / FRAME_WIDTH, positions.r90))
        if self.field:
            image = SkyField.open(self.field)
            if self.arcsec is None and unknown.any():
                positions = _measured(positions, unknown, image, console)
            return positions, positions.sources(image)
        if self.arcsec is None and unknown.all():
            raise CatalogueError(
                f"{self.catalogue} says of no galaxy how large it is: name its column of r90 with "
                "--size-column, or one width of all pictures with --arcsec."
            )
        service = CutoutService(
            str(self.survey),
            self.cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galvote",
            url=self.service_url,
            rate=self.rate,
            attempts=self.attempts,
            timeout=self.timeout,
        )
        _close_at_ctrl_c(service)
        return positions, positions.sources(service)


def _close_at_ctrl_c(service: CutoutService) -> None:
    """Let Ctrl-C end the pauses of the threads that ask, for which the command would wait."""
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        service.close()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, stop)


def _measured(
    positions: Positions, unknown: Bool[np.ndarray, " galaxy"], image: SkyField, console: Console
) -> Positions:
    """Return the positions with sizes that are measured in the image where they are unknown."""
    import numpy as np

    from galvote.cli.progress import progress_bar

    rows = np.flatnonzero(unknown)
    r90 = np.where(unknown, np.nan, positions.r90)
    with progress_bar(console) as progress:
        found = image.measure_r90(positions.ra[rows], positions.dec[rows])
        r90[rows] = list(progress.track(found, len(rows), description="measuring"))
    measured = int(np.isfinite(r90[rows]).sum())
    console.print(
        f"The sizes of {measured} galaxies were measured; of {len(rows) - measured} they are unknown."
    )
    return positions.with_r90(r90)
