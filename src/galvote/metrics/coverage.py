"""How often predicted intervals hold what volunteers voted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from galvote.metrics.comparison import Comparison
from galvote.metrics.means import known_mean
from galvote.metrics.registry import register_metric
from galvote.trees import DecisionTree


@dataclass(frozen=True)
class Coverage:
    """How many of the known votes lie within their predicted interval.

    Parameters
    ----------
    overall, mean_width
        Share of all known votes, and the intervals' mean width, in [0, 1].
    questions
        Share by question, in tree order; NaN for a question without known votes.
    """

    overall: float
    mean_width: float
    questions: Mapping[str, float]


def measure_coverage(
    actual: Float[np.ndarray, "galaxy answer"],
    low: Float[np.ndarray, "galaxy answer"],
    high: Float[np.ndarray, "galaxy answer"],
    tree: DecisionTree,
) -> Coverage | None:
    """Return how many known votes lie within their interval, overall and by question; None if none has one.

    Parameters
    ----------
    actual
        The volunteers' fractions in [0, 1], in ``tree.columns`` order; NaN where unknown.
    low, high
        Ends of the intervals, same order; NaN where there is none.
    tree
        The tree of the columns.
    """
    known = np.isfinite(actual) & np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return None
    within = np.where(known, (low <= actual) & (actual <= high), np.nan)
    return Coverage(
        overall=float(known_mean(within)),
        mean_width=float(known_mean(np.where(known, high - low, np.nan))),
        questions={name: float(known_mean(within[:, place])) for name, place in tree.slices.items()},
    )


@register_metric("coverage")
def _coverage(compared: Comparison) -> dict[str, Any] | None:
    """Return `Coverage` as plain data, None without predicted intervals."""
    if compared.low is None or compared.high is None:
        return None
    found = measure_coverage(compared.actual, compared.low, compared.high, compared.tree)
    return None if found is None else asdict(found)
