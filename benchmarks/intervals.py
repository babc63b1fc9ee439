"""What the intervals hold and how wide they are, and what the flag of unlike pictures catches, as Markdown.

    python benchmarks/intervals.py --data ../shared/galaxyzoo --model galvote-small --figure coverage.png

Intervals are calibrated on random halves of the validation galaxies and measured on the other halves, beside
intervals of one width for each column, calibrated on the same galaxies; after ± stands the standard deviation
over the halves. The flag compares with 3,000 training galaxies; its threshold is set on the validation
galaxies, and false alarms are measured on halves of them. Nothing is chosen by these numbers but how many
axes the flag has: see docs/intervals.md.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from unlike_images import FIELD_OF_VIEW, KINDS

import galvote
from galvote.calibration import (
    CrossFit,
    Intervals,
    OodDetector,
    cross_fit,
    measure_false_alarms,
    random_halves,
)
from galvote.images import PackedStore, pack, to_cutout
from galvote.inference import Predictor
from galvote.io import list_sources
from galvote.labels import read_labels, read_votes
from galvote.metrics import measure_coverage
from galvote.report.figures import GRID, INK, TRAINING, VALIDATION, new_figure, save_figure, style_axes
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

LEVELS = (0.5, 0.8, 0.9, 0.95)
TRAINING_IMAGES = 3000
FALSE_ALARMS = 0.015


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with compact/ and the CSV files")
    parser.add_argument("--model", required=True, help="name of a shipped model, or a folder")
    parser.add_argument("--store", type=Path, help="packed store of all pictures; else they are packed first")
    parser.add_argument("--figure", type=Path, help="write a figure here")
    chosen = parser.parse_args()

    predictor = galvote.load(chosen.model)
    votes = read_votes([chosen.data / "training_solutions.csv"])
    labels = read_labels(chosen.data / "splits.csv", "split")
    held_out = [galaxy for galaxy in votes.ids if labels.get(galaxy) == "validation"]
    training = sorted(galaxy for galaxy, split in labels.items() if split == "train")
    drawn = np.random.default_rng(0).choice(training, TRAINING_IMAGES, replace=False).tolist()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.store is not None:
            store = PackedStore.open(chosen.store)
        else:
            wanted = list_sources([chosen.data / "compact"]).select({*held_out, *drawn})
            store = pack(wanted, Path(folder) / "store", predictor.geometry)
        row_of = {galaxy: row for row, galaxy in enumerate(store.ids)}
        real = np.asarray(store.cutouts[[row_of[galaxy] for galaxy in held_out]])
        predicted, features = predictor.predict_features(real)
        known = predictor.predict_features(store.cutouts[sorted(row_of[galaxy] for galaxy in drawn)])[1]
    actual = votes.fractions[[votes.ids.index(galaxy) for galaxy in held_out]]

    fits = {
        "adaptive": cross_fit(predicted, actual, GZ2, LEVELS),
        "one width": cross_fit(predicted, actual, GZ2, LEVELS, fit=OneWidth.fit),
    }
    print(f"Model {chosen.model}, {len(held_out)} galaxies, one view.\n")
    print_levels(fits)
    print_questions(predicted, actual)
    print_predictions(predicted, actual)
    print_flag(predictor, OodDetector.fit(known, features, false_alarms=FALSE_ALARMS), features, real)
    if chosen.figure:
        levels = tuple(step / 20 for step in range(1, 20))
        curves = {
            "adaptive": cross_fit(predicted, actual, GZ2, levels, halves=20),
            "one width": cross_fit(predicted, actual, GZ2, levels, halves=20, fit=OneWidth.fit),
        }
        draw_figure(chosen.figure, curves, fits)


@dataclass(frozen=True)
class OneWidth:
    """The baseline: each column's prediction plus and minus one number, by split conformal prediction."""

    apart: np.ndarray

    @classmethod
    def fit(cls, predicted: np.ndarray, actual: np.ndarray) -> OneWidth:
        """Sort the distances of votes from their prediction."""
        return cls(
            np.append(np.sort(np.abs(actual - predicted), axis=0), np.full((1, len(GZ2)), np.inf), axis=0)
        )

    def ends(self, predicted: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper end for each prediction."""
        rank = int(np.ceil(round(level * len(self.apart), 9)))
        apart = self.apart[rank - 1]
        return np.clip(predicted - apart, 0, 1), np.clip(predicted + apart, 0, 1)


def print_levels(fits: dict[str, tuple[CrossFit, ...]]) -> None:
    print("| level | votes in their interval | questions | mean width | one width: votes | mean width |")
    print("|---|---|---|---|---|---|")
    for one, baseline in zip(fits["adaptive"], fits["one width"], strict=True):
        shares = one.coverage.questions.values()
        print(
            f"| {one.level:.0%} | {one.coverage.overall:.1%} ± {one.spread:.1%} "
            f"| {min(shares):.1%} to {max(shares):.1%} | {one.coverage.mean_width:.3f} "
            f"| {baseline.coverage.overall:.1%} | {baseline.coverage.mean_width:.3f} |"
        )


def print_questions(predicted: np.ndarray, actual: np.ndarray) -> None:
    """Print the coverage by question, and how much it differs between the halves."""
    held: dict[str, list[list[float]]] = {name: [] for name in GZ2.slices}
    for half in random_halves(len(predicted), 50):
        ends = [
            fit(predicted[half], actual[half]).ends(predicted[~half], 0.9)
            for fit in (Intervals.fit, OneWidth.fit)
        ]
        coverages = [measure_coverage(actual[~half], low, high, GZ2) for low, high in ends]
        for name, shares in held.items():
            shares.append([coverage.questions[name] for coverage in coverages if coverage])
    print("\n| question | votes in their 90 % interval | one width |")
    print("|---|---|---|")
    for name, shares in held.items():
        found = zip(np.mean(shares, axis=0), np.std(shares, axis=0), strict=True)
        print(
            f"| {name.replace('_', ' ')} | {' | '.join(f'{mean:.1%} ± {std:.1%}' for mean, std in found)} |"
        )


def print_predictions(predicted: np.ndarray, actual: np.ndarray) -> None:
    """Print the coverage by what was predicted: a promise for all may be broken for some."""
    edges = (0, 0.01, 0.05, 0.15, 0.35, 0.65, 1.01)
    held: dict[str, list[list[float]]] = {"adaptive": [], "one width": []}
    for half in random_halves(len(predicted), 50):
        for name, fit in (("adaptive", Intervals.fit), ("one width", OneWidth.fit)):
            low, high = fit(predicted[half], actual[half]).ends(predicted[~half], 0.9)
            within = (low <= actual[~half]) & (actual[~half] <= high)
            bins = np.digitize(predicted[~half], edges) - 1
            held[name].append([within[bins == place].mean() for place in range(len(edges) - 1)])
    print("\n| predicted fraction | votes in their 90 % interval | one width |")
    print("|---|---|---|")
    means = {name: np.mean(found, axis=0) for name, found in held.items()}
    for place, (least, most) in enumerate(pairwise(edges)):
        shares = " | ".join(f"{means[name][place]:.1%}" for name in means)
        print(f"| {least:g} to {min(most, 1):g} | {shares} |")


def print_flag(predictor: Predictor, ood: OodDetector, features: np.ndarray, real: np.ndarray) -> None:
    share, spread = measure_false_alarms(ood.distances(features), FALSE_ALARMS)
    print("\n| pictures | how many | flagged as unlike |")
    print("|---|---|---|")
    print(f"| validation galaxies, measured on halves | {len(features)} | {share:.1%} ± {spread:.1%} |")
    for kind, draw in KINDS.items():
        cutouts = np.stack(
            [to_cutout(image, predictor.geometry, FIELD_OF_VIEW) for image in draw(real[:150])]
        )
        flagged = ood.judge(predictor.predict_features(cutouts)[1], cutouts)[0]
        print(f"| {kind} | {len(flagged)} | {flagged.mean():.0%} |")


def draw_figure(
    path: Path, curves: dict[str, tuple[CrossFit, ...]], fits: dict[str, tuple[CrossFit, ...]]
) -> None:
    """Draw coverage by question, and what was held against what was promised."""
    figure = new_figure(10, 4.6)
    by_question, by_level = figure.subplots(1, 2)
    at_ninety = [fit[LEVELS.index(0.9)].coverage for fit in fits.values()]
    names = list(at_ninety[0].questions)
    for coverage, name, colour in zip(at_ninety, fits, (VALIDATION, TRAINING), strict=True):
        shares = [100 * coverage.questions[question] for question in names]
        by_question.plot(shares, range(len(names)), "o", color=colour, label=name)
        held = [100 * one.coverage.overall for one in curves[name]]
        by_level.plot([100 * one.level for one in curves[name]], held, color=colour, label=name)
    by_question.axvline(90, color=INK, linewidth=0.8)
    by_question.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    by_question.invert_yaxis()
    by_question.set_xlim(80, 100)
    by_question.set_xticks(range(80, 101, 5))
    style_axes(by_question, "Votes in their 90 % interval", "%", "")
    by_level.plot([0, 100], [0, 100], color=GRID)
    style_axes(by_level, "Votes in their interval", "promised, %", "held, %")
    by_level.legend(frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
