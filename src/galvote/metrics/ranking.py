"""Whether galaxies sorted by a prediction are sorted by the votes."""

from typing import Any

import numpy as np
from jaxtyping import Float

from galvote.metrics.comparison import Comparison
from galvote.metrics.means import known_mean
from galvote.metrics.registry import register_metric


@register_metric("rank_correlation")
def _rank_correlation(compared: Comparison) -> dict[str, Any]:
    """Return Spearman's ρ between predicted and voted fractions, column by column.

    ``columns`` with ρ in [-1, 1] by column with a known vote, NaN where all galaxies have the same fraction;
    and their ``mean``.
    """
    found = {}
    for place, column in enumerate(compared.tree.columns):
        known = compared.known[:, place]
        if known.any():
            found[column] = rank_correlation(compared.predicted[known, place], compared.actual[known, place])
    return {"mean": float(known_mean(np.array(list(found.values())))), "columns": found}


def rank_correlation(values: Float[np.ndarray, " galaxy"], others: Float[np.ndarray, " galaxy"]) -> float:
    """Return Spearman's ρ, in [-1, 1]; NaN where all values of one kind are the same.

    Parameters
    ----------
    values, others
        Of the same galaxies.
    """
    ranks = _ranks(values), _ranks(others)
    spread = ranks[0].std() * ranks[1].std()
    covariance = np.mean(ranks[0] * ranks[1]) - ranks[0].mean() * ranks[1].mean()
    return float(covariance / spread) if spread > 0 else np.nan


def _ranks(values: Float[np.ndarray, " galaxy"]) -> Float[np.ndarray, " galaxy"]:
    """Return each value's rank; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])
