"""Put a finished run's last model into the package, in float16, with its scores and speed on its card.

    python benchmarks/ship_weights.py runs/galvote-small-0 galvote-small --data ../shared/galaxyzoo

What is scored is the float16 model that ships, on the validation split, in one view and in eight. Speed is
that from decoded cutouts to vote fractions, on one thread and on all cores; let nothing else run meanwhile.
Calibrate afterwards, with `galvote calibrate NAME --out src/galvote/weights/NAME --overwrite`, because a
calibration belongs to these very weights and is removed with them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

import galvote
from galvote.models import load_model, save_model, with_scores
from speed import cores, describe_machine, galaxies_per_second


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True, help="folder with compact/ and the CSV files")
    chosen = parser.parse_args()
    network, card = load_model(chosen.run / "last")
    with tempfile.TemporaryDirectory() as folder:
        shipped = save_model(network, card, Path(folder) / chosen.name, dtype=torch.float16)
        scores = measure_scores(shipped, chosen.data) | {"speed": measure_speed(shipped)}
        network, _ = load_model(shipped)
    place = Path(galvote.__file__).parent / "weights" / chosen.name
    save_model(network, with_scores(card, scores), place, dtype=torch.float16)
    print(f"{place}: {sum(file.stat().st_size for file in place.iterdir()) / 1e6:.2f} MB")


def measure_scores(model: Path, data: Path) -> dict[str, Any]:
    """Score a model on the validation split."""
    scores: dict[str, Any] = {
        "what": "RMSE over 37 columns on the validation split: 500 galaxies, not selected"
    }
    for views in (1, 8):
        scored = json.loads(
            subprocess.run(
                [
                    sys.executable, "-m", "galvote", "evaluate", "--json", "--model", model,
                    "--tta", str(views), "--images", data / "compact",
                    "--votes", data / "training_solutions.csv",
                    "--splits", data / "splits.csv", "--split", "validation",
                ],
                check=True, capture_output=True, text=True,
            ).stdout
        )  # fmt: skip
        many = f"{views}_view{'s' if views > 1 else ''}"
        scores |= {f"rmse_{many}": scored["rmse"], f"rmse_interval_{many}": scored["rmse_interval"]}
        print(f"{many}: RMSE {scored['rmse']:.4f} {scored['rmse_interval']}")
    return scores


def measure_speed(model: Path) -> dict[str, Any]:
    """Time a model on one thread and on all cores; what the cutouts show makes no difference."""
    predictor = galvote.load(model)
    size = predictor.geometry.pixels
    cutouts = np.random.default_rng(0).integers(0, 256, (256, size, size, 3), dtype=np.uint8)
    speeds = {
        str(threads): galaxies_per_second(predictor, cutouts, threads=threads)
        for threads in sorted({1, cores()})
    }
    print(f"galaxies/s by threads: {speeds}")
    return {
        "what": "decoded cutouts to vote fractions, one view",
        "galaxies_per_second": speeds,
        "machine": describe_machine(),
        "date": date.today().isoformat(),
    }


if __name__ == "__main__":
    main()
