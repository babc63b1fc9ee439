"""Pictures unlike SDSS's galaxies, on which `benchmarks/intervals.py` tries the flag.

Each kind is drawn with a seed of its own. What makes pictures of real galaxies into others takes those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from skimage import data

from galvote.field.detect import cut_out, find_galaxies
from galvote.images import Geometry
from galvote.simulate import simulate_galaxies

FIELD_OF_VIEW, SIDE = 5.12, 128  # r90 that all of them show, and on how many pixels most do
PHOTOGRAPHS = ("astronaut", "camera", "cat", "clock", "coffee", "coins", "moon", "page", "rocket", "text")

Images = Iterator[np.ndarray]


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
        yield np.broadcast_to(as_image(values), (SIDE, SIDE, 3)).copy()


def draw_colours(_: np.ndarray) -> Images:
    for number, rng in enumerate(generators(30, seed=1)):
        colour = rng.integers(0, 256, 3 if number % 2 else 1)
        yield np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.uint8)


def draw_sky(rng: np.random.Generator) -> np.ndarray:
    values = rng.normal(rng.uniform(0, 25), rng.uniform(1, 8), (SIDE, SIDE, 3))
    return np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.2)))


def draw_empty_sky(_: np.ndarray) -> Images:
    return (as_image(draw_sky(rng)) for rng in generators(60, seed=2))


def draw_stars(_: np.ndarray) -> Images:
    """Draw one star in the middle of the sky, in every second picture a few more."""
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, rng in enumerate(generators(60, seed=3)):
        values = draw_sky(rng)
        centres = [
            ((SIDE - 1) / 2, (SIDE - 1) / 2),
            *rng.uniform(0, SIDE, (number % 2 * rng.integers(1, 5), 2)),
        ]
        for centre in centres:
            squared = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / rng.uniform(0.8, 3.5) ** 2
            colour = np.array([1, rng.uniform(0.8, 1), rng.uniform(0.6, 1)])[:: rng.choice([-1, 1])]
            values += rng.uniform(80, 600) * (1 + squared[..., None] / 3) ** -3 * colour  # Moffat
        yield as_image(values)


def cut_photographs(_: np.ndarray) -> Images:
    """Cut the whole and seven random squares out of each photograph."""
    for name, rng in zip(PHOTOGRAPHS, generators(len(PHOTOGRAPHS), seed=4), strict=True):
        photograph = np.asarray(getattr(data, name)())
        if photograph.ndim == 2:
            photograph = np.repeat(photograph[..., None], 3, axis=2)
        height, width = photograph.shape[:2]
        for number in range(8):
            side = (
                min(height, width)
                if number == 0
                else rng.integers(min(height, width, SIDE), min(height, width) + 1)
            )
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            yield np.ascontiguousarray(photograph[top : top + side, left : left + side, :3])


def cut_field(_: np.ndarray) -> Images:
    field = data.hubble_deep_field()
    for galaxy in find_galaxies(field).galaxies:
        yield cut_out(field, galaxy, Geometry(field_of_view=FIELD_OF_VIEW, pixels=SIDE))


def shuffle(galaxies: np.ndarray) -> Images:
    side = SIDE // 4
    for image, rng in zip(galaxies, generators(len(galaxies), seed=6), strict=True):
        tiles = image.reshape(4, side, 4, side, 3).transpose(0, 2, 1, 3, 4).reshape(16, side, side, 3)
        mixed = tiles[rng.permutation(16)].reshape(4, 4, side, side, 3).transpose(0, 2, 1, 3, 4)
        yield np.ascontiguousarray(mixed.reshape(SIDE, SIDE, 3))


def simulate(_: np.ndarray) -> Images:
    return (galaxy.image for galaxy in simulate_galaxies(150, seed=5))


def magnify(galaxies: np.ndarray) -> Images:
    third = slice(SIDE // 3, SIDE - SIDE // 3)
    for galaxy in galaxies:
        yield cv2.resize(galaxy[third, third], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def to_negative(galaxies: np.ndarray) -> Images:
    yield from 255 - galaxies


def to_grey(galaxies: np.ndarray) -> Images:
    yield from np.repeat(galaxies.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)


KINDS: dict[str, Callable[[np.ndarray], Images]] = {
    "noise": draw_noise,
    "one colour": draw_colours,
    "empty sky": draw_empty_sky,
    "stars on sky": draw_stars,
    "parts of photographs": cut_photographs,
    "Hubble Deep Field": cut_field,
    "validation galaxies as negatives": to_negative,
    "validation galaxies three times too large": magnify,
    "validation galaxies in 16 shuffled tiles": shuffle,
    "validation galaxies in grey": to_grey,
    "simulated galaxies": simulate,
}
"""What draws the pictures of each kind, from 128 × 128 pictures of real galaxies."""
