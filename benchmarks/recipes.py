"""Train recipes on the real galaxies and score each finished run once on the validation split.

    python benchmarks/recipes.py --data ../shared/galaxyzoo --runs runs --recipes sharma2020 --seeds 0 1 2

Each run is a `galvote train` of its own that goes on where it stopped when the script is run again. What is
scored is the last epoch's model, so nothing is chosen on the galaxies that are reported. The teacher of a
recipe is such a run, too, without `--set`, and comes first, so that minutes are without the teacher's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from galvote.training import load_recipe
from runs import metrics, minutes_of, train
from speed import describe_machine

GALVOTE = [sys.executable, "-m", "galvote"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with compact/ and the CSV files")
    parser.add_argument("--runs", type=Path, required=True, help="where runs and the packed store are kept")
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="settings for all runs, for a quick look")
    chosen = parser.parse_args()
    store = chosen.runs / "store"
    if not (store / "store.json").exists():
        subprocess.run([*GALVOTE, "pack", chosen.data / "compact", "--out", store], check=True)
    for seed in chosen.seeds:
        for recipe in chosen.recipes:
            train_and_score(recipe, seed, chosen.runs, store, chosen.data, chosen.set)
    print_table(chosen.recipes, chosen.runs)


def train_and_score(
    recipe: str, seed: int, runs: Path, store: Path, data: Path, settings: Sequence[str]
) -> Path:
    """Return a run that is finished and scored; what is not there yet is made, its teacher first."""
    run, own = runs / f"{recipe}-{seed}", [f"seed={seed}", *settings]
    if (run / "score.json").exists():
        return run
    training = load_recipe(recipe, own).training
    if training.teacher is None and training.teacher_recipe is not None:
        teacher = train_and_score(training.teacher_recipe, seed, runs, store, data, [])
        own.append(f"training.teacher={teacher / 'last'}")
    everything = load_recipe(recipe).data.labels == "all"
    votes = ["training_solutions.csv", *(["partial_solutions.csv"] if everything else [])]
    train(
        run,
        recipe,
        own,
        store=store,
        splits=data / "splits.csv",
        votes=[data / name for name in votes],
        classes=data / "clean_classes.csv" if everything else None,
    )
    description = json.loads((run / "run.json").read_text())
    scored = subprocess.run(
        [
            *GALVOTE, "evaluate", "--json", "--model", run / "last", "--images", data / "compact",
            "--votes", data / "training_solutions.csv",
            "--splits", data / "splits.csv", "--split", "validation",
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    score = json.loads(scored.stdout)
    curves = [float(row["validation_rmse"]) for row in metrics(run)]
    minutes, galaxies = minutes_of(run), description["data"]["training_galaxies"]
    # What an epoch draws; where it leaves galaxies with a class alone out, nothing in the run tells how many.
    drawn = None if everything and description["recipe"]["data"]["hard_label_fraction"] < 1 else galaxies
    result: dict[str, Any] = {
        "recipe": recipe,
        "seed": seed,
        "rmse": score["rmse"],
        "rmse_interval": score["rmse_interval"],
        "galaxies": score["galaxies"],
        "mean_predictor": score["baselines"]["mean"],
        "best_epoch": 1 + curves.index(min(curves)),
        "best_epoch_rmse": min(curves),
        "epochs": len(curves),
        "parameters": json.loads((run / "last" / "card.json").read_text())["parameters"],
        "training_galaxies": galaxies,
        "images_per_second": drawn and drawn * len(curves) / minutes / 60,
        "minutes": minutes,
        "machine": describe_machine(),
        "date": date.today().isoformat(),
    }
    (run / "score.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"{recipe} seed {seed}: RMSE {result['rmse']:.4f} in {result['minutes']:.1f} min", flush=True)
    return run


def print_table(recipes: list[str], runs: Path) -> None:
    print("| recipe | parameters | RMSE (spread over seeds) | seeds | epochs | images/s | core minutes |")
    print("|---|---|---|---|---|---|---|")
    for recipe in recipes:
        found = [json.loads(path.read_text()) for path in sorted(runs.glob(f"{recipe}-[0-9]*/score.json"))]
        results = [result for result in found if result["recipe"] == recipe]
        if not results:
            continue
        scores = [result["rmse"] for result in results]
        spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        first = results[0]
        speeds = [speed for result in results if (speed := result["images_per_second"])]
        speed = f"{statistics.mean(speeds):,.0f}" if speeds else ""
        print(
            f"| `{recipe}` | {first['parameters']:,} | {statistics.mean(scores):.4f}{spread} | {len(scores)} "
            f"| {first['epochs']} | {speed} "
            f"| {statistics.mean(r['minutes'] for r in results):.1f} |"
        )
    print("\nCore minutes and images/s are without those of a recipe's teachers.")
    if results:
        print(f"Mean predictor on the same {first['galaxies']} galaxies: {first['mean_predictor']:.4f}")


if __name__ == "__main__":
    main()
