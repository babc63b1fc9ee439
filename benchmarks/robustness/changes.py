"""What predictions are worth when images are changed as people's are, and what ``--scale auto`` costs.

    python -m benchmarks.robustness.changes --data DATA --models galvote-small [--speed]

Frames of 424 pixels of the validation split; the files are decoded, changed, and given as arrays. Intervals
of 90 % are calibrated as by `galvote calibrate --changes` on random halves of the galaxies, not with the
changes of the table but with random ones, and measured on the other halves, five times each way. The last
columns are the areas under the curve with which the out-of-distribution score, and the mean width of a
galaxy's intervals, tell errors above the 90th percentile, of all images together.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

import galvote
from benchmarks import common
from galvote.calibration import Calibration, Intervals, random_halves, surprisal
from galvote.images import decode_image
from galvote.inference import Prediction
from galvote.inference.calibrate import predict_changed
from galvote.inference.cores import count_cores
from galvote.io import list_sources
from galvote.labels import match_ids, read_votes
from galvote.metrics import squared_errors

Change = Callable[[np.ndarray, np.random.Generator], Any]
Scale = Literal["gz2", "auto"]


def cut(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    start = (len(frame) - int(random.integers(180, len(frame) + 1))) // 2
    return np.ascontiguousarray(frame[start : len(frame) - start, start : len(frame) - start])


def jpeg(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    _, file = cv2.imencode(".jpg", frame[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 20))
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]


def move(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    x, y = random.uniform(-15, 15, 2)
    matrix = np.array([[1, 0, x], [0, 1, y]])
    return np.asarray(cv2.warpAffine(frame, matrix, frame.shape[:2], borderMode=cv2.BORDER_REFLECT_101))


CHANGES: dict[str, Change] = {
    "none": lambda frame, random: frame,
    "cut to 180–424 pixels": cut,
    "gamma 0.6": lambda frame, random: 255 * (frame / 255) ** 0.6,
    "gamma 1.5": lambda frame, random: 255 * (frame / 255) ** 1.5,
    "asinh stretch": lambda frame, random: 255 * np.arcsinh(4 * (frame / 255)) / np.arcsinh(4),
    "warm colours": lambda frame, random: frame * (1.25, 1, 0.75),
    "cold colours": lambda frame, random: frame * (0.75, 1, 1.25),
    "mean of bands (grey)": lambda frame, random: np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2),
    "blurred, σ = 3": lambda frame, random: cv2.GaussianBlur(frame, (0, 0), 3),
    "noise, σ = 12": lambda frame, random: frame + random.normal(0, 12, frame.shape),
    "JPEG quality 20": jpeg,
    "moved by up to 15 pixels": move,
}
SCALES: tuple[Scale, ...] = ("gz2", "auto")
COLUMNS = "RMSE | 95 % | coverage | width | flagged | AUC of large errors, by score | by width"


def main() -> None:
    options = common.parser(__doc__, "--data", "--models", "--rounds")
    options.add_argument("--scales", nargs="+", default=SCALES, choices=SCALES)
    options.add_argument("--splits", type=Path, help="another table, such as an ablation's dev.csv")
    options.add_argument("--galaxies", type=int, default=400)
    options.add_argument("--speed", action="store_true", help="only time files to predictions, in turns")
    options.add_argument("--backend", help="for --speed")
    chosen = options.parse_args()
    files = common.frames_of(chosen.data, "validation", chosen.galaxies, chosen.splits)
    votes = read_votes([chosen.data / "training_solutions.csv"])
    actual = match_ids(votes, list_sources(files)).votes.fractions
    common.print_heading(f"{len(files)} galaxies", f"{count_cores()} threads")
    if chosen.speed:
        compare_speed([galvote.load(name, chosen.backend) for name in chosen.models], files, chosen.rounds)
        return
    table = common.Table(f"model | scale | change | {COLUMNS}")
    for name, scale in product(chosen.models, chosen.scales):
        compare(galvote.load(name), name, scale, files, actual, table)


def compare_speed(models: list[galvote.Predictor], files: list[Path], rounds: int) -> None:
    clocks = {"processor": time.process_time, "wall": time.perf_counter}
    columns = "galaxies per second, gz2 | auto | auto is slower by, median of rounds"
    table = common.Table(f"model | clock | {columns}")
    for model, (clock, seconds) in product(models, clocks.items()):
        model.predict(files[:64], scale="auto")  # warms up
        tasks = {str(scale): partial(count, model, files, scale) for scale in SCALES}
        whole, auto = common.measure_rates(tasks, rounds, seconds).values()
        slower = statistics.median(1 - b / a for a, b in zip(whole, auto, strict=True))
        rates = common.spread(whole), common.spread(auto)
        table.row(f"`{model.computed_by}`", clock, *rates, f"{slower:.1%}")


def count(model: galvote.Predictor, files: list[Path], scale: Scale) -> int:
    return len(model.predict(files, scale=scale))


def compare(
    model: galvote.Predictor,
    name: str,
    scale: Scale,
    files: list[Path],
    actual: np.ndarray,
    table: common.Table,
) -> None:
    said = {change: model.predict(list(change_all(files, change)), scale=scale) for change in CHANGES}
    errors = {change: squared_errors(one.fractions, actual).mean(axis=1) for change, one in said.items()}
    cells: dict[str, Sequence[str]] = dict.fromkeys([*CHANGES, "all"], [""] * 5)  # not calibrated
    if model.calibration is not None:
        cells = describe_doubt(model, model.calibration, files, actual, said, errors)
    for change, found in errors.items():
        table.row(f"`{name}`", scale, change, *common.describe_score(found), *cells[change])
    mean = np.mean([common.rmse(errors[change]) for change in CHANGES if change != "none"])
    table.row(f"`{name}`", scale, "mean of the changes", f"{mean:.4f}", "", *cells["all"])


def describe_doubt(
    model: galvote.Predictor,
    calibration: Calibration,
    files: list[Path],
    actual: np.ndarray,
    said: dict[str, Prediction],
    errors: dict[str, np.ndarray],
) -> dict[str, Sequence[str]]:
    fractions, features = predict_changed(model, list_sources(files))
    changed = calibration.ood.score(calibration.ood.distances(features))
    rarity = {change: surprisal(known(one.ood_score)) for change, one in said.items()}
    learned = (
        np.concatenate([said["none"].fractions, fractions]),
        np.concatenate([actual, actual]),
        np.concatenate([rarity["none"], surprisal(changed)]),
    )
    within = {change: list[float]() for change in said}
    width = {change: np.zeros(len(files)) for change in said}
    for half in chain.from_iterable((one, ~one) for one in random_halves(len(files), 5)):
        intervals = Intervals.fit(*(values[np.tile(half, 2)] for values in learned))
        rest = actual[~half]
        for change, one in said.items():
            low, high = intervals.ends(one.fractions[~half], 0.9, rarity[change][~half])
            within[change].append(((low <= rest) & (rest <= high)).mean())
            width[change][~half] += (high - low).mean(axis=1) / 5
    coverage = {change: float(np.mean(shares)) for change, shares in within.items()}
    large = np.concatenate(list(errors.values()))
    large = large > np.quantile(large, 0.9)
    by = [f"{roc_auc_score(large, np.concatenate([*one.values()])):.3f}" for one in (rarity, width)]
    cells: dict[str, Sequence[str]] = {}
    for change, share in coverage.items():
        flagged = known(said[change].ood).mean()
        cells[change] = f"{share:.3f}", f"{width[change].mean():.3f}", f"{flagged:.1%}", "", ""
    shares = [share for change, share in coverage.items() if change != "none"]
    return cells | {"all": [f"{min(shares):.3f} to {max(shares):.3f}", "", "", *by]}


def change_all(files: list[Path], change: str) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for file in files:
        yield np.clip(CHANGES[change](decode_image(file.read_bytes()), random), 0, 255).astype(np.uint8)


def known(values: np.ndarray | None) -> np.ndarray:
    assert values is not None  # as of any calibrated model
    return values


if __name__ == "__main__":
    main()
