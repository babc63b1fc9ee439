"""Put a finished run's last model into the package, in float16, with its scores on its card.

    python benchmarks/ship_weights.py runs/galvote-small-0 galvote-small --data ../shared/galaxyzoo

What is scored is the float16 model that ships, on the validation split, in one view and in eight.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

import galvote
from galvote.model import load_model, save_model, with_scores


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True, help="folder with compact/ and the CSV files")
    chosen = parser.parse_args()
    place = Path(galvote.__file__).parent / "weights" / chosen.name
    network, card = load_model(chosen.run / "last")
    save_model(network, card, place, dtype=torch.float16)
    scores = {"what": "RMSE over 37 columns on the validation split: 500 galaxies, not selected"}
    for views in (1, 8):
        scored = json.loads(
            subprocess.run(
                [
                    sys.executable, "-m", "galvote", "evaluate", "--json", "--model", place,
                    "--views", str(views), "--images", chosen.data / "compact",
                    "--votes", chosen.data / "training_solutions.csv",
                    "--splits", chosen.data / "splits.csv", "--split", "validation",
                ],
                check=True, capture_output=True, text=True,
            ).stdout
        )  # fmt: skip
        scores[f"rmse_{views}_view{'s' if views > 1 else ''}"] = scored["rmse"]
        scores[f"rmse_interval_{views}_view{'s' if views > 1 else ''}"] = scored["rmse_interval"]
        print(f"{views} views: RMSE {scored['rmse']:.4f} {scored['rmse_interval']}")
    network, _ = load_model(place)
    save_model(network, with_scores(card, scores), place, dtype=torch.float16)
    print(f"{place}: {sum(file.stat().st_size for file in place.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
