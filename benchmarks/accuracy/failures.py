"""Where a model fails: by question, by kind of galaxy, and the galaxies it is furthest from.

    python -m benchmarks.accuracy.failures --data DATA --store STORE --model galvote-base --tta 8

Prints tables for the validation split and draws reliability. The worst galaxies are named, not shown.
"""

from collections import defaultdict

import numpy as np

import galvote
from benchmarks import common
from galvote.metrics import Comparison, measure_reliability, score
from galvote.report import best_and_worst, plot_reliability
from galvote.trees import decision_path, describe_path
from galvote.trees.kinds import name_kind

FEWEST, WORST = 10, 12  # galaxies of a kind that are worth a row, and how many are named


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--model", "--figure")
    options.add_argument("--tta", type=int, default=8)
    chosen = options.parse_args()
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    predictor = galvote.load(chosen.model)
    tree, actual = predictor.tree, galaxies.actual
    predicted = predictor.predict_features(galaxies.cutouts, chosen.tta)[0].astype(np.float64)
    errors = galaxies.errors(predicted)
    common.print_heading(f"{len(galaxies.ids)} galaxies, RMSE {common.rmse(errors):.4f}")

    reliabilities = measure_reliability(predicted, actual, tree)
    if chosen.figure:
        plot_reliability(reliabilities, chosen.figure)
    table = common.Table("question | RMSE | mean predictor | off by")
    for name, one in score(Comparison(tree, predicted, actual, galaxies.mean))["questions"].items():
        numbers = one["rmse"], one["mean_predictor_rmse"], reliabilities[name].error
        table.row(name.replace("_", " "), *(f"{number:.4f}" for number in numbers))

    kinds = defaultdict[str, list[int]](list)
    for row, fractions in enumerate(actual):
        kinds[name_kind(tree, fractions).kind.name].append(row)
    table = common.Table("kind, by the votes | galaxies | RMSE | 95 % | mean predictor")
    for name, rows in sorted(kinds.items(), key=lambda item: common.rmse(errors[item[1]])):
        if len(rows) >= FEWEST:
            mean = common.rmse(galaxies.mean_errors[rows])
            table.row(name, len(rows), *common.describe_score(errors[rows]), f"{mean:.4f}")
    table = common.Table("galaxy | RMSE | volunteers | model | furthest apart")
    for row in best_and_worst(predicted, actual, WORST)[1]:
        voted, said = actual[row], predicted[row]
        apart = int(np.abs(said - voted).argmax())
        paths = (describe_path(decision_path(tree, fractions)) for fractions in (voted, said))
        furthest = f"{tree.answers[apart].phrase}: {voted[apart]:.2f} voted, {said[apart]:.2f} predicted"
        table.row(galaxies.ids[row], f"{np.sqrt(errors[row]):.3f}", *paths, furthest)


if __name__ == "__main__":
    main()
