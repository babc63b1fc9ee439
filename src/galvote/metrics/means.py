"""Means over what is known."""

from typing import Any

import numpy as np
from jaxtyping import Float


def known_mean(values: np.ndarray, axis: int | None = None) -> Any:
    """Return the mean of the finite values along an axis, NaN (without a warning) where none is."""
    count = np.isfinite(values).sum(axis=axis)
    return np.where(count > 0, np.nansum(values, axis=axis, dtype=np.float64) / np.maximum(count, 1), np.nan)


def column_means(actual: Float[np.ndarray, "galaxy answer"]) -> Float[np.ndarray, " answer"]:
    """Return the mean of each column's known votes, which is what the mean predictor says; NaN without any.

    Parameters
    ----------
    actual
        Vote fractions in [0, 1]; NaN where unknown.
    """
    return np.asarray(known_mean(actual, axis=0))
