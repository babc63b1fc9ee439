"""Root mean squared errors: the challenge's metric, by question and column, and what it is compared with."""

from typing import Any

import numpy as np
from jaxtyping import Float

from galvote.metrics.comparison import Comparison
from galvote.metrics.means import column_means, known_mean
from galvote.metrics.registry import register_metric


def squared_errors(
    predicted: Float[np.ndarray, "galaxy answer"], actual: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Return (predicted − actual)² in double precision; NaN where the vote is unknown.

    Parameters
    ----------
    predicted, actual
        Vote fractions in [0, 1] in one order of columns; `actual` is NaN where unknown.
    """
    return np.asarray(np.square(np.asarray(predicted, dtype=np.float64) - actual))


def galaxy_rmse(
    predicted: Float[np.ndarray, "galaxy answer"], actual: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, " galaxy"]:
    """Return each galaxy's own RMSE over its known votes; NaN for a galaxy without any.

    Parameters
    ----------
    predicted, actual
        As for `squared_errors`.
    """
    return np.asarray(_root_mean(squared_errors(predicted, actual), axis=1))


def mean_predictor_rmse(
    training: Float[np.ndarray, "learned answer"], actual: Float[np.ndarray, "galaxy answer"]
) -> float:
    """Return the RMSE of always predicting the training galaxies' mean votes; NaN if no column is in both.

    Parameters
    ----------
    training, actual
        Vote fractions in [0, 1] of those galaxies, and of those that are predicted; NaN where unknown.
    """
    return float(_root_mean(squared_errors(np.broadcast_to(column_means(training), actual.shape), actual)))


@register_metric("rmse")
def _rmse(compared: Comparison) -> float:
    """Return √(mean over all known votes of (predicted − actual)²), the metric of the *Galaxy Challenge*."""
    return float(_root_mean(squared_errors(compared.predicted, compared.actual)))


@register_metric("rmse_interval")
def rmse_interval(compared: Comparison, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the central 95 % of the RMSE when galaxies are drawn again with replacement.

    Galaxies are drawn whole, because a galaxy's errors hang together.
    """
    errors = squared_errors(compared.predicted, compared.actual)[compared.scored_galaxies]
    rng = np.random.default_rng(seed)
    sums, counts = np.nansum(errors, axis=1), np.isfinite(errors).sum(axis=1)
    drawn = np.empty(draws)
    for i in range(draws):  # one at a time, so that a survey's worth of galaxies does not fill the memory
        rows = rng.integers(len(errors), size=len(errors))
        drawn[i] = np.sqrt(sums[rows].sum() / counts[rows].sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


@register_metric("galaxies")
def _count_galaxies(compared: Comparison) -> int:
    """Return the number of galaxies with a known vote."""
    return int(compared.scored_galaxies.sum())


@register_metric("columns_scored")
def _count_columns(compared: Comparison) -> int:
    """Return the number of columns with a known vote."""
    return int(compared.scored_columns.sum())


@register_metric("questions")
def _question_rmse(compared: Comparison) -> dict[str, Any]:
    """Return the RMSE of each question's answers, and that of the mean predictor on them.

    ``rmse``, ``mean_predictor_rmse`` and the question's scored ``columns``, by question in tree order. Both
    numbers are NaN where the votes know none of the columns.
    """
    tree = compared.tree
    errors = squared_errors(compared.predicted, compared.actual)
    mean_errors = squared_errors(_mean_prediction(compared), compared.actual)
    scored = dict(zip(tree.columns, compared.scored_columns, strict=True))
    return {
        name: {
            "rmse": float(_root_mean(errors[:, place])),
            "mean_predictor_rmse": float(_root_mean(mean_errors[:, place])),
            "columns": [column for column in tree.columns[place] if scored[column]],
        }
        for name, place in tree.slices.items()
    }


@register_metric("columns")
def _column_rmse(compared: Comparison) -> dict[str, float]:
    """Return the RMSE of each column with a known vote."""
    found = _root_mean(squared_errors(compared.predicted, compared.actual), axis=0)
    return {
        name: float(found[i]) for i, name in enumerate(compared.tree.columns) if compared.scored_columns[i]
    }


@register_metric("baselines")
def _baselines(compared: Comparison) -> dict[str, float | str]:
    """Return the RMSE, on the same votes, of predictors that never look at an image.

    ``mean`` is that of the mean votes, and ``mean_from`` says whose: of the ``training`` galaxies, or of the
    ``scored`` ones themselves, which is the best that any constant can do. ``zeros`` and ``ones`` are those
    of always 0 and always 1.
    """
    shape = compared.actual.shape
    constants = {"mean": _mean_prediction(compared), "zeros": np.zeros(shape), "ones": np.ones(shape)}
    found = {name: float(_root_mean(squared_errors(c, compared.actual))) for name, c in constants.items()}
    return {**found, "mean_from": "scored" if compared.mean is None else "training"}


def _mean_prediction(compared: Comparison) -> Float[np.ndarray, "galaxy answer"]:
    mean = column_means(compared.actual) if compared.mean is None else compared.mean
    return np.broadcast_to(mean, compared.actual.shape)


def _root_mean(errors: np.ndarray, axis: int | None = None) -> Any:
    return np.sqrt(known_mean(errors, axis))
