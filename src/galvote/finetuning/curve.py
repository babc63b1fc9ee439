"""Score against the number of labels, and whether more of them would help."""

import numpy as np
from jaxtyping import Float

from galvote.finetuning.crossfit import leave_out
from galvote.finetuning.head import FOLDS, Head, Known, fit_head
from galvote.finetuning.result import Point
from galvote.finetuning.scores import measure_scores
from galvote.report import say_number

_DRAWS = 3
_LEAST = 20
_MOST_SIZES = 5


def learning_curve(
    known: Known, actual: Float[np.ndarray, "galaxy answer"], metric: str, *, classes: bool
) -> tuple[Point, ...]:
    """Learn from ever fewer of the labels, and score by a metric the galaxies that are left out."""
    whole = len(known) * (FOLDS - 1) // FOLDS
    sizes = [whole >> halvings for halvings in range(_MOST_SIZES) if whole >> halvings >= _LEAST]
    return tuple(_measure(known, actual, metric, classes, size) for size in reversed(sizes))


def _measure(
    known: Known, actual: Float[np.ndarray, "galaxy answer"], metric: str, classes: bool, size: int
) -> Point:
    strengths = list[float]()

    def fit(part: Known) -> Head:
        head = fit_head(part, strengths or None)
        strengths[:] = head.strengths  # chosen once for each size: the search is most of the time
        return head

    values = []
    for draw in range(_DRAWS):
        rng = np.random.default_rng((draw, size))

        def learn(rows: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
            return rng.permutation(rows)[:size]

        found = leave_out(known, seed=draw, fit=fit, learn=learn)
        scores = measure_scores(known, found.fractions, actual, classes=classes, draws=0)
        values.append(scores[metric].value)
    return Point(size, float(np.mean(values)), min(values), max(values))


def advise(curve: tuple[Point, ...], metric: str, *, higher: bool) -> str:
    """Say what more labels would bring, by what the last doubling brought.

    `higher` says whether more of the metric is better.
    """
    name = metric.replace("_", " ").replace("roc auc", "ROC AUC").replace("rmse", "RMSE")
    if len(curve) < 2:
        return "There are too few labels to say whether more would help; they almost surely would."
    before, last = curve[-2:]
    least = 0.003 if higher else 0.03 * last.mean
    gain = (last.mean - before.mean) * (1 if higher else -1)
    noise = max(point.high - point.low for point in (before, last)) / 2
    said = (
        f"From {before.labels:,} to {last.labels:,} labels the {name} went from {say_number(before.mean)} to "
        f"{say_number(last.mean)}"
    )
    if gain > max(noise, least):
        return f"{said}: more labels would help."
    return f"{said}, which is within the scatter of {say_number(noise)}: more labels would help little."
