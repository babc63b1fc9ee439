"""How far predicted vote fractions are from those of the volunteers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from galvote.errors import FractionError
from galvote.trees import DecisionTree, find_violations


@dataclass(frozen=True)
class QuestionScore:
    """RMSE of one question's answers, of the mean predictor on them, and which of its columns have votes.

    Both scores are NaN where the votes know none of the question's columns.
    """

    rmse: float
    mean_predictor_rmse: float
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Baselines:
    """RMSE on the same votes of predictors that never look at a picture.

    Parameters
    ----------
    mean
        Always the mean votes.
    mean_from
        Whose mean that is: of the galaxies trained on, or of the scored galaxies themselves, which is the
        best that any constant can do.
    zeros, ones
        Always 0; always 1.
    """

    mean: float
    mean_from: Literal["training", "scored"]
    zeros: float
    ones: float


@dataclass(frozen=True)
class TreeViolations:
    """How many galaxies' predictions break the tree, and the largest distance of a question from its sum."""

    galaxies: int
    largest: float


@dataclass(frozen=True)
class Coverage:
    """Share of the known votes that lie within their predicted interval, and the intervals' mean width."""

    overall: float
    mean_width: float
    questions: Mapping[str, float]


@dataclass(frozen=True)
class Scores:
    """What `score` finds.

    Parameters
    ----------
    rmse
        The challenge's metric: root of the mean squared difference over all known votes.
    rmse_interval
        Central 95 % of the RMSE when galaxies are drawn again with replacement.
    galaxies, columns_scored
        Galaxies with a known vote, and columns with a known vote.
    questions, columns
        By name, in tree order; `columns` has only those with a known vote.
    coverage
        ``None`` unless intervals were predicted.
    """

    rmse: float
    rmse_interval: tuple[float, float]
    galaxies: int
    columns_scored: int
    questions: Mapping[str, QuestionScore]
    columns: Mapping[str, float]
    baselines: Baselines
    tree_violations: TreeViolations
    coverage: Coverage | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: unknown numbers are ``None``, `coverage` is absent if unknown."""
        data: dict[str, Any] = _without_nan(asdict(self))
        if self.coverage is None:
            del data["coverage"]
        return data


def score(
    predicted: Float[np.ndarray, "galaxy answer"],
    actual: Float[np.ndarray, "galaxy answer"],
    tree: DecisionTree,
    *,
    mean: Float[np.ndarray, " answer"] | None = None,
    low: Float[np.ndarray, "galaxy answer"] | None = None,
    high: Float[np.ndarray, "galaxy answer"] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Scores:
    """Score predicted vote fractions against the volunteers'.

    Parameters
    ----------
    predicted
        Cumulative fractions in ``tree.columns`` order.
    actual
        The volunteers' fractions, same order; NaN where unknown. Unknown votes are left out of every sum.
    mean
        Mean votes of the galaxies that the model was trained on, for the mean predictor; the mean of
        `actual` if not given.
    low, high
        Ends of predicted intervals, if there are any; NaN where there is none.
    bootstrap
        How often galaxies are drawn again with replacement for the RMSE's interval.
    seed
        Of those draws.

    Raises
    ------
    FractionError
        If no vote is known, or a prediction (or `mean`) is missing where a vote is known.

    Notes
    -----
    RMSE = √(mean over galaxies and columns of (predicted − actual)²), the metric of the Kaggle *Galaxy
    Challenge*. A question's RMSE takes the mean over its own columns only.
    """
    known = np.isfinite(actual)
    if not known.any():
        raise FractionError("No vote is known, so there is nothing to score; check the votes' columns.")
    if (missing := known & ~np.isfinite(predicted)).any():
        raise FractionError(
            f"{int(missing.any(axis=1).sum())} galaxies have votes but no finite prediction, first row "
            f"{int(missing.any(axis=1).argmax())}; leave them out before scoring."
        )
    mean_from: Literal["training", "scored"] = "scored" if mean is None else "training"
    if mean is None:
        mean = column_means(actual)
    if not np.isfinite(mean[known.any(axis=0)]).all():
        raise FractionError(
            "The mean votes are unknown for a scored column; leave `mean` out to use the scored votes'."
        )

    errors = squared_errors(predicted, actual)
    mean_errors = squared_errors(np.broadcast_to(mean, actual.shape), actual)
    columns = [name for name, any_known in zip(tree.columns, known.any(axis=0), strict=True) if any_known]
    by_column = _root_mean(errors, axis=0)
    questions = {
        name: QuestionScore(
            rmse=float(_root_mean(errors[:, place])),
            mean_predictor_rmse=float(_root_mean(mean_errors[:, place])),
            columns=tuple(column for column in tree.columns[place] if column in columns),
        )
        for name, place in tree.slices.items()
    }
    violations = find_violations(tree, predicted[known.any(axis=1)])
    return Scores(
        rmse=float(_root_mean(errors)),
        rmse_interval=_bootstrap_interval(errors[known.any(axis=1)], bootstrap, seed),
        galaxies=int(known.any(axis=1).sum()),
        columns_scored=len(columns),
        questions=questions,
        columns={column: float(by_column[tree.columns.index(column)]) for column in columns},
        baselines=Baselines(
            mean=float(_root_mean(mean_errors)),
            mean_from=mean_from,
            zeros=float(_root_mean(squared_errors(np.zeros_like(actual), actual))),
            ones=float(_root_mean(squared_errors(np.ones_like(actual), actual))),
        ),
        tree_violations=TreeViolations(
            galaxies=int(violations.galaxies.sum()), largest=float(violations.off_tree.max())
        ),
        coverage=None if low is None or high is None else measure_coverage(actual, low, high, tree),
    )


def squared_errors(
    predicted: Float[np.ndarray, "galaxy answer"], actual: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Return (predicted − actual)² in double precision; NaN where the vote is unknown."""
    return np.asarray(np.square(np.asarray(predicted, dtype=np.float64) - actual))


