"""How well predictions agree with labels, and how sure that is."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from galvote.finetuning.head import Known
from galvote.finetuning.result import Score
from galvote.metrics import score_numbers, squared_errors
from galvote.metrics.reliability import BINS
from galvote.trees import expected_numbers, to_conditional

DRAWS = 1000

Fractions = Float[np.ndarray, "galaxy answer"]
Times = Int[np.ndarray, "draw galaxy"]
"""How often each galaxy occurs in each draw."""
Values = Float[np.ndarray, " draw"]


def measure_scores(
    known: Known, predicted: Fractions, actual: Fractions, *, classes: bool, draws: int = DRAWS
) -> dict[str, Score]:
    """Score predictions, with the central 95 % when galaxies are drawn again with replacement.

    Labels (`actual`) and predictions are cumulative fractions; labels are NaN where unknown. With `classes`,
    each label is one of them, so that there are ROC curves. What is known says how much each galaxy's answers
    count.

    ``roc_auc`` and ``average_precision`` are means over the classes, each against all others; ``brier`` is
    the squared error of the classes' probabilities, of two classes half of it; ``calibration_error`` is the
    mean distance of predicted and given means in bins of each answer by itself (the classwise one of Kull et
    al. 2019, arXiv:1910.12656). Of numbers, scores are those of `score_numbers`.
    """
    times = _draw(len(known), draws)
    return {name: _sum_up(values) for name, values in _measure(known, predicted, actual, classes, times)}


def compare_scores(
    known: Known,
    predicted: Fractions,
    others: Fractions,
    actual: Fractions,
    *,
    classes: bool,
) -> dict[str, Score]:
    """Return by how much scores of predictions are above those of others, as `measure_scores` does.

    Both are of the same galaxies, which are drawn together.
    """
    times = _draw(len(known), DRAWS)
    own, theirs = (_measure(known, each, actual, classes, times) for each in (predicted, others))
    return {name: _sum_up(ours - values) for (name, ours), (_, values) in zip(own, theirs, strict=True)}


def _draw(count: int, draws: int) -> Times:
    """Return the galaxies once each, then drawn with replacement so many times."""
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), draws)
    return np.concatenate([np.ones((1, count), int), drawn])


def _sum_up(values: Values) -> Score:
    some = values[np.isfinite(values)]  # a draw may lack a class
    low, high = np.percentile(some, [2.5, 97.5]) if len(some) else (np.nan, np.nan)
    return Score(float(values[0]), float(low), float(high))


def _measure(
    known: Known, predicted: Fractions, actual: Fractions, classes: bool, times: Times
) -> Iterator[tuple[str, Values]]:
    if known.tree.number is not None:
        numbers = (expected_numbers(known.tree, one)[:, 0] for one in (predicted, actual))
        yield from _measure_numbers(times, *numbers)
        return
    errors = squared_errors(predicted, actual)
    shares = np.nan_to_num(to_conditional(known.tree, predicted))
    lost, hits = np.zeros((2, len(known)))
    for place, columns in enumerate(known.tree.slices.values()):
        own, given, weight = shares[:, columns], known.shares[:, columns], known.weights[:, place]
        lost -= weight * (given * np.log(np.maximum(own, 1e-12))).sum(axis=1)
        hits += weight * (own.argmax(axis=1) == given.argmax(axis=1))
    asked = times @ known.weights.sum(axis=1)
    if classes:
        ranked = [_rank(predicted[:, i], actual[:, i], times) for i in range(len(known.tree))]
        yield "roc_auc", np.mean([area for area, _ in ranked], axis=0)
        yield "average_precision", np.mean([precision for _, precision in ranked], axis=0)
    else:
        yield "rmse", np.sqrt(times @ np.nansum(errors, axis=1) / (times @ np.isfinite(errors).sum(axis=1)))
    yield "accuracy", times @ hits / asked
    yield "log_loss", times @ lost / asked
    if classes:
        yield "brier", times @ errors.sum(axis=1) / times.sum(axis=1) / (2 if len(known.tree) == 2 else 1)
    yield "calibration_error", _calibration_error(known, predicted, actual, times)


def _measure_numbers(
    times: Times, predicted: Float[np.ndarray, " galaxy"], actual: Float[np.ndarray, " galaxy"]
) -> Iterator[tuple[str, Values]]:
    rows = (np.repeat(np.arange(len(actual)), own) for own in times)
    scores = [score_numbers(predicted[own], actual[own]) for own in rows]
    for name in scores[0]:
        yield name, np.array([each[name] for each in scores])


def _rank(
    predicted: Float[np.ndarray, " galaxy"], label: Float[np.ndarray, " galaxy"], times: Times
) -> tuple[Values, Values]:
    """Return the area under the ROC curve and the average precision of each draw, which sorts only once."""
    order = np.argsort(-predicted, kind="stable")
    first = np.flatnonzero(np.diff(predicted[order], prepend=np.inf))  # of those with the same prediction
    right, wrong = (
        np.add.reduceat((times * own)[:, order], first, axis=1).astype(float) for own in (label, 1 - label)
    )
    above, false = right.cumsum(axis=1), wrong.cumsum(axis=1)
    with np.errstate(invalid="ignore"):
        area = ((above - right / 2) * wrong).sum(axis=1) / (above[:, -1] * false[:, -1])
        precision = (right * above / np.maximum(above + false, 1)).sum(axis=1) / above[:, -1]
    return area, precision


def _calibration_error(known: Known, predicted: Fractions, actual: Fractions, times: Times) -> Values:
    """Return the mean distance of predicted and given means in bins of each answer.

    Distances grow by the chance that drawing again adds, so draws are moved back by that in the mean.
    """
    given = np.isfinite(actual)
    apart = np.where(given, predicted - np.nan_to_num(actual), 0)
    bins = np.minimum((predicted * BINS).astype(int), BINS - 1)
    summed = np.zeros((*apart.shape, BINS))
    np.put_along_axis(summed, bins[:, :, None], apart[:, :, None], axis=2)
    off = np.abs(times @ summed.reshape(len(known), -1)).sum(axis=1)
    error = np.asarray(off / np.maximum(times @ given.sum(axis=1), 1))
    if len(times) > 1:
        error[1:] = np.maximum(error[1:] - error[1:].mean() + error[0], 0)
    return error
