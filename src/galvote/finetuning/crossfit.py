"""What heads say of galaxies that they did not learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int

from galvote.calibration import Calibration, ClassSets, Intervals, OodDetector
from galvote.calibration.intervals import Ends
from galvote.finetuning.head import FOLDS, Head, Known, fit_head, fit_temperatures, to_fractions
from galvote.inference.calibrate import Measured, measure

LEVEL = 0.9
FALSE_ALARMS = 0.015

Fractions = Float[np.ndarray, "galaxy answer"]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What heads that did not learn from a galaxy say of it."""

    fold: Int[np.ndarray, " galaxy"]  # in which part each galaxy is left out
    logits: Fractions  # outputs of the linear layers
    fractions: Fractions  # cumulative, calibrated on the other parts

    def others(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the row numbers that are not in each part, and those that are."""
        return [
            (np.flatnonzero(self.fold != one), np.flatnonzero(self.fold == one))
            for one in range(self.fold.max() + 1)
        ]


def leave_out(
    known: Known,
    seed: int = 0,
    *,
    fit: Callable[[Known], Head] = fit_head,
    learn: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
) -> OutOfFold:
    """Predict each galaxy with a head that learned from the others.

    `fit` learns, from those of the others' rows that `learn` chooses; the seed is that of the draw of the
    parts.
    """
    fold, logits = np.zeros(len(known), int), np.zeros_like(known.shares)
    for number, (others, own) in enumerate(known.folds(FOLDS, seed)):
        head = fit(known.select(learn(others)))
        fold[own], logits[own] = number, head.logits(known.features[0, own])
    return with_temperatures(known, fold, logits)


def with_temperatures(known: Known, fold: Int[np.ndarray, " galaxy"], logits: Fractions) -> OutOfFold:
    """Return predictions, each calibrated by a temperature that the other parts' labels give.

    Known are the labels, in which part each galaxy was left out, and what was said of it.
    """
    found = OutOfFold(fold, logits, logits)
    temperatures = np.ones((len(known), len(known.tree.questions)))
    for others, own in found.others():
        temperatures[own] = fit_temperatures(known.select(others), logits[others])
    return replace(found, fractions=to_fractions(known.tree, logits, temperatures))


def cross_intervals(
    found: OutOfFold, actual: Fractions, fit: Callable[[Fractions, Fractions], Ends] = Intervals.fit
) -> tuple[Float[np.ndarray, "galaxy end"], Float[np.ndarray, "galaxy end"]]:
    """Return the ends of intervals that are calibrated on the other parts' galaxies.

    `fit` calibrates them, from predictions and labels, which are cumulative fractions; NaN where unknown.
    """
    parts = [
        fit(found.fractions[others], actual[others]).ends(found.fractions[own], LEVEL)
        for others, own in found.others()
    ]
    order = np.argsort(np.concatenate([own for _, own in found.others()]))
    low, high = (np.concatenate(ends)[order] for ends in zip(*parts, strict=True))
    return low, high


def cross_sets(found: OutOfFold, actual: Fractions) -> np.ndarray:
    """Return which classes each galaxy may have, so that `LEVEL` of the sets hold the given one.

    They are what `ClassSets` hold that are calibrated on the other parts' galaxies. Of the actual classes,
    that which is given is 1 and the others are 0.
    """
    sets = np.zeros(actual.shape, bool)
    for others, own in found.others():
        calibrated = ClassSets.fit(found.fractions[others], actual[others])
        sets[own] = calibrated.hold(found.fractions[own], LEVEL)
    return sets


def measure_distances(
    found: OutOfFold, features: Sequence[Float32[np.ndarray, "galaxy feature"]]
) -> Float[np.ndarray, " galaxy"]:
    """Return how far each galaxy's image is from those of the other parts.

    Features are those of all galaxies by part, by an encoder that did not learn from the part.
    """
    distances = np.zeros(len(found.fold))
    for (others, own), seen in zip(found.others(), features, strict=True):
        detector = OodDetector.fit(seen[others], seen[own], axes=_axes(len(distances)))
        distances[own] = detector.distances(seen[own])
    return distances


def calibrate(
    known: Known,
    found: OutOfFold,
    actual: Fractions,
    features: Float32[np.ndarray, "galaxy feature"],
    distances: Float[np.ndarray, " galaxy"],
    *,
    classes: bool,
) -> tuple[Calibration, Measured]:
    """Calibrate a model with out-of-fold predictions, and describe the images that it learned from.

    Labels (`actual`) are cumulative fractions, NaN where unknown; with `classes`, each is one class. Features
    are the encoder's, unscaled, distances those of `measure_distances`. Returned is what
    `galvote.inference.calibrate.measure` does; distances from the images are of parts that are left out.
    """
    ood = OodDetector.fit(features, features, axes=_axes(len(features)))
    ood = ood.with_threshold(distances, FALSE_ALARMS)
    ood = replace(ood, held_out=np.sort(distances).astype(np.float32)[:: len(distances) // 1000 + 1])
    calibration, measured = measure(
        known.tree, found.fractions, actual, features, features, FALSE_ALARMS, classes=classes
    )
    flagged = float((distances > ood.threshold).mean())
    return replace(calibration, ood=ood), replace(measured, flagged=flagged)


def _axes(galaxies: int) -> int:
    return max(1, min(128, galaxies // 4))
