"""Whether JPEGs decoded at a reduced size score as those decoded whole, and what that spares.

    python benchmarks/reduced_decoding.py --data ../shared/galaxyzoo

RMSE on the validation split from the 424-pixel originals, both ways, and how far single fractions move;
cutouts a second on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np

import galvote
from galvote.images import Geometry, decode_image, to_cutout
from galvote.images.geometry import decode_cutout
from galvote.labels import read_labels, read_votes
from speed import describe_machine
from validation import galaxy_errors, interval, rmse

Decode = Callable[[bytes, Geometry], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with images_training/")
    parser.add_argument("--models", nargs="+", default=["galvote-small", "galvote-base"])
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()

    votes = read_votes([chosen.data / "training_solutions.csv"])
    split = read_labels(chosen.data / "splits.csv", "split")
    votes = votes.select(np.array([split.get(galaxy) == "validation" for galaxy in votes.ids]))
    files = [(chosen.data / "images_training" / f"{galaxy}.jpg").read_bytes() for galaxy in votes.ids]
    ways: dict[str, Decode] = {"whole": decode_whole, "reduced": decode_cutout}

    print(" ".join(["python", *sys.argv]))
    print(f"{len(files)} galaxies; {describe_machine()}, one thread; {date.today()}\n")
    for name in chosen.models:
        predictor = galvote.load(name)
        cutouts = {
            what: np.stack([way(file, predictor.geometry) for file in files]) for what, way in ways.items()
        }
        speeds = {
            what: measure_speed(way, files, predictor.geometry, chosen.rounds) for what, way in ways.items()
        }
        predicted = {what: predictor.predict_cutouts(made).fractions for what, made in cutouts.items()}
        errors = {what: galaxy_errors(fractions, votes.fractions) for what, fractions in predicted.items()}
        low, high = interval(errors["reduced"], errors["whole"])
        moved = np.abs(predicted["reduced"] - predicted["whole"])
        print(f"`{name}`: RMSE {rmse(errors['whole']):.5f} whole, {rmse(errors['reduced']):.5f} reduced")
        print(f"  difference, 95 %: {low:+.5f} to {high:+.5f}")
        print(f"  change of a fraction: {moved.mean():.4f} in the mean, {moved.max():.3f} at most")
        print(f"  cutouts/s: {speeds['whole']:,.0f} whole, {speeds['reduced']:,.0f} reduced")


def measure_speed(way: Decode, files: Sequence[bytes], geometry: Geometry, rounds: int) -> float:
    """Return the median of cutouts a second."""
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        for file in files:
            way(file, geometry)
        rates.append(len(files) / (time.perf_counter() - began))
    return statistics.median(rates)


def decode_whole(file: bytes, geometry: Geometry) -> np.ndarray:
    """Decode all pixels, then average."""
    return to_cutout(decode_image(file), geometry)


if __name__ == "__main__":
    main()
