"""What each part of a recipe is worth: variants of it, trained alike and compared on the same galaxies.

    python benchmarks/ablation.py --data ../shared/galaxyzoo --store store --runs runs/ablation --seeds 0 1

The variants are in `ablation.toml`: a recipe, and by name what each changes of it. They are compared on a
development split: 800 galaxies with all votes, drawn from the unbiased part of the training galaxies, and
no variant learns from them. The validation split takes no part at all, so what is chosen here can be scored
there. Each run is a `galvote train` of its own that goes on where it stopped; finished runs in the folder are
known by their recipe and data, whatever their name. `--table` prints the table of those alone.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import galvote
from galvote.training import Recipe, load_recipe
from runs import has_recipe, is_finished, minutes_of, train
from validation import Galaxies, galaxy_errors, interval, load_galaxies, rmse

DEVELOPMENT_GALAXIES = 800
REFERENCE = "ref"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--store", type=Path, required=True, help="packed store of all galaxies")
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--variants", type=Path, default=Path(__file__).with_name("ablation.toml"))
    parser.add_argument("--only", nargs="+", help="names of variants; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="settings for all runs, for a quick look")
    parser.add_argument("--table", action="store_true", help="train nothing")
    chosen = parser.parse_args()

    plan = tomllib.loads(chosen.variants.read_text())
    recipe = chosen.variants.parent / plan["recipe"]
    settings: dict[str, list[str]] = {
        name: [*changes, *chosen.set]
        for name, changes in plan["variants"].items()
        if chosen.only is None or name in chosen.only
    }
    chosen.runs.mkdir(parents=True, exist_ok=True)
    splits = write_development_split(chosen.data / "splits.csv", chosen.runs / "dev.csv")
    found = dict[str, dict[int, Path]]()
    for seed in chosen.seeds:
        for name, changes in settings.items():
            seeded = [*changes, f"seed={seed}"]
            run = find_run(chosen.runs, load_recipe(recipe, seeded), splits)
            if run is None and not chosen.table:
                run = chosen.runs / f"{name}-{seed}"
                train(
                    run,
                    recipe,
                    seeded,
                    store=chosen.store,
                    splits=splits,
                    votes=[chosen.data / "training_solutions.csv", chosen.data / "partial_solutions.csv"],
                    classes=chosen.data / "clean_classes.csv",
                )
            if run is not None:
                found.setdefault(name, {})[seed] = run
    galaxies = load_galaxies(chosen.store, chosen.data / "training_solutions.csv", splits)
    print_table(settings, found, galaxies)


def write_development_split(splits: Path, out: Path) -> Path:
    """Write a table of splits in which `DEVELOPMENT_GALAXIES` training galaxies are for validation."""
    with splits.open(newline="") as file:
        rows = list(csv.DictReader(file))
    unbiased = [
        row["GalaxyID"]
        for row in rows
        if (row["labels"], row["sample"], row["split"]) == ("full", "complete", "train")
    ]
    random.Random(7).shuffle(unbiased)
    development = set(unbiased[:DEVELOPMENT_GALAXIES])
    with out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["GalaxyID", "split", "sample"])
        for row in rows:
            if row["split"] != "validation":
                held_out = row["GalaxyID"] in development
                table.writerow([row["GalaxyID"], "validation" if held_out else row["split"], row["sample"]])
    return out


def find_run(runs: Path, recipe: Recipe, splits: Path) -> Path | None:
    """Return the finished run of this recipe on these splits."""
    digest = hashlib.sha256(splits.read_bytes()).hexdigest()
    for path in sorted(runs.glob("*/run.json")):
        run = path.parent
        tables = json.loads(path.read_text())["data"]["files_sha256"]
        if is_finished(run) and digest in tables.values() and has_recipe(run, recipe):
            return run
    return None


def print_table(
    settings: Mapping[str, Sequence[str]], found: Mapping[str, Mapping[int, Path]], galaxies: Galaxies
) -> None:
    """Print a row for each variant that has a run; differences are paired by galaxy and seed."""
    errors = {
        name: {
            seed: galaxy_errors(
                galvote.load(run / "last").predict_cutouts(galaxies.cutouts).fractions, galaxies.actual
            )
            for seed, run in runs.items()
        }
        for name, runs in found.items()
    }
    reference = errors.get(REFERENCE, {})
    print(f"\n{len(galaxies.ids)} galaxies of the development split, one view")
    print(f"| variant | changes | RMSE | seeds | against `{REFERENCE}` | 95 % | core minutes |")
    print("|---|---|---|---|---|---|---|")
    for name, by_seed in errors.items():
        scores = [rmse(own) for own in by_seed.values()]
        spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        against = "| | |"
        if name != REFERENCE and (shared := sorted(by_seed.keys() & reference.keys())):
            own = np.stack([by_seed[seed] for seed in shared])
            other = np.stack([reference[seed] for seed in shared])
            low, high = interval(own, other)
            against = f"| {rmse(own) - rmse(other):+.4f} | {low:+.4f} to {high:+.4f} |"
        minutes = statistics.mean(minutes_of(run) for run in found[name].values())
        changes = ", ".join(f"`{change}`" for change in settings[name])
        print(
            f"| `{name}` | {changes} | {statistics.mean(scores):.4f}{spread} | {len(scores)} {against} "
            f"{minutes:.1f} |"
        )


if __name__ == "__main__":
    main()
