"""Numbers as labels: galvote's head beside ridge regression on the same features.

    python -m benchmarks.accuracy.numbers --data DATA --gz1 GZ1

Numbers are the concentration 5 log10(r80/r20), the ellipticity and a colour (red over green), measured of the
images of Galaxy Zoo 1 as `benchmarks.accuracy.labels` measures them, and the share of volunteers, in
logits, who saw features in galaxies of the challenge's validation split, from which no encoder has learned.
Of each, some random galaxies are learned from; the others are predicted. Intervals of level 0.9 are those of
`galvote finetune`, calibrated on out-of-fold predictions of the learned galaxies; those of ridge regression
are the conformal quantile of its absolute out-of-fold residuals.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logit
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

import galvote
from benchmarks import common
from benchmarks.accuracy.labels import DRAWS, Task, measure_all, of_folder
from galvote.calibration import NumberIntervals
from galvote.calibration.conformal import upper_quantile
from galvote.finetuning.baselines import nearest_answers
from galvote.finetuning.crossfit import LEVEL, leave_out
from galvote.finetuning.features import look, spread_views
from galvote.finetuning.head import FOLDS, Known, Scaling, fit_head, fit_temperatures, to_fractions
from galvote.finetuning.own_answers import answer_directions
from galvote.inference import Settings
from galvote.io import list_sources
from galvote.labels import read_labels, read_votes
from galvote.metrics import score_numbers
from galvote.trees import expected_numbers, number_tree, share_numbers

SIZES = (25, 50, 100, 250)
MEASURES = {"concentration": 0, "ellipticity": 3, "colour": 8}


class Numbers(NamedTuple):
    """Galaxies' features in one view, the model's own fractions, and a number of each."""

    features: np.ndarray
    fractions: np.ndarray
    values: np.ndarray


def main() -> None:
    chosen = common.parser(__doc__, "--data", "--gz1").parse_args()
    predictor = galvote.load("galvote-small", backend="onnx")
    common.print_heading(predictor.computed_by, f"{DRAWS} draws", "one view")
    table = common.Table("number | galaxies | labels | what | RMSE | rank correlation | held | width")
    for name, numbers in gather(predictor, chosen.data, chosen.gz1):
        for size in (size for size in SIZES if size < 0.8 * len(numbers.values)):
            found: dict[str, list[list[float]]] = {}
            for draw in range(DRAWS):
                rows = np.random.default_rng((draw, size)).permutation(len(numbers.values))
                for what, scores in compare(numbers, rows[:size], rows[size:], predictor):
                    found.setdefault(what, []).append(scores)
            for what, draws in found.items():
                columns = np.transpose(draws)
                cells = (common.spread(one, 3) if np.isfinite(one).all() else "" for one in columns)
                table.row(name, len(numbers.values), size, what, *cells)


def gather(predictor: galvote.Predictor, data: Path, gz1: Path) -> Iterator[tuple[str, Numbers]]:
    """Yield numbers by name, in units of their standard deviation."""

    def describe(task: Task, values: dict[str, float]) -> Numbers:
        found = look(predictor, task.sources, spread_views(1), Settings(scale=task.scale))
        rows = [row for row, id_ in enumerate(found.ids) if id_ in values]
        own = np.array([values[found.ids[row]] for row in rows])
        return Numbers(found.features[:, rows], found.fractions[rows], own / own.std())

    task = of_folder(gz1)
    ids, (measured,) = measure_all(task)
    for name, column in MEASURES.items():
        yield name, describe(task, dict(zip(ids, measured[:, column].tolist(), strict=True)))
    votes, split = read_votes(data / "training_solutions.csv"), read_labels(data / "splits.csv", "split")
    some = votes.select(np.array([split[id_] == "validation" for id_ in votes.ids]))
    share = np.clip(some.fractions[:, 1], 0.02, 0.98)
    task = Task(list_sources([data / "compact"]).select(some.ids), {}, "gz2")
    yield "featured", describe(task, dict(zip(some.ids, logit(share).tolist(), strict=True)))


def compare(
    numbers: Numbers, learned: np.ndarray, rest: np.ndarray, predictor: galvote.Predictor
) -> Iterator[tuple[str, list[float]]]:
    """Yield what is scored on the rest: RMSE, rank correlation, the share held and the mean width."""
    assert predictor.folder is not None
    every = numbers.features.reshape(-1, numbers.features.shape[2])
    scaling = Scaling.fit(every, answer_directions(predictor.folder, every))
    features, values = scaling.apply(numbers.features), numbers.values
    tree = number_tree("number", values[learned])
    shares = share_numbers(tree.questions[0], values)
    known = Known.of(tree, features[:, learned], shares[learned], None, scaling.answers)
    found, head = leave_out(known), fit_head(known)
    predicted = to_fractions(tree, head.logits(features[0, rest]), fit_temperatures(known, found.logits))
    intervals = NumberIntervals.fit(tree, found.fractions, shares[learned])
    ends = (end[:, 0] for end in intervals.ends(predicted, LEVEL))
    yield "galvote", _score(expected_numbers(tree, predicted)[:, 0], values[rest], *ends)

    x, y = features[0, learned, : features.shape[2] - scaling.answers], values[learned]
    others = features[0, rest, : x.shape[1]]
    ridge, parts = RidgeCV(np.logspace(-4, 3, 29)), KFold(FOLDS, shuffle=True, random_state=0)
    apart = np.abs(y - cross_val_predict(ridge, x, y, cv=parts))
    said, reach = ridge.fit(x, y).predict(others), upper_quantile(apart, np.array([LEVEL]))[0]
    yield "ridge", _score(said, values[rest], said - reach, said + reach)

    nearest, _ = nearest_answers(
        known, predictor.tree, numbers.fractions[learned]
    )  # out of fold of the learned alone
    said = expected_numbers(tree, nearest.fractions)[:, 0]
    yield "nearest answer", [*_score(said, values[learned], said, said)[:2], np.nan, np.nan]


def _score(said: np.ndarray, given: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[float]:
    scores = score_numbers(said, given)
    held = float(((given >= low) & (given <= high)).mean())
    return [scores["rmse"], scores["rank_correlation"], held, float((high - low).mean())]


if __name__ == "__main__":
    main()
