"""What the intervals hold and how wide they are, and what the out-of-distribution flag catches.

    python -m benchmarks.robustness.intervals --data DATA --store STORE --model galvote-small

Intervals are calibrated on random halves of the validation galaxies and measured on the other halves, beside
intervals of one width for each column, calibrated on the same galaxies; after ± stands the standard deviation
over the halves. The flag compares with 3,000 training galaxies; its threshold is set on the validation
galaxies, and false alarms are measured on halves of them. Nothing is chosen by these numbers but how many
axes the flag has: see docs/intervals.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from skimage import data

import galvote
from benchmarks import common
from galvote.calibration import (
    CrossFit,
    Intervals,
    OodDetector,
    cross_fit,
    measure_false_alarms,
    random_halves,
)
from galvote.calibration.conformal import upper_quantile
from galvote.calibration.intervals import Ends
from galvote.field.detect import cut_out, find_galaxies
from galvote.images import Geometry, to_cutout
from galvote.report.figures import GRID, INK, TRAINING, VALIDATION, new_figure, save_figure, style_axes
from galvote.simulate import simulate_galaxies

LEVELS = (0.5, 0.8, 0.9, 0.95)
EDGES = (0.01, 0.05, 0.15, 0.35, 0.65)  # between bins of predicted fractions
TRAINING_IMAGES = 3000
FALSE_ALARMS = 0.015
FIELD_OF_VIEW, SIDE = 5.12, 128  # r90 that all images of other kinds show, and on how many pixels most do
PHOTOGRAPHS = ("astronaut", "camera", "cat", "clock", "coffee", "coins", "moon", "page", "rocket", "text")

Fits = dict[str, tuple[CrossFit, ...]]
Images = Iterator[np.ndarray]


@dataclass(frozen=True)
class OneWidth:
    """The baseline: each column's prediction plus and minus one number, by split conformal prediction."""

    apart: np.ndarray  # distances of votes from their prediction, (galaxy, answer)

    @classmethod
    def fit(cls, predicted: np.ndarray, actual: np.ndarray, _: np.ndarray | None = None) -> "OneWidth":
        """Measure the distances; the surprisal of images does not count."""
        return cls(np.abs(actual - predicted))

    def ends(
        self, predicted: np.ndarray, level: float, surprisal: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper end for each prediction."""
        reach = np.array([upper_quantile(column, np.array(level)) for column in self.apart.T])
        return np.clip(predicted - reach, 0, 1), np.clip(predicted + reach, 0, 1)


FITS: dict[str, Callable[..., Ends]] = {"adaptive": Intervals.fit, "one width": OneWidth.fit}


def main() -> None:
    chosen = common.parser(__doc__, "--data", "--store", "--model", "--figure").parse_args()
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    predictor = galvote.load(chosen.model)
    predicted, features = predictor.predict_features(galaxies.cutouts)
    common.print_heading(f"{len(galaxies.ids)} galaxies")

    cross = partial(cross_fit, predicted, galaxies.actual, predictor.tree)
    fits = {name: cross(LEVELS, fit=fit) for name, fit in FITS.items()}
    print_levels(fits)
    print_predictions(predicted, galaxies.actual)
    if chosen.figure:
        many = np.linspace(0.05, 0.95, 19).tolist()
        draw(chosen.figure, {name: cross(many, halves=20, fit=fit) for name, fit in FITS.items()}, fits)

    known = predictor.predict_features(galaxies.draw_training(TRAINING_IMAGES))[1]
    detector = OodDetector.fit(known, features, false_alarms=FALSE_ALARMS)
    share, spread = measure_false_alarms(detector.distances(features), FALSE_ALARMS)
    table = common.Table("images | how many | flagged")
    table.row("validation galaxies, measured on halves", len(features), f"{share:.1%} ± {spread:.1%}")
    for kind, make in KINDS.items():
        images = make(galaxies.cutouts[:150])
        cutouts = np.stack([to_cutout(image, predictor.geometry, FIELD_OF_VIEW) for image in images])
        flagged = detector.judge(predictor.predict_features(cutouts)[1], cutouts)[0]
        table.row(kind, len(flagged), f"{flagged.mean():.0%}")


def print_levels(fits: Fits) -> None:
    columns = "votes in their interval | questions | mean width | one width: votes | mean width"
    table = common.Table(f"level | {columns}")
    for one, baseline in zip(fits["adaptive"], fits["one width"], strict=True):
        shares = one.coverage.questions.values()
        cells = f"{one.coverage.overall:.1%} ± {one.spread:.1%}", f"{min(shares):.1%} to {max(shares):.1%}"
        other = f"{baseline.coverage.overall:.1%}", f"{baseline.coverage.mean_width:.3f}"
        table.row(f"{one.level:.0%}", *cells, f"{one.coverage.mean_width:.3f}", *other)


def print_predictions(predicted: np.ndarray, actual: np.ndarray) -> None:
    """Print the coverage by what was predicted: a promise for all may be broken for some."""
    bins, held = np.digitize(predicted, EDGES), list[list[list[float]]]()
    for half in random_halves(len(predicted), 50):
        rest, own = actual[~half], bins[~half]
        ends = [fit(predicted[half], actual[half]).ends(predicted[~half], 0.9) for fit in FITS.values()]
        within = [(low <= rest) & (rest <= high) for low, high in ends]
        held.append([[one[own == place].mean() for one in within] for place in range(len(EDGES) + 1)])
    table = common.Table("predicted fraction | votes in their 90 % interval | one width")
    for least, most, shares in zip((0, *EDGES), (*EDGES, 1), np.mean(held, axis=0), strict=True):
        table.row(f"{least:g} to {most:g}", *(f"{share:.1%}" for share in shares))


def draw(path: Path, curves: Fits, fits: Fits) -> None:
    """Draw coverage by question, and what was held against what was promised."""
    figure = new_figure(10, 4.6)
    by_question, by_level = figure.subplots(1, 2)
    at_ninety = {name: fit[LEVELS.index(0.9)].coverage.questions for name, fit in fits.items()}
    questions = list(at_ninety["adaptive"])
    for name, colour in zip(fits, (VALIDATION, TRAINING), strict=True):
        shares = [100 * at_ninety[name][question] for question in questions]
        by_question.plot(shares, range(len(questions)), "o", color=colour, label=name)
        held = [100 * one.coverage.overall for one in curves[name]]
        by_level.plot([100 * one.level for one in curves[name]], held, color=colour, label=name)
    by_question.axvline(90, color=INK, linewidth=0.8)
    by_question.set_yticks(range(len(questions)), [question.replace("_", " ") for question in questions])
    by_question.invert_yaxis()
    by_question.set_xlim(80, 100)
    by_question.set_xticks(range(80, 101, 5))
    style_axes(by_question, "Votes in their 90 % interval", "%", "")
    by_level.plot([0, 100], [0, 100], color=GRID)
    style_axes(by_level, "Votes in their interval", "promised, %", "held, %")
    by_level.legend(frameon=False)
    save_figure(figure, path)


# Images of other kinds, each drawn with a seed of its own, some of them from real galaxies.


def generators(count: int, seed: int) -> list[np.random.Generator]:
    return list(np.random.default_rng(seed).spawn(count))


def as_image(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def draw_noise(_: np.ndarray) -> Images:
    for number, rng in enumerate(generators(60, seed=0)):
        channels = 1 if number % 3 == 2 else 3
        values = rng.normal(rng.uniform(20, 200), rng.uniform(10, 60), (SIDE, SIDE, channels))
        if number % 2:
            values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.5, 4)).reshape(SIDE, SIDE, channels)
        yield as_image(np.broadcast_to(values, (SIDE, SIDE, 3)))


def draw_colours(_: np.ndarray) -> Images:
    for number, rng in enumerate(generators(30, seed=1)):
        yield np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3 if number % 2 else 1), np.uint8)


def draw_sky(rng: np.random.Generator) -> np.ndarray:
    values = rng.normal(rng.uniform(0, 25), rng.uniform(1, 8), (SIDE, SIDE, 3))
    return np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.2)))


def draw_stars(_: np.ndarray) -> Images:
    """Draw one star in the middle of the sky, in every second image a few more."""
    y, x = np.mgrid[:SIDE, :SIDE]
    middle = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    for number, rng in enumerate(generators(60, seed=3)):
        values = draw_sky(rng)
        for centre in [middle, *rng.uniform(0, SIDE, (number % 2 * rng.integers(1, 5), 2))]:
            squared = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / rng.uniform(0.8, 3.5) ** 2
            colour = np.array([1, rng.uniform(0.8, 1), rng.uniform(0.6, 1)])[:: rng.choice([-1, 1])]
            values += rng.uniform(80, 600) * (1 + squared[..., None] / 3) ** -3 * colour  # Moffat
        yield as_image(values)


def cut_photographs(_: np.ndarray) -> Images:
    """Cut the whole and seven random squares out of each photograph."""
    for name, rng in zip(PHOTOGRAPHS, generators(len(PHOTOGRAPHS), seed=4), strict=True):
        photograph = np.asarray(getattr(data, name)())
        photograph = photograph if photograph.ndim == 3 else np.dstack([photograph] * 3)
        height, width = photograph.shape[:2]
        shortest = min(height, width)
        for number in range(8):
            side = shortest if number == 0 else rng.integers(min(shortest, SIDE), shortest + 1)
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            yield np.ascontiguousarray(photograph[top : top + side, left : left + side, :3])


def cut_field(_: np.ndarray) -> Images:
    field = data.hubble_deep_field()
    for galaxy in find_galaxies(field).galaxies:
        yield cut_out(field, galaxy, Geometry(field_of_view=FIELD_OF_VIEW, pixels=SIDE))


def shuffle(galaxies: np.ndarray) -> Images:
    side = SIDE // 4
    for image, rng in zip(galaxies, generators(len(galaxies), seed=6), strict=True):
        rows = image.reshape(4, side, 4, side, 3).swapaxes(1, 2)
        mixed = rows.reshape(16, side, side, 3)[rng.permutation(16)].reshape(rows.shape)
        yield mixed.swapaxes(1, 2).reshape(SIDE, SIDE, 3)


def magnify(galaxies: np.ndarray) -> Images:
    third = slice(SIDE // 3, SIDE - SIDE // 3)
    for galaxy in galaxies:
        yield cv2.resize(galaxy[third, third], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


KINDS: dict[str, Callable[[np.ndarray], Images]] = {
    "noise": draw_noise,
    "one colour": draw_colours,
    "empty sky": lambda _: (as_image(draw_sky(rng)) for rng in generators(60, seed=2)),
    "stars on sky": draw_stars,
    "parts of photographs": cut_photographs,
    "Hubble Deep Field": cut_field,
    "validation galaxies as negatives": lambda galaxies: iter(255 - galaxies),
    "validation galaxies three times too large": magnify,
    "validation galaxies in 16 shuffled tiles": shuffle,
    "validation galaxies in grey": lambda galaxies: (
        np.repeat(galaxy.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2) for galaxy in galaxies
    ),
    "simulated galaxies": lambda _: (galaxy.image for galaxy in simulate_galaxies(150, seed=5)),
}
"""What draws the images of each kind, from cutouts of 128 pixels of real galaxies."""


if __name__ == "__main__":
    main()
