"""Where a model fails: by question, by kind of galaxy, by size, and the galaxies it is furthest from.

    python benchmarks/failures.py --data ../shared/galaxyzoo --store store --model galvote-base --tta 8

Prints tables for the validation split and draws `accuracy-questions.png`, `accuracy-reliability.png` and
`accuracy-size.png`. The tables name the worst galaxies by id; none is shown.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import cv2
import numpy as np

import galvote
from galvote.metrics import Comparison, measure_reliability, score
from galvote.report import best_and_worst, plot_reliability
from galvote.report.figures import INK, TRAINING, VALIDATION, new_figure, save_figure, style_axes
from galvote.trees import DecisionTree, decision_path, describe_path
from galvote.trees.kinds import name_kind
from validation import Galaxies, galaxy_errors, interval, load_galaxies, rmse

FEWEST = 10
"""Galaxies of a kind that are worth a row."""
SIZE_BINS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--store", type=Path, required=True, help="packed store of the galaxies")
    parser.add_argument("--model", default="galvote-base", help="name of a shipped model, or a folder")
    parser.add_argument("--tta", type=int, default=8)
    parser.add_argument("--worst", type=int, default=12, help="how many galaxies to name")
    parser.add_argument(
        "--pictures", type=Path, default=Path(__file__).parents[1] / "docs/pictures", help="folder of figures"
    )
    chosen = parser.parse_args()

    galaxies = load_galaxies(chosen.store, chosen.data / "training_solutions.csv", chosen.data / "splits.csv")
    predictor = galvote.load(chosen.model)
    tree = predictor.tree
    predicted = predictor.predict_cutouts(galaxies.cutouts, tta=chosen.tta).fractions.astype(np.float64)
    scores = score(Comparison(tree, predicted, galaxies.actual, galaxies.training_mean))
    print(" ".join(["python", *sys.argv]))
    print(f"{len(galaxies.ids)} galaxies, RMSE {scores['rmse']:.4f}; {date.today()}\n")

    reliabilities = measure_reliability(predicted, galaxies.actual, tree)
    plot_reliability(reliabilities, chosen.pictures / "accuracy-reliability.png")
    print("| question | RMSE | mean predictor | ratio | off by |\n|---|---|---|---|---|")
    for name, question in scores["questions"].items():
        own, mean = question["rmse"], question["mean_predictor_rmse"]
        print(
            f"| {name.replace('_', ' ')} | {own:.4f} | {mean:.4f} "
            f"| {own / mean:.2f} | {reliabilities[name].error:.4f} |"
        )
    draw_questions(scores["questions"], chosen.pictures / "accuracy-questions.png")

    errors = galaxy_errors(predicted, galaxies.actual)
    constant = galaxy_errors(np.broadcast_to(galaxies.training_mean, predicted.shape), galaxies.actual)
    print_kinds(tree, galaxies, errors, constant)
    print_sizes(galaxies, errors, constant, chosen.pictures / "accuracy-size.png")
    print_worst(tree, galaxies, predicted, errors, chosen.worst)


def draw_questions(questions: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw each question's RMSE as a bar, and the mean predictor's as a line across it."""
    figure = new_figure(8, 4.6)
    axes = figure.add_subplot()
    style_axes(axes, "RMSE by question", "RMSE", "")
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color="#e3e7ec", linewidth=0.8)
    names = list(questions)
    places = np.arange(len(names))
    own = [questions[name]["rmse"] for name in names]
    constant = [questions[name]["mean_predictor_rmse"] for name in names]
    axes.barh(places, own, height=0.62, color=VALIDATION, label="model")
    axes.vlines(constant, places - 0.42, places + 0.42, color=TRAINING, linewidth=3, label="mean predictor")
    axes.set_yticks(places, [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    save_figure(figure, path)


def print_kinds(tree: DecisionTree, galaxies: Galaxies, errors: np.ndarray, constant: np.ndarray) -> None:
    """Print the RMSE of each kind of galaxy, by the volunteers' own decision path."""
    rows = defaultdict[str, list[int]](list)
    for row, fractions in enumerate(galaxies.actual):
        rows[name_kind(tree, fractions).kind.name].append(row)
    print("\n| kind, by the votes | galaxies | RMSE | 95 % | mean predictor |\n|---|---|---|---|---|")
    shown = {name: own for name, own in rows.items() if len(own) >= FEWEST}
    for name, own in sorted(shown.items(), key=lambda item: rmse(errors[item[1]])):
        low, high = interval(errors[own])
        print(
            f"| {name} | {len(own)} | {rmse(errors[own]):.4f} | {low:.4f} to {high:.4f} "
            f"| {rmse(constant[own]):.4f} |"
        )
    if fewer := {name: len(own) for name, own in rows.items() if name not in shown}:
        print("\nToo few to say: " + ", ".join(f"{name} ({count})" for name, count in fewer.items()))


def print_sizes(galaxies: Galaxies, errors: np.ndarray, constant: np.ndarray, path: Path) -> None:
    """Print and draw the RMSE of equally many galaxies at a time, from the smallest to the largest."""
    radii = np.array(
        [half_light_radius(cutout, galaxies.geometry.field_of_view) for cutout in galaxies.cutouts]
    )
    measured = np.flatnonzero(np.isfinite(radii))
    parts = np.array_split(measured[np.argsort(radii[measured])], SIZE_BINS)
    print(
        "\n| half-light radius, GZ2 pixels | galaxies | RMSE | 95 % | mean predictor |\n|---|---|---|---|---|"
    )
    for part in parts:
        low, high = interval(errors[part])
        print(
            f"| {radii[part].min():.1f} to {radii[part].max():.1f} | {len(part)} | {rmse(errors[part]):.4f} "
            f"| {low:.4f} to {high:.4f} | {rmse(constant[part]):.4f} |"
        )
    if len(measured) < len(radii):
        print(f"\nNothing bright in the middle of {len(radii) - len(measured)} cutouts.")
    draw_sizes(radii, errors, constant, parts, path)


def half_light_radius(cutout: np.ndarray, field_of_view: float) -> float:
    """Return the radius, in GZ2 pixels, of the circle that holds half the galaxy's brightness.

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


def draw_sizes(
    radii: np.ndarray, errors: np.ndarray, constant: np.ndarray, parts: Sequence[np.ndarray], path: Path
) -> None:
    """Draw each galaxy as a dot, and each part's RMSE with its interval."""
    figure = new_figure(8, 4.6)
    axes = figure.add_subplot()
    style_axes(axes, "RMSE by size in the picture", "half-light radius, GZ2 pixels", "RMSE")
    axes.plot(radii, np.sqrt(errors), ".", color=VALIDATION, alpha=0.18, label="a galaxy")
    middles = [float(np.median(radii[part])) for part in parts]
    for values, colour, label in ((errors, VALIDATION, "model"), (constant, TRAINING, "mean predictor")):
        own = np.array([rmse(values[part]) for part in parts])
        ends = np.array([interval(values[part]) for part in parts])
        beside = np.abs(ends.T - own)
        axes.errorbar(middles, own, yerr=beside, fmt="o-", color=colour, capsize=3, label=label)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, labelcolor=INK)
    save_figure(figure, path)


def print_worst(
    tree: DecisionTree, galaxies: Galaxies, predicted: np.ndarray, errors: np.ndarray, count: int
) -> None:
    """Print the galaxies with the highest RMSE of their own: what volunteers and model say of them."""
    print("\n| galaxy | RMSE | volunteers | model | furthest apart |\n|---|---|---|---|---|")
    _, worst = best_and_worst(predicted, galaxies.actual, count)
    for row in worst:
        voted, said = (
            describe_path(decision_path(tree, fractions[row])) for fractions in (galaxies.actual, predicted)
        )
        apart = int(np.abs(predicted[row] - galaxies.actual[row]).argmax())
        print(
            f"| {galaxies.ids[row]} | {np.sqrt(errors[row]):.3f} | {voted} | {said} "
            f"| {tree.answers[apart].phrase}: {galaxies.actual[row, apart]:.2f} voted, "
            f"{predicted[row, apart]:.2f} predicted |"
        )


if __name__ == "__main__":
    main()
