"""What each part of a recipe is worth, and what more galaxies are: variants trained alike and compared.

    python -m benchmarks.accuracy.ablation --data DATA --store STORE --runs runs/ablation --seeds 0 1
    python -m benchmarks.accuracy.ablation --data DATA --store STORE --runs runs/labels --sizes 500 7371

`ablation.toml` has the variants of `ablation-recipe.toml`. They are compared on a development split: 800
galaxies with all votes, drawn from the representative training galaxies, and no variant learns from them. The
validation split takes no part, so what is chosen here can be scored there.

With `--sizes` the variants are numbers of training galaxies with all votes, without others, scored on the
validation split. A galaxy's place in the order depends on its id alone, so each set holds the smaller ones.
All take as many steps. Runs go on where they stopped; finished ones are not trained again.
"""

import csv
import random
import statistics
import tomllib
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import common
from benchmarks.accuracy.recipes import minutes_of, train
from galvote.report.figures import VALIDATION, new_figure, save_figure, style_axes

DEVELOPMENT_GALAXIES = 800
EPOCHS = 6
COMPLETE = ["data.labels=complete", "data.representative=0.0", "training.classes_weight=0.0"]
RECIPE = Path(__file__).with_name("ablation-recipe.toml")
VARIANTS = Path(__file__).with_name("ablation.toml")


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--runs", "--seeds", "--set")
    options.add_argument("--only", nargs="+", help="names of variants; all by default")
    options.add_argument("--sizes", nargs="+", type=int, default=[], help="galaxies, instead of variants")
    options.add_argument("--figure", type=Path, help="PNG of RMSE against the sizes")
    chosen = options.parse_args()
    chosen.runs.mkdir(parents=True, exist_ok=True)
    with (chosen.data / "splits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    variants, splits = choose_sizes(rows, chosen.sizes, chosen.runs)
    if not chosen.sizes:
        variants = tomllib.loads(VARIANTS.read_text())
        splits = dict.fromkeys(variants, split_development(rows, chosen.runs))
    names = chosen.only or list(variants)
    runs: dict[str, list[Path]] = {name: [] for name in names}
    for name, seed in product(names, chosen.seeds):
        run, settings = chosen.runs / f"{name}-{seed}", [*variants[name], *chosen.set, f"seed={seed}"]
        runs[name].append(train(run, RECIPE, settings, chosen.data, chosen.store, splits[name]))
    galaxies = common.load_galaxies(chosen.data, chosen.store, splits[names[0]])
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    table = common.Table("variant | changes | RMSE | seeds | against the first | 95 % | core minutes")
    errors = dict[str, np.ndarray]()
    for name, own in runs.items():
        errors[name] = np.stack([galaxies.errors_of(run / "last") for run in own])
        against = common.describe_difference(errors[name], errors[names[0]]) if len(errors) > 1 else ("", "")
        changes = ", ".join(f"`{change}`" for change in variants[name])
        minutes = statistics.mean(map(minutes_of, own))
        score = common.mean_of([common.rmse(one) for one in errors[name]])
        table.row(f"`{name}`", changes, score, len(own), *against, f"{minutes:.1f}")
    if chosen.figure:
        draw({int(name): [common.rmse(one) for one in own] for name, own in errors.items()}, chosen.figure)


def split_development(rows: Iterable[dict[str, str]], folder: Path) -> Path:
    """Write a table of splits in which `DEVELOPMENT_GALAXIES` training galaxies are for validation."""
    training = [dict(row) for row in rows if row["split"] != "validation"]
    unbiased = [row for row in training if (row["labels"], row["sample"]) == ("full", "complete")]
    random.Random(7).shuffle(unbiased)
    for row in unbiased[:DEVELOPMENT_GALAXIES]:
        row["split"] = "validation"
    return write_splits(training, folder / "dev.csv")


def choose_sizes(
    rows: Iterable[dict[str, str]], sizes: Sequence[int], folder: Path
) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Return what numbers of galaxies change of the recipe, and their tables of splits."""
    labelled = [row for row in rows if (row["labels"], row["split"]) == ("full", "train")]
    labelled.sort(key=lambda row: blake2b(f"learning curve:{row['GalaxyID']}".encode()).digest())
    held_out = [row for row in rows if row["split"] == "validation"]
    variants, splits = dict[str, list[str]](), dict[str, Path]()
    for size in sizes:
        epochs = round(EPOCHS * len(labelled) / size)
        variants[str(size)] = [*COMPLETE, f"training.epochs={epochs}"]
        splits[str(size)] = write_splits([*held_out, *labelled[:size]], folder / f"splits-{size}.csv")
    return variants, splits


def write_splits(rows: Iterable[dict[str, str]], path: Path) -> Path:
    """Write some galaxies' splits."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["GalaxyID", "split", "sample"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    return path


def draw(scores: dict[int, list[float]], path: Path) -> None:
    """Draw each seed's RMSE, and the line through their means."""
    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    style_axes(axes, "How much more galaxies help", "galaxies with all votes", "RMSE on the validation split")
    for size, own in scores.items():
        axes.plot([size] * len(own), own, "o", color=VALIDATION, alpha=0.5, markersize=5)
    axes.plot(list(scores), [statistics.mean(own) for own in scores.values()], color=VALIDATION)
    common.mark_sizes(axes, list(scores))
    save_figure(figure, path)


if __name__ == "__main__":
    main()
