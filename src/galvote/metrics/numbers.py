"""How near predicted numbers are to those that are known."""

from typing import Any

import numpy as np
from jaxtyping import Float

from galvote.metrics.comparison import Comparison
from galvote.metrics.ranking import rank_correlation
from galvote.metrics.registry import register_metric
from galvote.trees import expected_numbers


@register_metric("numbers")
def _numbers(compared: Comparison) -> dict[str, Any] | None:
    """Return `score_numbers` of each question whose answers are numbers and of which some are known."""
    predicted, actual = (
        expected_numbers(compared.tree, one) for one in (compared.predicted, compared.actual)
    )
    found = {}
    for place, question in enumerate(compared.tree.numbers):
        known = np.isfinite(predicted[:, place] + actual[:, place])
        if known.any():
            found[question.name] = score_numbers(predicted[known, place], actual[known, place])
    return found or None


def score_numbers(
    predicted: Float[np.ndarray, " galaxy"], actual: Float[np.ndarray, " galaxy"]
) -> dict[str, float]:
    """Return how near numbers are to those that are known.

    Parameters
    ----------
    predicted, actual
        In any unit; finite.

    Returns
    -------
    ``rmse`` and ``mae``, the mean absolute error, in the numbers' unit; ``r2``, one less the squared errors'
    share of the squared deviations from the mean; ``rank_correlation``, Spearman's ρ. The last two are NaN
    where all numbers are the same.
    """
    apart = predicted - actual
    spread = actual.var()
    return {
        "rmse": float(np.sqrt(np.mean(apart**2))),
        "mae": float(np.abs(apart).mean()),
        "r2": float(1 - np.mean(apart**2) / spread) if spread > 0 else np.nan,
        "rank_correlation": rank_correlation(predicted, actual),
    }
