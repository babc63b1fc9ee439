"""Galaxies to try things with: images of SDSS that volunteers agree on. README.md has their credit."""

import csv
from functools import cache
from pathlib import Path

from galvote.errors import GalvoteError

FOLDER = Path(__file__).parent


def example_images(kind: str | None = None) -> tuple[Path, ...]:
    """List images of galaxies that come with galvote, which no shipped model was trained on.

    Parameters
    ----------
    kind
        Only those that volunteers say are so, such as ``"barred spiral"``; see `example_kinds`.

    Returns
    -------
    JPEGs of 424 × 424 pixels at the scale of Galaxy Zoo 2. The survey's fractions, by their names, are in
    ``weighted.csv`` and ``debiased.csv`` beside them.

    Raises
    ------
    GalvoteError
        If there is none of that kind.
    """
    kinds = example_kinds()
    found = tuple(path for path, own in kinds.items() if kind in (None, own))
    if not found:
        raise GalvoteError(f"No example is a {kind!r}; there are {', '.join(dict.fromkeys(kinds.values()))}.")
    return found


@cache
def example_kinds() -> dict[Path, str]:
    """Return the kind of each example, by its path."""
    with (FOLDER / "examples.csv").open(newline="") as file:
        return {FOLDER / f"{row['id']}.jpg": row["kind"] for row in csv.DictReader(file)}
