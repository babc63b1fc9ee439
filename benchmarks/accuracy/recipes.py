"""Train recipes on the real galaxies and score each run's last epoch on the validation split.

    python -m benchmarks.accuracy.recipes --data DATA --store STORE --runs runs --recipes residual --seeds 0 1

Each run is a `galvote train` of its own that goes on where it stopped when the script is run again. Nothing
is chosen on the galaxies that are reported. The teacher of a recipe is such a run, too, without `--set`, and
comes first, so that minutes are without the teacher's. `--save` adds the scores to `scores.csv`.
"""

import csv
import json
import resource
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import common
from galvote.io import read_table
from galvote.models import count_parameters, load_card, load_model
from galvote.training import load_recipe

SCORES = Path(__file__).with_name("scores.csv")


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--runs", "--seeds")
    options.add_argument("--set", nargs="*", default=[], help="settings for all runs")
    options.add_argument("--recipes", nargs="+", required=True)
    options.add_argument("--tta", nargs="+", type=int, default=[1], help="score with each of these")
    options.add_argument("--save", action="store_true", help="add the scores to scores.csv")
    chosen = options.parse_args()
    make = partial(train_with_teacher, data=chosen.data, store=chosen.store, runs=chosen.runs)
    runs = [[make(recipe, seed, chosen.set) for seed in chosen.seeds] for recipe in chosen.recipes]
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    table = common.Table(
        "recipe | tta | parameters | RMSE | seeds | lowest RMSE | epochs | galaxies | images/s | minutes"
    )
    for own in runs:
        for tta in chosen.tta:
            scores = [score(run, galaxies, tta) for run in own]
            table.row(*describe(own, scores))
            if chosen.save:
                save(scores)
    print("\nMinutes and images/s are of one core and without a recipe's teachers.")
    print("Mean predictor: {} ({})".format(*common.describe_score(galaxies.mean_errors)))


def train_with_teacher(
    recipe: str, seed: int, settings: Sequence[str], data: Path, store: Path, runs: Path
) -> Path:
    """Return the finished run of a recipe; its teacher's comes first."""
    own = [f"seed={seed}", *settings]
    training = load_recipe(recipe, own).training
    if not training.teacher and training.teacher_recipe is not None:
        teacher = train_with_teacher(training.teacher_recipe, seed, [], data, store, runs)
        own.append(f"training.teacher={teacher / 'last'}")
    return train(runs / f"{recipe}-{seed}", recipe, own, data, store)


def train(
    run: Path,
    recipe: str | Path,
    settings: Sequence[str],
    data: Path,
    store: Path,
    splits: Path | None = None,
) -> Path:
    """Train a run, or go on with it, and note how many core minutes all its epochs take.

    A processor's minutes, and not the clock's, because other work beside it would count in those. A run that
    was stopped is timed by its last sitting.
    """
    command = [*common.GALVOTE, "train", "--yes", "--recipe", recipe, "--images", store, "--out", run]
    command += ["--splits", splits or data / "splits.csv", "--votes", data / "training_solutions.csv"]
    if load_recipe(str(recipe), settings).data.labels == "all":
        command += ["--votes", data / "partial_solutions.csv", "--classes", data / "clean_classes.csv"]
    command += [f"--set={setting}" for setting in settings]
    before, began = len(curve(run)), core_seconds()
    subprocess.run([*command, *(["--resume"] if (run / "run.json").exists() else [])], check=True)
    if (epochs := len(curve(run))) > before:
        minutes = (core_seconds() - began) / 60 * epochs / (epochs - before)
        (run / "minutes.json").write_text(json.dumps(minutes))
    return run


def core_seconds() -> float:
    """Return what ended child processes have taken of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def minutes_of(run: Path) -> float:
    """Return the core minutes of a finished run."""
    return float(json.loads((run / "minutes.json").read_text()))


def curve(run: Path) -> list[float]:
    """Return the validation RMSE of each epoch so far."""
    path = run / "metrics.csv"
    return list(read_table(path)["validation_rmse"].to_pylist()) if path.is_file() else []


def score(run: Path, galaxies: common.Galaxies, tta: int) -> dict[str, str]:
    """Return a row of ``scores.csv``; ``macs`` are millions of multiply-adds for one view of a galaxy."""
    network, card = load_model(run / "last")
    pixels = card.network.pixels
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, pixels, pixels, 3, dtype=torch.uint8))
    ended = datetime.fromtimestamp((run / "last" / "card.json").stat().st_mtime, UTC)
    return {
        "recipe": card.name,
        "seed": str(card.recipe["seed"]),
        "tta": str(tta),
        "rmse": f"{common.rmse(galaxies.errors_of(run / 'last', tta)):.5f}",
        "parameters": str(count_parameters(network)),
        "macs": f"{counter.get_total_flops() / 2e6:.1f}",
        "minutes": f"{minutes_of(run):.1f}",
        "machine": common.describe_machine(),
        "date": ended.date().isoformat(),
    }


def read_scores() -> list[dict[str, str]]:
    """Return the rows of ``scores.csv``."""
    return list(csv.DictReader(SCORES.read_text().splitlines()))


def save(scores: Sequence[dict[str, str]]) -> None:
    """Add rows to ``scores.csv``, in place of those of the same recipe, seed and test-time augmentation."""
    known = {(row["recipe"], int(row["seed"]), int(row["tta"])): row for row in [*read_scores(), *scores]}
    with SCORES.open("w", newline="") as file:
        table = csv.DictWriter(file, list(scores[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(known[key] for key in sorted(known))


def describe(runs: Sequence[Path], scores: Sequence[dict[str, str]]) -> list[object]:
    """Return a recipe's row of the table."""
    card, curves = load_card(runs[0] / "last"), [curve(run) for run in runs]
    epochs, galaxies = len(curves[0]), card.data["training_galaxies"]
    minutes = statistics.mean(map(minutes_of, runs))
    lowest = [min(each) for each in curves]
    # Where an epoch leaves out galaxies with a hard class alone, nothing tells how many it drew.
    draws_all = card.recipe["data"]["hard_label_fraction"] == 1
    speed = f"{galaxies * epochs / minutes / 60:,.0f}" if draws_all else ""
    rmse = common.mean_of([float(one["rmse"]) for one in scores])
    best, parameters = f"{min(lowest):.4f} to {max(lowest):.4f}", f"{int(scores[0]['parameters']):,}"
    costs = epochs, f"{galaxies:,}", speed, f"{minutes:.1f}"
    return [f"`{card.name}`", scores[0]["tta"], parameters, rmse, len(runs), best, *costs]


if __name__ == "__main__":
    main()
