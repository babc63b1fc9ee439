"""Put a finished run's last model into the package, in float16, with its scores and speed on its card.

    python -m benchmarks.accuracy.ship_weights runs/galvote-small-0 galvote-small --data DATA --store STORE

What is scored is the float16 model that ships, on the validation split, with `--tta` 1 and 8. Speed is that
from decoded cutouts to vote fractions, on one thread and on all cores; let nothing else run meanwhile.
Write its graphs afterwards, with `galvote export --model src/galvote/weights/NAME` and
`python -m benchmarks.accuracy.quantise`, and then calibrate, with `galvote calibrate NAME --out
src/galvote/weights/NAME --overwrite`, because a calibration belongs to these very weights and is removed with
them.
"""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch

import galvote
from benchmarks import common
from galvote.models import load_model, save_model, with_scores


def main() -> None:
    options = common.parser(__doc__, "--data", "--store")
    options.add_argument("run", type=Path)
    options.add_argument("name")
    options.add_argument("--out", type=Path, default=Path(galvote.__file__).parent / "weights")
    chosen = options.parse_args()
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    network, card = load_model(chosen.run / "last")
    what = f"RMSE on the validation split: {len(galaxies.ids)} galaxies, not selected"
    scores: dict[str, Any] = {"what": what}
    with tempfile.TemporaryDirectory() as folder:
        shipped = save_model(network, card, Path(folder) / chosen.name, dtype=torch.float16)
        for tta, name in ((1, "tta_1"), (8, "tta_8")):
            errors = galaxies.errors_of(shipped, tta)
            scores |= {f"rmse_{name}": common.rmse(errors), f"rmse_interval_{name}": common.interval(errors)}
        predictor = galvote.load(shipped)
        speeds = {
            str(threads): common.galaxies_per_second(predictor, galaxies.cutouts[:256], threads=threads)
            for threads in sorted({1, common.cores()})
        }
        network, _ = load_model(shipped)
    what = "decoded cutouts to vote fractions, TTA 1"
    machine, day = common.describe_machine(), date.today().isoformat()
    scores["speed"] = {"what": what, "galaxies_per_second": speeds, "machine": machine, "date": day}
    place = save_model(network, with_scores(card, scores), chosen.out / chosen.name, dtype=torch.float16)
    print(f"{scores}\n{place}: {sum(file.stat().st_size for file in place.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
