"""Where a model fails: by question, by kind of galaxy, by size, and the galaxies it is furthest from.

    python -m benchmarks.accuracy.failures --data DATA --store STORE --model galvote-base --tta 8

Prints tables for the validation split and draws reliability. The worst galaxies are named, not shown.
"""

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

import galvote
from benchmarks import common
from galvote.metrics import Comparison, measure_reliability, score
from galvote.report import best_and_worst, plot_reliability
from galvote.trees import DecisionTree, decision_path, describe_path
from galvote.trees.kinds import name_kind

FEWEST = 10
"""Galaxies of a kind that are worth a row."""
SIZE_BINS = 5


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--model")
    options.add_argument("--tta", type=int, default=8)
    options.add_argument("--worst", type=int, default=12, help="how many galaxies to name")
    options.add_argument("--figure", type=Path, default=common.PICTURES / "accuracy-reliability.png")
    chosen = options.parse_args()
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    predictor = galvote.load(chosen.model)
    predicted = predictor.predict_features(galaxies.cutouts, chosen.tta)[0].astype(np.float64)
    scores = score(Comparison(predictor.tree, predicted, galaxies.actual, galaxies.mean))
    common.print_heading(f"{len(galaxies.ids)} galaxies, RMSE {scores['rmse']:.4f}")

    reliabilities = measure_reliability(predicted, galaxies.actual, predictor.tree)
    plot_reliability(reliabilities, chosen.figure)
    table = common.Table("question", "RMSE", "mean predictor", "ratio", "off by")
    for name, question in scores["questions"].items():
        own, mean = question["rmse"], question["mean_predictor_rmse"]
        numbers = own, mean, own / mean, reliabilities[name].error
        table.row(name.replace("_", " "), *(f"{number:.4f}" for number in numbers))

    errors = galaxies.errors(predicted)
    print_kinds(predictor.tree, galaxies, errors)
    print_sizes(galaxies, errors)
    print_worst(predictor.tree, galaxies, predicted, errors, chosen.worst)


def print_kinds(tree: DecisionTree, galaxies: common.Galaxies, errors: np.ndarray) -> None:
    """Print the RMSE of each kind of galaxy, by the volunteers' own decision path."""
    rows = defaultdict[str, list[int]](list)
    for row, fractions in enumerate(galaxies.actual):
        rows[name_kind(tree, fractions).kind.name].append(row)
    table = common.Table("kind, by the votes", "galaxies", "RMSE", "95 %", "mean predictor")
    for name, own in sorted(rows.items(), key=lambda item: common.rmse(errors[item[1]])):
        if len(own) >= FEWEST:
            mean = common.rmse(galaxies.mean_errors[own])
            table.row(name, len(own), *common.describe_score(errors[own]), f"{mean:.4f}")
    fewer = (f"{name} ({len(own)})" for name, own in rows.items() if len(own) < FEWEST)
    print("\nToo few to say:", ", ".join(fewer))


def print_sizes(galaxies: common.Galaxies, errors: np.ndarray) -> None:
    """Print the RMSE of equally many galaxies at a time, from the smallest to the largest."""
    width = galaxies.geometry.field_of_view
    radii = np.array([half_light_radius(cutout, width) for cutout in galaxies.cutouts])
    measured = np.flatnonzero(np.isfinite(radii))
    bins = np.array_split(measured[np.argsort(radii[measured])], SIZE_BINS)
    table = common.Table("half-light radius, r90", "galaxies", "RMSE", "95 %", "mean predictor")
    for own in bins:
        mean = common.rmse(galaxies.mean_errors[own])
        ends = f"{radii[own].min():.3f} to {radii[own].max():.3f}"
        table.row(ends, len(own), *common.describe_score(errors[own]), f"{mean:.4f}")
    print(f"\nNothing bright in the middle of {len(radii) - len(measured)} cutouts.")


def half_light_radius(cutout: np.ndarray, field_of_view: float) -> float:
    """Return the radius, in r90, of the circle that holds half the galaxy's brightness.

    The galaxy is what hangs together with the middle of the cutout and stands out of the sky by three times
    its scatter; sky and scatter are the rim's median and median deviation. Brightness is that of the picture,
    whose stretch makes faint outskirts count for more than their light.

    Returns
    -------
    NaN if nothing stands out within a tenth of the width from the centre.
    """
    brightness = cutout.mean(axis=2)
    pixels = len(cutout)
    y, x = np.indices(brightness.shape) - (pixels - 1) / 2
    radius = np.hypot(y, x)
    rim = brightness[np.maximum(np.abs(x), np.abs(y)) > 0.45 * pixels]
    sky = np.median(rim)
    scatter = max(1.4826 * float(np.median(np.abs(rim - sky))), 1.0)
    _, labels = cv2.connectedComponents((brightness - sky > 3 * scatter).astype(np.uint8))
    nearest = np.where(labels > 0, radius, np.inf).argmin()
    if radius.flat[nearest] > pixels / 10 or labels.flat[nearest] == 0:
        return float("nan")
    own = labels == labels.flat[nearest]
    order = np.argsort(radius[own])
    light = np.cumsum((brightness - sky)[own][order])
    half = np.searchsorted(light, light[-1] / 2)
    return float(radius[own][order][half] * field_of_view / pixels)


def print_worst(
    tree: DecisionTree, galaxies: common.Galaxies, predicted: np.ndarray, errors: np.ndarray, count: int
) -> None:
    """Print the galaxies with the highest RMSE of their own: what volunteers and model say of them."""
    table = common.Table("galaxy", "RMSE", "volunteers", "model", "furthest apart")
    for row in best_and_worst(predicted, galaxies.actual, count)[1]:
        voted, said = galaxies.actual[row], predicted[row]
        apart = int(np.abs(said - voted).argmax())
        paths = (describe_path(decision_path(tree, fractions)) for fractions in (voted, said))
        furthest = f"{tree.answers[apart].phrase}: {voted[apart]:.2f} voted, {said[apart]:.2f} predicted"
        table.row(galaxies.ids[row], f"{np.sqrt(errors[row]):.3f}", *paths, furthest)


if __name__ == "__main__":
    main()