def galaxy_rmse(
    predicted: Float[np.ndarray, "galaxy answer"], actual: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, " galaxy"]:
    """Return each galaxy's own RMSE over its known votes; NaN for a galaxy without any."""
    return np.asarray(_root_mean(squared_errors(predicted, actual), axis=1))


def column_means(actual: Float[np.ndarray, "galaxy answer"]) -> Float[np.ndarray, " answer"]:
    """Return the mean of each column's known votes, what the mean predictor says; NaN without any."""
    return np.asarray(_known_mean(actual, axis=0))


def measure_coverage(
    actual: Float[np.ndarray, "galaxy answer"],
    low: Float[np.ndarray, "galaxy answer"],
    high: Float[np.ndarray, "galaxy answer"],
    tree: DecisionTree,
) -> Coverage | None:
    """Count the known votes that lie within their interval, overall and by question.

    Returns
    -------
    ``None`` if no known vote has an interval; a question's share is NaN if none of its votes has.
    """
    known: Bool[np.ndarray, "galaxy answer"] = np.isfinite(actual) & np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return None
    within = np.where(known, (low <= actual) & (actual <= high), np.nan)
    return Coverage(
        overall=float(_known_mean(within, None)),
        mean_width=float(_known_mean(np.where(known, high - low, np.nan), None)),
        questions={name: float(_known_mean(within[:, place], None)) for name, place in tree.slices.items()},
    )


def _root_mean(errors: np.ndarray, axis: int | None = None) -> Any:
    return np.sqrt(_known_mean(errors, axis))


def _known_mean(values: np.ndarray, axis: int | None) -> Any:
    # np.nanmean warns where there is nothing to average, which for a masked column is no fault.
    count = np.isfinite(values).sum(axis=axis)
    return np.where(count > 0, np.nansum(values, axis=axis, dtype=np.float64) / np.maximum(count, 1), np.nan)


def _bootstrap_interval(
    errors: Float[np.ndarray, "galaxy answer"], draws: int, seed: int
) -> tuple[float, float]:
    """Percentile interval; galaxies are drawn whole, because the errors of one galaxy hang together."""
    rng = np.random.default_rng(seed)
    sums, counts = np.nansum(errors, axis=1), np.isfinite(errors).sum(axis=1)
    drawn = np.empty(draws)
    for i in range(draws):  # one at a time, so that a survey's worth of galaxies does not fill the memory
        rows = rng.integers(len(errors), size=len(errors))
        drawn[i] = np.sqrt(sums[rows].sum() / counts[rows].sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _without_nan(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data
