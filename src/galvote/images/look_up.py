"""Galaxies by position: their images in a FITS field, or from a survey's cutout service."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

from galvote.errors import CatalogueError
from galvote.images.geometry import FRAME_WIDTH
from galvote.images.services import CutoutService
from galvote.images.sky import SkyField
from galvote.io.bands import Look
from galvote.io.columns import say_count
from galvote.io.positions import Positions
from galvote.io.sources import Sources


@contextmanager
def look_up(
    positions: Positions,
    *,
    field: str | Path | Sequence[str | Path] | None = None,
    survey: str | CutoutService | None = None,
    arcsec: float | None = None,
    look: Look | None = None,
    report: Callable[[str], None] = lambda said: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Positions, Sources]]:
    """Yield the galaxies with the sizes that they now have, and their images in a field or of a survey.

    None is looked up before it is read. Where the width `arcsec` is not given, unknown r90 are measured in a
    field. In the end, the field is closed and the service is not asked any more; after Ctrl-C in the main
    thread, at once.
    """
    if (field is None) == (survey is None):
        raise CatalogueError(
            "Say where the galaxies are looked up: either --field or --survey (in Python, field= or survey=)."
        )
    unknown = ~(positions.r90 > 0)
    if arcsec is not None:
        positions = positions.with_r90(np.where(unknown, arcsec / FRAME_WIDTH, positions.r90))
    if field is not None:
        with SkyField.open(field, look) as image:
            if arcsec is None and unknown.any():
                positions = _measure(positions, np.flatnonzero(unknown), image, report, on_progress)
            yield positions, positions.sources(image, look)
        return
    if arcsec is None and unknown.all() and len(positions):
        raise CatalogueError(
            "The catalogue says of no galaxy how large it is: name its column of r90 with --size-column, or "
            "one width of all images with --arcsec (in Python, size_column= and arcsec=)."
        )
    service = CutoutService(survey) if isinstance(survey, str) else survey
    assert service is not None
    with _closed_at_ctrl_c(service):
        yield positions, positions.sources(service)


def _measure(
    positions: Positions,
    rows: np.ndarray,
    image: SkyField,
    report: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None,
) -> Positions:
    """Return the positions with the sizes of some rows measured in the image."""
    r90 = positions.r90.copy()
    for done, (row, size) in enumerate(
        zip(rows, image.measure_r90(positions.ra[rows], positions.dec[rows]), strict=True), start=1
    ):
        r90[row] = size
        if on_progress is not None:
            on_progress(done, len(rows))
    measured = int(np.isfinite(r90[rows]).sum())
    report(f"Sizes measured of {measured:,} of {say_count(len(rows), 'galaxy')}.")
    return positions.with_r90(r90)


@contextmanager
def _closed_at_ctrl_c(service: CutoutService) -> Iterator[None]:
    """Close a service at the end, and at Ctrl-C before those who ask are waited for."""
    before = signal.getsignal(signal.SIGINT)
    in_charge = callable(before) and threading.current_thread() is threading.main_thread()

    def stop(number: int, frame: FrameType | None) -> None:
        service.close()
        if callable(before):
            before(number, frame)

    if in_charge:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        service.close()
        if in_charge:
            signal.signal(signal.SIGINT, before)
