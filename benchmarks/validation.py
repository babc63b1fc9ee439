"""Galaxies that are scored, and how much of a score, or of a difference between two, is luck."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galvote.images import Geometry, PackedStore
from galvote.labels import read_labels, read_votes
from galvote.metrics import column_means, squared_errors

DRAWS = 2000


@dataclass(frozen=True)
class Galaxies:
    """Galaxies of one split that have votes in every column.

    Parameters
    ----------
    cutouts
        uint8, (galaxy, y, x, RGB), of one geometry.
    actual
        The volunteers' cumulative fractions, (galaxy, answer).
    training_mean
        Mean votes of the split ``train``: what the mean predictor says.
    """

    ids: tuple[str, ...]
    cutouts: np.ndarray
    geometry: Geometry
    actual: np.ndarray
    training_mean: np.ndarray


def load_galaxies(store: Path, votes: Path, splits: Path) -> Galaxies:
    """Read the galaxies of the split ``validation`` from a packed store and the challenge's tables."""
    packed, known, split = PackedStore.open(store), read_votes([votes]), read_labels(splits, "split")
    row_of = {galaxy: row for row, galaxy in enumerate(packed.ids)}
    chosen = [
        row
        for row, galaxy in enumerate(known.ids)
        if split.get(galaxy) == "validation" and galaxy in row_of and known.complete[row]
    ]
    ids = tuple(known.ids[row] for row in chosen)
    training = [row for row, galaxy in enumerate(known.ids) if split.get(galaxy) == "train"]
    return Galaxies(
        ids,
        np.asarray(packed.cutouts[[row_of[galaxy] for galaxy in ids]]),
        packed.geometry,
        np.asarray(known.fractions[chosen], dtype=np.float64),
        column_means(np.asarray(known.fractions[training], dtype=np.float64)),
    )


def galaxy_errors(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return each galaxy's mean squared error, (galaxy,)."""
    return np.asarray(squared_errors(predicted, actual).mean(axis=1))


def rmse(errors: np.ndarray) -> float:
    """Return the RMSE of one prediction, (galaxy,), or the mean RMSE of several, (prediction, galaxy)."""
    return float(np.sqrt(errors.mean(axis=-1)).mean())


def interval(errors: np.ndarray, reference: np.ndarray | None = None) -> tuple[float, float]:
    """Return the central 95 % of `rmse`, or of its difference from a reference, over galaxies drawn again.

    Parameters
    ----------
    reference
        Errors of the same galaxies in the same order: each draw takes the same galaxies of both, so that what
        makes a galaxy hard for both does not count.
    """
    galaxies = errors.shape[-1]
    random = np.random.default_rng(0)
    times = random.multinomial(galaxies, np.full(galaxies, 1 / galaxies), size=DRAWS).T / galaxies
    drawn = np.sqrt(np.atleast_2d(errors) @ times).mean(axis=0)
    if reference is not None:
        drawn = drawn - np.sqrt(np.atleast_2d(reference) @ times).mean(axis=0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
