"""Fit what `galvote.images.scale` measures r90 by, on training galaxies of the challenge and simulated ones.

    python -m benchmarks.robustness.scale --data DATA --out src/galvote/images/scale.json

Each frame is cut, or extended by its sky, at random, every other one made brighter or darker besides.
Scatter is of galaxies that were left out (five parts in turn), and so is how often frames as they are, in
folders of several sizes drawn at random, are remarked upon.
"""

import json
import math
from collections.abc import Iterable
from itertools import chain, product
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from benchmarks import common
from galvote.images import decode_image
from galvote.images.geometry import FRAME_PIXELS, R90_PIXELS
from galvote.images.scale import Fit, Shown, describe_scale, outline_sizes, sample
from galvote.simulate import simulate_galaxies

WIDTHS = 160, 850  # pixels of a frame
DRAWS, SIMULATED, FOLDERS = 6, 400, 10_000
RIDGE = 3.0


def main() -> None:
    options = common.parser(__doc__, "--data")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--galaxies", type=int, default=1000)
    chosen = options.parse_args()
    files = common.frames_of(chosen.data, "train", chosen.galaxies)
    simulated = simulate_galaxies(SIMULATED, pixels=FRAME_PIXELS)
    frames = chain(
        (decode_image(file.read_bytes()) for file in files),
        (galaxy.image for galaxy in simulated if galaxy.shape.kind != "star"),
    )
    sizes, widths, galaxies, whole = draw(frames)
    real = galaxies < len(files)
    actual = np.log(R90_PIXELS / widths)
    model = make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge(RIDGE, fit_intercept=False))
    predicted = cross_val_predict(model, sizes, actual, cv=PredefinedSplit(galaxies % 5))
    off = predicted - actual
    common.print_heading(f"{len(files)} galaxies, {galaxies.max() + 1 - len(files)} simulated ones")
    table = common.Table("galaxies | width of the picture, of 424 | pictures | bias | scatter")
    for name, some in (("real", real), ("simulated", ~real)):
        for low, high in ((160, 207), (208, 299), (300, 423), (424, 424), (425, 850)):
            those = off[some & (widths >= low) & (widths <= high)]
            table.row(name, f"{low} to {high}", len(those), f"{those.mean():+.1%}", f"{those.std():.1%}")
    table = common.Table("galaxies | images in a folder | folders | remarked upon")
    for (name, some), size in product((("real", real), ("simulated", ~real)), (1, 2, 3, 5, 10, 30, 100)):
        random, found = np.random.default_rng(0), np.exp(off[some & whole])
        folders = [random.choice(found, size, replace=False) for _ in range(FOLDERS)]
        table.row(name, size, FOLDERS, sum(bool(describe_scale(map(as_shown, one))) for one in folders))
    fitted = as_fit(model.fit(sizes, actual))
    numbers = {name: np.round(part, 5).tolist() for name, part in fitted._asdict().items()}
    chosen.out.write_text(json.dumps(numbers) + "\n")


def as_shown(measured: float) -> Shown:
    return Shown(np.zeros((0, 0, 3), np.uint8), measured=measured)


def draw(frames: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes, width, number of the galaxy, and whether it is a frame as it is, of each picture."""
    random = np.random.default_rng(0)
    rows = []
    for number, frame in enumerate(frames):
        for turn in range(DRAWS):
            width = FRAME_PIXELS if turn % 3 == 0 else int(math.exp(random.uniform(*np.log(WIDTHS))))
            picture = cut(frame, width, random)
            if turn % 2:
                curve = 255 * np.linspace(0, 1, 256) ** math.exp(random.uniform(-0.5, 0.5))
                picture = cv2.LUT(picture, curve.astype(np.uint8))
            (sizes,) = outline_sizes(sample(picture, width)[None])
            if not np.isnan(sizes).any():
                rows.append((sizes, width, number, turn == 0))
    sizes, widths, galaxies, whole = (np.array(column) for column in zip(*rows, strict=True))
    return sizes, widths, galaxies, whole


def cut(frame: np.ndarray, width: int, random: np.random.Generator) -> np.ndarray:
    """Return the middle of a frame, or the frame in a wider piece of sky like that in its corners."""
    start = abs(FRAME_PIXELS - width) // 2
    if width <= FRAME_PIXELS:
        return np.asarray(frame[start : start + width, start : start + width])
    corners = np.concatenate([frame[rows][:, ::-1][:, :40] for rows in (slice(40), slice(-40, None))])
    corners = np.concatenate([corners, frame[:40, :40], frame[-40:, :40]]).reshape(-1, 3)
    sky = np.median(corners, axis=0)
    noise = 1.5 * random.normal(size=(width // 4, width // 4, 3)) * np.abs(corners - sky).mean(axis=0)
    wide = np.asarray(cv2.resize(np.clip(sky + noise, 0, 255).astype(np.uint8), (width, width)))
    wide[start : start + FRAME_PIXELS, start : start + FRAME_PIXELS] = frame
    return wide


def as_fit(model: Pipeline) -> Fit:
    """Return a fitted quadratic form as it is saved."""
    (_, scaler), _, (_, ridge) = model.steps
    coefficients, count = ridge.coef_, len(scaler.mean_)
    square = np.zeros((count, count))
    square[np.triu_indices(count)] = coefficients[1 + count :]
    linear = coefficients[1 : 1 + count] / scaler.scale_
    return Fit(scaler.mean_, coefficients[0], linear, square / np.outer(scaler.scale_, scaler.scale_))


if __name__ == "__main__":
    main()
