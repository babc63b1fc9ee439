"""RMSE on the validation split against the number of labelled galaxies that a recipe learns from.

    python benchmarks/learning_curve.py --data ../shared/galaxyzoo --store store --runs runs/labels

Takes 500, 1,000, 2,000, 4,000 and all training galaxies with all votes, and no others: no galaxies with some
votes, no hard classes. A galaxy's place in the order depends on its id alone, so each set holds the smaller
ones. `--same-steps` gives small sets more epochs, so that all runs take as many steps; otherwise all have the
recipe's epochs. Each run is a `galvote train` of its own that goes on where it stopped. What is scored is the
last epoch's model in one view.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from galvote.labels import read_labels, read_votes
from galvote.report.figures import INK, MUTED, VALIDATION, new_figure, save_figure, style_axes
from galvote.training import load_recipe
from runs import has_recipe, is_finished, last_rmse, minutes_of, train
from validation import galaxy_errors, load_galaxies, rmse

SIZES = (500, 1000, 2000, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--store", type=Path, required=True, help="packed store of all galaxies")
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--recipe", default="galvote-base", help="name of a recipe, or a TOML file")
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="beside all galaxies")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="settings for all runs")
    parser.add_argument("--same-steps", action="store_true", help="more epochs for fewer galaxies")
    parser.add_argument("--picture", type=Path, help="PNG to draw the curve in")
    chosen = parser.parse_args()

    votes = chosen.data / "training_solutions.csv"
    order = labelled_galaxies(votes, chosen.data / "splits.csv")
    sizes = [*sorted(size for size in chosen.sizes if size < len(order)), len(order)]
    training = load_recipe(chosen.recipe, chosen.set).training
    if training.teacher is not None or training.pretrained not in ("random", "imagenet", "teacher"):
        parser.error("a recipe that learns from another model has seen all galaxies already; choose another")
    chosen.runs.mkdir(parents=True, exist_ok=True)
    found = dict[int, list[Path]]()
    for seed in chosen.seeds:
        for size in sizes:
            splits = chosen.runs / f"splits-{size}.csv"
            write_splits(splits, chosen.data / "splits.csv", set(order[:size]))
            settings = [*chosen.set, f"seed={seed}"]
            if chosen.same_steps:
                settings.append(f"training.epochs={round(training.epochs * len(order) / size)}")
            run = chosen.runs / f"{Path(chosen.recipe).stem}-{size}-{seed}"
            if not is_finished(run):
                train(run, chosen.recipe, settings, store=chosen.store, splits=splits, votes=[votes])
            elif not has_recipe(run, load_recipe(chosen.recipe, settings)):
                parser.error(f"{run} is a finished run with other settings; choose another --runs")
            found.setdefault(size, []).append(run)

    galaxies = load_galaxies(chosen.store, votes, chosen.data / "splits.csv")
    constant = np.broadcast_to(galaxies.training_mean, galaxies.actual.shape)
    mean_predictor = rmse(galaxy_errors(constant, galaxies.actual))
    print_table(found, mean_predictor)
    if chosen.image is not None:
        draw(found, mean_predictor, Path(chosen.recipe).stem, chosen.image)


def labelled_galaxies(votes: Path, splits: Path) -> list[str]:
    """Return the training galaxies with all votes, in an order that depends on their ids alone."""
    known, split = read_votes([votes]), read_labels(splits, "split")
    labelled = [
        galaxy
        for galaxy, complete in zip(known.ids, known.complete, strict=True)
        if complete and split.get(galaxy) == "train"
    ]
    return sorted(labelled, key=lambda galaxy: blake2b(f"learning curve:{galaxy}".encode()).digest())


def write_splits(out: Path, splits: Path, training: set[str]) -> None:
    """Write a table of splits with these training galaxies and all validation galaxies."""
    with splits.open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["split"] == "validation" or row["GalaxyID"] in training
        ]
    with out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["GalaxyID", "split", "sample"])
        table.writerows([row["GalaxyID"], row["split"], row["sample"]] for row in rows)


def print_table(found: Mapping[int, Sequence[Path]], mean_predictor: float) -> None:
    print("\n| galaxies | RMSE | seeds | core minutes |")
    print("|---|---|---|---|")
    for size, runs in found.items():
        scores = [last_rmse(run) for run in runs]
        spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        minutes = statistics.mean(minutes_of(run) for run in runs)
        print(f"| {size:,} | {statistics.mean(scores):.4f}{spread} | {len(scores)} | {minutes:.1f} |")
    print(f"\nMean predictor: {mean_predictor:.4f}")


def draw(found: Mapping[int, Sequence[Path]], mean_predictor: float, recipe: str, path: Path) -> None:
    """Draw each seed's RMSE, and the line through their means."""
    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    style_axes(axes, "How much more galaxies help", "galaxies with all votes", "RMSE on the validation split")
    scores = {size: [last_rmse(run) for run in runs] for size, runs in found.items()}
    for size, own in scores.items():
        axes.plot([size] * len(own), own, "o", color=VALIDATION, alpha=0.5, markersize=5)
    axes.plot(list(scores), [statistics.mean(own) for own in scores.values()], color=VALIDATION, label=recipe)
    axes.axhline(mean_predictor, color=MUTED, linestyle=(0, (4, 3)), label="mean predictor")
    axes.set_xscale("log")
    axes.set_xticks(list(scores), [f"{size:,}" for size in scores])
    axes.minorticks_off()
    axes.legend(frameon=False, labelcolor=INK)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
