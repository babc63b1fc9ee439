"""Simulated galaxies as a folder in the challenge's layout."""

import csv
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import simplejpeg
from jaxtyping import Float

from galvote.images.geometry import R90_PIXELS
from galvote.io.atomic import refuse_existing, refuse_foreign, write_whole, writing
from galvote.io.sources import say_width
from galvote.simulate.galaxies import SimulatedGalaxy
from galvote.simulate.sky import WIDTHS
from galvote.simulate.volunteers import TREE, conditional_fractions
from galvote.trees import to_cumulative

IMAGES = "images_training"
VOTES = "training_solutions.csv"
COUNTS = "vote_counts.csv"
TRUTH = "true_fractions.csv"
_TABLES = (VOTES, COUNTS, TRUTH)


def write_galaxies(
    directory: Path,
    galaxies: Iterable[SimulatedGalaxy],
    *,
    overwrite: bool = False,
    on_progress: Callable[[SimulatedGalaxy], None] | None = None,
) -> None:
    """Write galaxies as the challenge lays out its folder, one galaxy in memory at a time.

    ``images_training/<GalaxyID>.jpg``; ``training_solutions.csv``, cumulative fractions as the challenge has
    them; ``vote_counts.csv``, counts and conditional fractions as the survey has them (0 where nobody was
    asked); ``true_fractions.csv``, the cumulative fractions of infinitely many volunteers. The tables appear
    when all galaxies are written; stopped before, or where there is no room, nothing is left.

    Parameters
    ----------
    directory, galaxies
        New or empty, unless ``overwrite`` is set; and what to write, one after the other.
    overwrite, on_progress
        Replace the galaxies of an earlier simulation; called with each galaxy after it was written.

    Raises
    ------
    OutputError
        If the directory holds anything and may not be overwritten, or holds something else than simulated
        galaxies, or cannot be written to.
    """
    _refuse_taken(directory, overwrite)
    _clear(directory)
    try:
        with writing(directory):
            _write_all(directory, galaxies, on_progress)
    except BaseException:  # Ctrl-C, too
        _clear(directory)
        raise


def _write_all(
    directory: Path,
    galaxies: Iterable[SimulatedGalaxy],
    on_progress: Callable[[SimulatedGalaxy], None] | None,
) -> None:
    (directory / IMAGES).mkdir(parents=True, exist_ok=True)
    partial = {name: directory / f"{name}.partial" for name in _TABLES}
    with ExitStack() as stack:
        tables = {
            name: csv.writer(stack.enter_context(path.open("w", encoding="utf-8", newline="")))
            for name, path in partial.items()
        }
        tables[VOTES].writerow(("GalaxyID", *TREE.columns))
        tables[TRUTH].writerow(("GalaxyID", *TREE.columns))
        published = zip(*(TREE.published_columns(form) for form in ("count", "fraction")), strict=True)
        tables[COUNTS].writerow(("objid", "total_votes", *(name for pair in published for name in pair)))
        for galaxy in galaxies:
            _write_image(directory / IMAGES / f"{galaxy.id}.jpg", galaxy)
            truth = to_cumulative(TREE, galaxy.probabilities[None])[0]
            shares = np.nan_to_num(conditional_fractions(galaxy.counts))
            votes = [value for pair in zip(galaxy.counts, _rounded(shares), strict=True) for value in pair]
            tables[VOTES].writerow((galaxy.id, *_rounded(galaxy.fractions)))
            tables[TRUTH].writerow((galaxy.id, *_rounded(truth)))
            tables[COUNTS].writerow((galaxy.id, galaxy.counts.sum(), *votes))
            if on_progress:
                on_progress(galaxy)
    for name, path in partial.items():
        path.replace(directory / name)


def _refuse_taken(directory: Path, overwrite: bool) -> None:
    refuse_foreign(directory, f"{TRUTH}*", "simulated galaxies")
    refuse_existing(*directory.glob(f"{TRUTH}*"), overwrite=overwrite)


def _clear(directory: Path) -> None:
    """Remove galaxies and tables, whole or not, and folders that are empty then."""
    for path in (directory / IMAGES).glob("[0-9]" * 6 + ".jpg"):
        path.unlink()
    # The truth goes last: it is what tells that the rest may be removed.
    for name in _TABLES:
        (directory / f"{name}.partial").unlink(missing_ok=True)
        (directory / name).unlink(missing_ok=True)
    with suppress(OSError):
        (directory / IMAGES).rmdir()
        directory.rmdir()


def _write_image(path: Path, galaxy: SimulatedGalaxy) -> None:
    jpeg = simplejpeg.encode_jpeg(galaxy.image, quality=92, colorspace="RGB")
    write_whole(path, say_width(jpeg, WIDTHS[len(galaxy.image)] / R90_PIXELS))


def _rounded(values: Float[np.ndarray, " answer"]) -> list[str]:
    return [f"{value:.6f}" for value in values]
