"""What more views of each galaxy gain, what they cost, and how far a turned picture changes a prediction.

    python benchmarks/views.py --data ../shared/galaxyzoo --store store --model galvote-base

RMSE on the validation split for 1, 2, 4, 8 and 16 views, with its difference from one view on the same
galaxies; galaxies a second in the same run; and the mean absolute change of a predicted fraction, over
galaxies and columns, when the cutout is turned about its centre by a random angle before it is predicted. Its
mean and standard deviation are over three draws of the angles, the same for each number of views. The turn
resamples the cutout and mirrors it beyond its edge, as every view does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from datetime import date
from pathlib import Path

import numpy as np

import galvote
from galvote.images import View, warp_cutout
from speed import describe_machine, galaxies_per_second
from validation import galaxy_errors, interval, load_galaxies, rmse

VIEWS = (1, 2, 4, 8, 16)
TURNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--store", type=Path, required=True, help="packed store of the galaxies")
    parser.add_argument("--model", default="galvote-base", help="name of a shipped model, or a folder")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()

    galaxies = load_galaxies(chosen.store, chosen.data / "training_solutions.csv", chosen.data / "splits.csv")
    predictor = galvote.load(chosen.model)
    turns = [turn(galaxies.cutouts, np.random.default_rng(seed)) for seed in range(TURNS)]

    print(" ".join(["python", *sys.argv]))
    print(f"{len(galaxies.ids)} galaxies; {describe_machine()}, threads: {chosen.threads}; {date.today()}\n")
    print("| views | RMSE | 95 % | against one view | 95 % | galaxies/s | change when turned |")
    print("|---|---|---|---|---|---|---|")
    first: np.ndarray | None = None
    for views in VIEWS:
        predicted = predictor.predict_features(galaxies.cutouts, views)[0]
        changes = [
            float(np.abs(predictor.predict_features(turned, views)[0] - predicted).mean()) for turned in turns
        ]
        # A few galaxies take long enough to time when each is seen often.
        few = galaxies.cutouts[: max(64, len(galaxies.cutouts) // views)]
        speed = galaxies_per_second(predictor, few, tta=views, threads=chosen.threads, rounds=3)
        errors = galaxy_errors(predicted, galaxies.actual)
        low, high = interval(errors)
        against = "| | |"
        if first is None:
            first = errors
        else:
            less, more = interval(errors, first)
            against = f"| {rmse(errors) - rmse(first):+.4f} | {less:+.4f} to {more:+.4f} |"
        print(
            f"| {views} | {rmse(errors):.4f} | {low:.4f} to {high:.4f} {against} {speed:,.0f} "
            f"| {statistics.mean(changes):.4f} ± {statistics.stdev(changes):.4f} |",
            flush=True,
        )


def turn(cutouts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turn each cutout by an angle of its own."""
    angles = random.uniform(0, 360, len(cutouts))
    pixels = cutouts.shape[1]
    return np.stack(
        [
            warp_cutout(cutout, View(angle=float(angle)), pixels)
            for cutout, angle in zip(cutouts, angles, strict=True)
        ]
    )


if __name__ == "__main__":
    main()
