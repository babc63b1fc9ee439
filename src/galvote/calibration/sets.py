"""Sets of classes that hold the right one as often as they promise."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from galvote.calibration.conformal import upper_quantile
from galvote.calibration.intervals import LEVELS, check_level

Fractions = Float[np.ndarray, "galaxy answer"]


@dataclass(frozen=True, eq=False)
class ClassSets:
    """Which classes a galaxy may have, at every level.

    Parameters
    ----------
    levels
        Increasing, in (0, 1).
    least
        The probability from which a class belongs to the set, in [0, 1].

    Notes
    -----
    The least ambiguous sets of Sadinle, Lei & Wasserman 2019, JASA 114, 223.
    """

    levels: Float32[np.ndarray, " level"]
    least: Float32[np.ndarray, " level"]

    @classmethod
    def fit(cls, predicted: Fractions, actual: Fractions) -> "ClassSets":
        """Calibrate on galaxies that the model was not trained on.

        Parameters
        ----------
        predicted
            Probabilities of the classes, the answers to one question.
        actual
            1 for the class, 0 for the others; NaN where unknown.
        """
        given = (predicted * actual).sum(axis=1)
        least = 1 - upper_quantile(1 - given[np.isfinite(given)], LEVELS)
        # Rounded down, so that the galaxy that gives the threshold is within it.
        lower = np.nextafter(np.maximum(least, 0).astype(np.float32), np.float32(-1))
        return cls(LEVELS.astype(np.float32), np.maximum(lower, 0).astype(np.float32))

    def hold(self, predicted: Fractions, level: float) -> Bool[np.ndarray, "galaxy answer"]:
        """Return which classes belong to the set of each galaxy; the likeliest always does.

        Parameters
        ----------
        predicted
            Probabilities of the classes; where they are NaN, no class belongs to the set.
        level
            Share of the sets that are to hold the right class, in (0, 1). It is rounded up to the next of
            `levels`; beyond the last, every class belongs to every set.

        Raises
        ------
        FractionError
            If the level is not in (0, 1).
        """
        check_level(level)
        place = int(np.searchsorted(self.levels, np.float32(level) - np.float32(1e-6)))
        least = self.least[place] if place < len(self.levels) else 0
        return np.asarray((predicted >= least) | (predicted == predicted.max(axis=1, keepdims=True)))
