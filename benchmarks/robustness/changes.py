"""What predictions are worth when images are changed as people's are, and what ``--scale auto`` costs.

    python -m benchmarks.robustness.changes --data DATA --models galvote-small [--speed]

Frames of 424 pixels of the validation split; the files are decoded, changed, and given as arrays.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np

import galvote
from benchmarks import common
from galvote.images import decode_image
from galvote.inference.cores import count_cores
from galvote.labels import read_labels, read_votes
from galvote.metrics import squared_errors


def cut(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    start = (len(frame) - int(random.integers(180, len(frame) + 1))) // 2
    return np.ascontiguousarray(frame[start : len(frame) - start, start : len(frame) - start])


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], Any]] = {
    "none": lambda frame, random: frame,
    "cut to 180–424 pixels": cut,
    "gamma 0.6": lambda frame, random: 255 * (frame / 255) ** 0.6,
    "gamma 1.5": lambda frame, random: 255 * (frame / 255) ** 1.5,
    "warm colours": lambda frame, random: frame * (1.25, 1, 0.75),
    "one band (grey)": lambda frame, random: np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2),
    "blurred, σ = 3": lambda frame, random: cv2.GaussianBlur(frame, (0, 0), 3),
    "noise, σ = 12": lambda frame, random: frame + random.normal(0, 12, frame.shape),
}
SCALES: tuple[Literal["gz2", "auto"], ...] = ("gz2", "auto")


def main() -> None:
    options = common.parser(__doc__, "--data", "--models", "--rounds")
    options.add_argument("--changes", nargs="+", default=list(CHANGES), choices=list(CHANGES))
    options.add_argument("--galaxies", type=int, default=400)
    options.add_argument("--speed", action="store_true", help="only time files to predictions, in turns")
    chosen = options.parse_args()
    votes = read_votes([chosen.data / "training_solutions.csv"])
    split = read_labels(chosen.data / "splits.csv", "split")
    rows = {name: row for row, name in enumerate(votes.ids) if split.get(name) == "validation"}
    files = sorted(file for file in (chosen.data / "images_training").glob("*.jpg") if file.stem in rows)
    files = files[: chosen.galaxies]
    actual = votes.fractions[[rows[file.stem] for file in files]]
    common.print_heading(f"{len(files)} galaxies", f"{count_cores()} threads")
    if chosen.speed:
        table = common.Table("model | scale | galaxies per CPU second: median (lowest to highest)")
        for name in chosen.models:
            run = partial(galvote.load(name).predict, files)
            tasks: dict[str, Callable[[], int]] = {
                scale: partial(lambda scale, run: len(run(scale=scale)), scale, run) for scale in SCALES
            }
            for scale, rates in common.measure_rates(tasks, chosen.rounds, time.process_time).items():
                table.row(f"`{name}`", scale, common.spread(rates))
        return
    table = common.Table("model | change | scale | RMSE | 95 % | coverage | flagged")
    frames = [decode_image(file.read_bytes()) for file in files]
    for name in chosen.models:
        model = galvote.load(name)
        for change in chosen.changes:
            random = np.random.default_rng(0)
            images = [np.clip(CHANGES[change](frame, random), 0, 255).astype(np.uint8) for frame in frames]
            for scale in SCALES:
                said = model.predict(images, scale=scale)
                assert said.low is not None and said.high is not None and said.ood is not None
                held = ((said.low <= actual) & (actual <= said.high)).mean()
                score = common.describe_score(squared_errors(said.fractions, actual).mean(axis=1))
                table.row(f"`{name}`", change, scale, *score, f"{held:.3f}", f"{said.ood.mean():.1%}")


if __name__ == "__main__":
    main()
