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

import random
import statistics
import tomllib
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import common
from benchmarks.accuracy.recipes import minutes_of, train
from galvote.io import read_table, write_table
from galvote.report.figures import VALIDATION, new_figure, save_figure, style_axes

DEVELOPMENT_GALAXIES = 800
EPOCHS = 6
COMPLETE = ["data.labels=complete", "data.representative=0.0", "training.classes_weight=0.0"]
RECIPE = Path(__file__).with_name("ablation-recipe.toml")


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--runs", "--seeds", "--figure")
    options.add_argument("--set", nargs="*", default=[], help="settings for all runs, such as campaigns")
    options.add_argument("--only", nargs="+", help="names of variants; all by default")
    options.add_argument("--sizes", nargs="+", type=int, default=[], help="galaxies, instead of variants")
    chosen = options.parse_args()
    chosen.runs.mkdir(parents=True, exist_ok=True)
    variants: dict[str, list[str]] = tomllib.loads(RECIPE.with_name("ablation.toml").read_text())
    table = read_table(chosen.data / "splits.csv")
    if chosen.sizes:
        all_ = len(order_labelled(table))
        epochs = {size: round(EPOCHS * all_ / size) for size in chosen.sizes}
        variants = {str(size): [*COMPLETE, f"training.epochs={number}"] for size, number in epochs.items()}
        splits = {str(size): split_size(table, size, chosen.runs) for size in chosen.sizes}
    else:
        splits = dict.fromkeys(variants, split_development(table, chosen.runs))
    names = chosen.only or list(variants)

    def run(name: str, seed: int) -> Path:
        settings = [*variants[name], *chosen.set, f"seed={seed}"]
        return train(
            chosen.runs / f"{name}-{seed}", RECIPE, settings, chosen.data, chosen.store, splits[name]
        )

    runs = {name: [run(name, seed) for seed in chosen.seeds] for name in names}
    galaxies = common.load_galaxies(chosen.data, chosen.store, splits[names[0]])
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    table = common.Table("variant | changes | RMSE | against the first | 95 % | core minutes")
    scores, first = dict[str, list[float]](), np.empty(0)
    for name, own in runs.items():
        errors = np.stack([galaxies.errors_of(run / "last") for run in own])
        first = first if scores else errors
        against = common.describe_difference(errors, first) if scores else ("", "")
        scores[name] = [common.rmse(one) for one in errors]
        changes = ", ".join(f"`{change}`" for change in variants[name])
        minutes = statistics.mean(map(minutes_of, own))
        table.row(f"`{name}`", changes, common.mean_of(scores[name]), *against, f"{minutes:.1f}")
    if chosen.figure:
        draw(scores, chosen.figure)


def split_development(table: pa.Table, folder: Path) -> Path:
    """Write a table of splits in which `DEVELOPMENT_GALAXIES` training galaxies are for validation."""
    split, labels, sample = (np.array(table[name], object) for name in ("split", "labels", "sample"))
    training = split != "validation"
    unbiased = np.flatnonzero(training & (labels == "full") & (sample == "complete")).tolist()
    random.Random(7).shuffle(unbiased)
    split[unbiased[:DEVELOPMENT_GALAXIES]] = "validation"
    changed = table.set_column(table.column_names.index("split"), "split", pa.array(split))
    write_table(changed.filter(training), folder / "dev.csv", overwrite=True)
    return folder / "dev.csv"


def order_labelled(table: pa.Table) -> list[int]:
    """Return rows of the training galaxies with all votes, in an order that depends on their ids alone."""
    split, labels, ids = (np.array(table[name]) for name in ("split", "labels", "GalaxyID"))
    rows = np.flatnonzero((labels == "full") & (split == "train")).tolist()
    return sorted(rows, key=lambda row: blake2b(f"learning curve:{ids[row]}".encode()).digest())


def split_size(table: pa.Table, size: int, folder: Path) -> Path:
    """Write a table of splits with so many training galaxies."""
    held_out = np.flatnonzero(np.array(table["split"]) == "validation").tolist()
    path = folder / f"splits-{size}.csv"
    write_table(table.take([*held_out, *order_labelled(table)[:size]]), path, overwrite=True)
    return path


def draw(scores: dict[str, list[float]], path: Path) -> None:
    """Draw each seed's RMSE against the number of galaxies, and the line through their means."""
    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    style_axes(axes, "How much more galaxies help", "galaxies with all votes", "RMSE on the validation split")
    sizes = [int(name) for name in scores]
    axes.plot(sizes, list(scores.values()), "o", color=VALIDATION, alpha=0.5, markersize=5)
    axes.plot(sizes, [statistics.mean(own) for own in scores.values()], color=VALIDATION)
    common.mark_sizes(axes, sizes)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
