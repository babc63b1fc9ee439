"""Whether predicted fractions mean what they say: the volunteers' against the predicted ones, in bins."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from galvote.metrics.comparison import Comparison
from galvote.metrics.registry import register_metric
from galvote.trees import DecisionTree

BINS = 10


@dataclass(frozen=True)
class Bin:
    """The answers whose predicted fraction lies between two edges."""

    lower: float  # edge, in [0, 1]
    upper: float
    predicted: float  # mean
    voted: float  # mean
    low: float  # 16th percentile of the voted fractions
    high: float  # 84th
    count: int  # of answers, at least 1


@dataclass(frozen=True)
class Reliability:
    """Voted against predicted fractions of one question, in equal bins of the predicted fraction.

    Each answer of each galaxy whose vote is known counts once.

    Parameters
    ----------
    bins
        In increasing order; those without any answer are absent.
    """

    bins: tuple[Bin, ...]

    @property
    def count(self) -> int:
        """How many answers all bins have."""
        return sum(each.count for each in self.bins)

    @property
    def error(self) -> float:
        """Mean distance between the bins' predicted and voted means, each as often as it has answers.

        For hard classes this is the expected calibration error (Naeini, Cooper & Hauskrecht 2015, AAAI 29,
        2901).
        """
        return sum(each.count * abs(each.predicted - each.voted) for each in self.bins) / self.count

    @property
    def worst(self) -> Bin:
        """The bin whose means are furthest apart."""
        return max(self.bins, key=lambda each: abs(each.predicted - each.voted))


def measure_reliability(
    predicted: Float[np.ndarray, "galaxy answer"],
    actual: Float[np.ndarray, "galaxy answer"],
    tree: DecisionTree,
) -> dict[str, Reliability]:
    """Return by name, in tree order, how reliable predictions are for each question with some known vote.

    Parameters
    ----------
    predicted
        Cumulative fractions in ``tree.columns`` order; beyond [0, 1] they are clipped.
    actual
        The volunteers' fractions, same order; NaN where unknown.
    tree
        The tree of the columns.
    """
    found = {}
    for name, columns in tree.slices.items():
        known = np.isfinite(actual[:, columns])
        if known.any():
            across = np.clip(predicted[:, columns][known].astype(np.float64), 0, 1)
            found[name] = Reliability(_bins(across, actual[:, columns][known].astype(np.float64)))
    return found


def _bins(predicted: Float[np.ndarray, " answer"], voted: Float[np.ndarray, " answer"]) -> tuple[Bin, ...]:
    places = np.minimum((predicted * BINS).astype(int), BINS - 1)  # 1 belongs to the last bin
    found = list[Bin]()
    for place in np.unique(places).tolist():
        inside = places == place
        low, high = np.percentile(voted[inside], [16, 84])
        found.append(
            Bin(
                lower=place / BINS,
                upper=(place + 1) / BINS,
                predicted=float(predicted[inside].mean()),
                voted=float(voted[inside].mean()),
                low=float(low),
                high=float(high),
                count=int(inside.sum()),
            )
        )
    return tuple(found)


@register_metric("calibration_error")
def _calibration_error(compared: Comparison) -> dict[str, float]:
    """Return `Reliability.error` by question."""
    found = measure_reliability(compared.predicted, compared.actual, compared.tree)
    return {name: reliability.error for name, reliability in found.items()}
