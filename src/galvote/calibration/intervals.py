"""Intervals around predicted vote fractions that hold what volunteers say, as often as they promise.

They are calibrated by split conformal prediction (`galvote.calibration.conformal`) on galaxies that the model
was not trained on, each column by itself. The score of a vote is its distance from the prediction in units of
σ, which depends on the prediction (Papadopoulos, Gammerman & Vovk 2008, *Normalized nonconformity measures*;
Lei et al. 2018, JASA 113, 1094, section 5.2): intervals are narrow where a prediction near 0 or 1 leaves
little doubt, and wide where volunteers disagree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32

from galvote.calibration.conformal import lower_quantile, random_halves, upper_quantile
from galvote.errors import FractionError
from galvote.metrics import Coverage, measure_coverage
from galvote.trees import DecisionTree

LEVELS: Float[np.ndarray, " level"] = np.append(np.arange(1, 100) / 100, 0.995)
"""The levels that are calibrated. One between them is rounded up."""

_SHARES = np.array([0.5, 0.25, 0.75, 0, 1])  # of the misses below the interval; the first wins a tie
_ENOUGH = 1000  # galaxies that tell an interval's mean width
_LEAST_VARIANCE = 1e-8
_STEPS = 100

Fractions = Float[np.ndarray, "galaxy answer"]
Surprisal = Float[np.ndarray, " galaxy"]


class Ends(Protocol):
    """What gives the ends of intervals."""

    def ends(
        self, predicted: Fractions, level: float, surprisal: Surprisal | None = None
    ) -> tuple[Fractions, Fractions]:
        """Return the lower and the upper end for each prediction of an image with some surprisal."""
        ...


@dataclass(frozen=True, eq=False)
class Intervals:
    """Calibrated intervals of every column at every level.

    Parameters
    ----------
    variance
        σ² = variance[0] + variance[1] · p (1 − p) + (variance[2] · s + variance[3] / a) · (p (1 − p) + 0.02)
        of a prediction p, s being how surprising the image is, and a the share of volunteers that is asked.
    levels
        Increasing, in (0, 1).
    lower, upper
        Ends minus the prediction in units of σ; infinite where there were too few galaxies to say.
    """

    variance: Float32[np.ndarray, "term answer"]
    levels: Float32[np.ndarray, " level"]
    lower: Float32[np.ndarray, "level answer"]
    upper: Float32[np.ndarray, "level answer"]

    @classmethod
    def fit(
        cls,
        predicted: Fractions,
        actual: Fractions,
        surprisal: Surprisal | None = None,
        asked: Fractions | None = None,
    ) -> "Intervals":
        """Calibrate on galaxies that the model was not trained on.

        Parameters
        ----------
        predicted
            Fractions in [0, 1].
        actual
            The volunteers' fractions; NaN where unknown. Where a column has none, its intervals are [0, 1].
        surprisal
            Of the images, as `galvote.calibration.surprisal` gives it: the more, the wider are intervals.
        asked
            Share of the volunteers that was asked, as predicted, in (0, 1]: the fewer, the wider intervals
            have to be.

        Notes
        -----
        Intervals of level 1 − α may miss the share α of the votes: f α of them below the interval, (1 − f) α
        above. Each end is a conformal quantile by itself, so their misses add up to α at most. Of five shares
        f the one with the narrowest intervals on average is taken, for each column and level; f = 0, which
        suits columns where most votes are exactly 0, puts the lower end at 0 and spends all of α above. The
        interval of a higher level always holds that of a lower one.

        Choosing σ and f with the same galaxies makes the promise of `conformal` an approximate one;
        `cross_fit` measures what is left of it.
        """
        terms = _terms(predicted, surprisal, asked)
        variance = _fit_variance(predicted, actual, terms)
        sigma = _sigma(variance, terms)
        lower = np.full((len(LEVELS), predicted.shape[1]), -np.inf)
        upper = np.full_like(lower, np.inf)
        misses = 1 - LEVELS
        missed_below, missed_above = _SHARES[:, None] * misses, (1 - _SHARES[:, None]) * misses
        for column in range(predicted.shape[1]):
            known = np.isfinite(actual[:, column])
            if not known.any():
                continue
            p, scale = predicted[known, column], sigma[known, column]
            scores = (actual[known, column] - p) / scale
            below, above = lower_quantile(scores, missed_below), upper_quantile(scores, 1 - missed_above)
            some = slice(None, None, len(scores) // _ENOUGH + 1)
            low, high = _clip(
                p[some], p[some] + below[..., None] * scale[some], p[some] + above[..., None] * scale[some]
            )
            narrowest = (high - low).mean(axis=2).argmin(axis=0), np.arange(len(LEVELS))
            lower[:, column], upper[:, column] = below[narrowest], above[narrowest]
        return cls(
            variance=variance.astype(np.float32),
            levels=LEVELS.astype(np.float32),
            lower=np.minimum.accumulate(lower).astype(np.float32),
            upper=np.maximum.accumulate(upper).astype(np.float32),
        )

    def ends(
        self,
        predicted: Fractions,
        level: float,
        surprisal: Surprisal | None = None,
        asked: Fractions | None = None,
    ) -> tuple[Fractions, Fractions]:
        """Return the lower and upper ends, in [0, 1], of the interval around each prediction.

        Parameters
        ----------
        predicted
            Fractions in [0, 1].
        level
            Share of votes that the intervals are to hold, in (0, 1). It is rounded up to the next of
            `levels`; beyond the last, every interval is [0, 1].
        surprisal, asked
            As in `fit`, if they were given there.

        Raises
        ------
        FractionError
            If the level is not in (0, 1).
        """
        check_level(level)
        place = int(np.searchsorted(self.levels, np.float32(level) - np.float32(1e-6)))
        if place == len(self.levels):
            return np.zeros_like(predicted), np.ones_like(predicted)
        sigma = _sigma(self.variance, _terms(predicted, surprisal, asked))
        low, high = _clip(
            predicted, predicted + self.lower[place] * sigma, predicted + self.upper[place] * sigma
        )
        return low.astype(predicted.dtype), high.astype(predicted.dtype)


def check_level(level: float) -> None:
    """Raise `FractionError` unless a level lies between 0 and 1.

    Parameters
    ----------
    level
        Share of votes that intervals are to hold.
    """
    if not 0 < level < 1:
        raise FractionError(f"A level lies between 0 and 1, as 0.9 does; {level:g} does not.")


@dataclass(frozen=True)
class CrossFit:
    """What intervals of one level held and how wide they were, on galaxies they were not calibrated on.

    Parameters
    ----------
    level
        What was promised.
    coverage, spread
        Mean over the halves, and the standard deviation of its overall share.
    """

    level: float
    coverage: Coverage
    spread: float


def cross_fit(
    predicted: Fractions,
    actual: Fractions,
    tree: DecisionTree,
    levels: Sequence[float],
    *,
    surprisal: Surprisal | None = None,
    copies: int = 1,
    copy: int = 0,
    fit: Callable[[Fractions, Fractions, Surprisal | None], Ends] = Intervals.fit,
    halves: int = 50,
) -> tuple[CrossFit, ...]:
    """Return for each level what intervals hold that are calibrated on one half and measured on the other.

    Parameters
    ----------
    predicted, actual
        Cumulative fractions in [0, 1], in ``tree.columns`` order; votes are NaN where unknown.
    tree, levels
        Whose columns they are, and shares of votes that intervals are to hold.
    surprisal
        Of the images; see `Intervals.fit`.
    copies, copy
        The galaxies stand so many times one after the other, in differently changed images; intervals are
        calibrated on all and measured on this copy, from 0.
    fit
        What calibrates, from predictions, votes and surprisals.
    halves
        How many random halves are drawn.
    """
    measured: dict[float, list[Coverage]] = {level: [] for level in levels}
    galaxies = len(predicted) // copies
    surprisal = np.zeros(len(predicted)) if surprisal is None else surprisal
    for half in random_halves(galaxies, halves):
        own = np.tile(half, copies)
        intervals = fit(predicted[own], actual[own], surprisal[own])
        rest = np.flatnonzero(~half) + copy * galaxies
        for level, found in measured.items():
            low, high = intervals.ends(predicted[rest], level, surprisal[rest])
            if coverage := measure_coverage(actual[rest], low, high, tree):
                found.append(coverage)
    return tuple(
        CrossFit(level, _mean_coverage(found), float(np.std([one.overall for one in found])))
        for level, found in measured.items()
        if found
    )


def _mean_coverage(found: Sequence[Coverage]) -> Coverage:
    questions: Mapping[str, float] = {
        name: float(np.mean([one.questions[name] for one in found])) for name in found[0].questions
    }
    return Coverage(
        overall=float(np.mean([one.overall for one in found])),
        mean_width=float(np.mean([one.mean_width for one in found])),
        questions=questions,
    )


def _clip(
    predicted: Float[np.ndarray, "*shape"], low: Float[np.ndarray, "*more"], high: Float[np.ndarray, "*more"]
) -> tuple[Float[np.ndarray, "*more"], Float[np.ndarray, "*more"]]:
    return np.minimum(low, predicted).clip(0, 1), np.maximum(high, predicted).clip(0, 1)


def _terms(
    predicted: Fractions, surprisal: Surprisal | None, asked: Fractions | None
) -> Float[np.ndarray, "term galaxy answer"]:
    spread = predicted * (1 - predicted)
    # Errors, and a sum of few votes, scatter a little where p is 0 or 1, too.
    wider, unknown = spread + 0.02, np.zeros_like(predicted)
    surprising = unknown if surprisal is None else wider * surprisal[:, None]
    few = unknown if asked is None else wider / asked
    return np.stack([np.ones_like(predicted), spread, surprising, few])


def _sigma(
    variance: Float[np.ndarray, "term answer"], terms: Float[np.ndarray, "term galaxy answer"]
) -> Fractions:
    return np.asarray(np.sqrt(np.maximum((variance[:, None] * terms).sum(axis=0), _LEAST_VARIANCE)))


def _fit_variance(
    predicted: Fractions, actual: Fractions, terms: Float[np.ndarray, "term galaxy answer"]
) -> Float[np.ndarray, "term answer"]:
    """Fit σ² to the squared residuals as of normal distributions, with parameters that are never negative.

    The likelihood is that of the Itakura–Saito divergence, which multiplicative steps never lower (Févotte,
    Bertin & Durrieu 2009, Neural Computation 21, 793).
    """
    known = np.isfinite(actual)
    squared = np.where(known, np.square(actual - predicted, dtype=np.float64), 0)
    terms = terms.astype(np.float64) * known
    variance = np.full((len(terms), predicted.shape[1]), 0.02)
    for _ in range(_STEPS):
        fitted = np.maximum((variance[:, None] * terms).sum(axis=0), _LEAST_VARIANCE)
        wanted, had = (terms * squared / fitted**2).sum(axis=1), (terms / fitted).sum(axis=1)
        variance *= np.sqrt(wanted / np.maximum(had, 1e-30))
    return variance
