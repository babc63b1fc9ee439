"""The scale of images: how large the galaxy in the middle is, and what brings it to GZ2's size.

What gets no brighter on the way out from the brightest pixel of the middle, and stands out of the sky, is the
galaxy. Its r90 is a quadratic form in the logarithms of sizes of that outline, fitted on frames of SDSS and
simulated ones, cut and extended at random, some of them brighter or darker;
``benchmarks/robustness/scale.py`` makes ``scale.json``. For a single galaxy it is off by some 12 %, so a
image that may well be a GZ2 frame is left as it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float64, Int, Shaped, UInt8

from galvote.errors import ImageError
from galvote.images.decode import Encoded, decode_image, jpeg_size
from galvote.images.geometry import (
    TOLERATED_SHORTFALL,
    Geometry,
    find_field_of_view,
    frame_width,
    to_cutout,
    try_read,
)
from galvote.images.limits import MAX_PIXELS

_SCATTER = 0.12  # standard deviation of the logarithm of measured r90 among GZ2 frames
_AS_IN_GZ2 = "it is taken to have the scale of a GZ2 frame."
_ODDS = 20.0  # that an image with a galaxy of just the right size is a GZ2 frame
_LEAST_CHANGE = 0.1  # of the logarithm; what is less hardly moves a vote
_SIDE = 36  # pixels on which a galaxy is measured
_MIDDLE = slice(_SIDE // 2 - 2, _SIDE // 2 + 2)  # of them, where it is looked for
_NARROWEST = 8  # pixels of the image
_LARGE_IMAGE = 6_000_000  # bytes of a decoded image
_SMALLEST = 50 / 600  # r90 in widths of the image; where it is less, the middle is measured
_LARGEST = 0.45  # r90 in widths of the image
_LEAST_PIXELS = 3.0  # of r90
_SHARES = np.array([0.2, 0.4, 0.6, 0.8, 0.95])
_RADII = np.arange(1.0, _SIDE / math.sqrt(2))  # of circles around the middle, in pixels
_SOME = np.array([1, 3, 5, 8, 12, 17])  # of them


class Shown(NamedTuple):
    """What a network is shown of an image."""

    cutout: UInt8[np.ndarray, "p p 3"]
    r90: float = math.nan  # in pixels of the image, measured or from a catalogue; NaN if unknown
    measured: float = math.nan  # over the r90 of a GZ2 frame of this width; NaN if none was measured
    factor: float = 1.0  # how many times larger than in a GZ2 frame it is taken to be, and shown smaller
    remark: str = ""  # what a user should know of it, in sentences; mostly empty


Showing = Generator[UInt8[np.ndarray, "y x 3"], float | None, Shown]
"""Work on an image that stops for its galaxy to be measured: it yields pixels, and is sent r90 in widths."""


def show(
    data: Encoded,
    geometry: Geometry,
    seen: Geometry,
    *,
    field_of_view: float | None = None,
    r90: float | None = None,
    measured: Literal["no", "only", "applied"] = "no",
    max_pixels: int = MAX_PIXELS,
) -> Showing:
    """Decode an image and bring its galaxy to the size that it has in GZ2 frames, when `finish` is called.

    A field of view that is given decides that. Else r90, in pixels of the image, does; NaN if it should be
    known and is not. Else the galaxy may be measured. What shows less than half the width that the network
    has `seen` is refused.
    """
    least = seen.field_of_view / 2
    known = frame_width(data) if field_of_view is None else field_of_view
    frame = find_field_of_view(geometry, known, least)
    size = jpeg_size(data)
    if size is None:
        data = decode_image(data, max_pixels=max_pixels)
        size = (data.shape[0], data.shape[1])
    side, factor, found, remarks = min(size), 1.0, math.nan, list[str]()
    if field_of_view is not None:
        r90 = None
    elif r90 is not None and r90 > 0:
        factor = r90 / side * frame
    elif r90 is not None:
        remarks.append(f"The catalogue has no size of it, so {_AS_IN_GZ2}")

    def decode() -> UInt8[np.ndarray, "y x 3"]:
        reduction = geometry.field_of_view / frame * factor * side / geometry.pixels
        return decode_image(data, reduction, max_pixels=max_pixels)

    rgb = decode()
    if measured != "no" and field_of_view is None and r90 is None:
        # A large image does not wait for others in memory.
        if share := measure([rgb])[0] if rgb.size > _LARGE_IMAGE else (yield rgb):
            r90, found = share * side, share * frame
        if share and measured == "applied":
            factor = _whole_pixels(_weigh(found), geometry, frame, rgb)
            rgb = decode() if factor < 1 and rgb.shape[:2] != size else rgb
        elif measured == "applied":
            remarks.append(f"Its r90 cannot be measured, so {_AS_IN_GZ2}")
    shown = frame / factor / seen.field_of_view
    if shown < 1 - TOLERATED_SHORTFALL:
        remarks.append(f"It shows {shown:.0%} of the width that the network looks at; the rest is its sky.")
    cutout = np.ascontiguousarray(to_cutout(rgb, geometry, frame / factor, least=least))
    return Shown(cutout, math.nan if r90 is None else r90, found, factor, " ".join(remarks))


def finish(images: Sequence[Showing]) -> list[Shown | ImageError]:
    """Return what is shown of each image, or what is wrong with it.

    Their galaxies are measured together, which is twice as fast as each after its image is decoded.
    """
    done = [_advance(image) for image in images]
    stopped = {place: one for place, one in enumerate(done) if isinstance(one, np.ndarray)}
    for place, share in zip(stopped, measure(list(stopped.values())), strict=True):
        done[place] = _advance(images[place], share)
    return [one for one in done if not isinstance(one, np.ndarray)]


def _advance(image: Showing, share: float | None = None) -> UInt8[np.ndarray, "y x 3"] | Shown | ImageError:
    try:
        return try_read(partial(image.send, share))
    except StopIteration as done:
        shown: Shown = done.value
        return shown


def describe_scale(shown: Iterable[Shown]) -> str:
    """Return how the scale of the measured images differs from GZ2's, in sentences; nothing if it does not.

    It does if the median r90 differs by a factor of 1.15, or r90 scatters more. A few images must differ
    more, one alone by a factor of 2.3, because some GZ2 frames, mergers above all, are measured that far off.
    """
    sizes = np.log([one.measured for one in shown if one.measured > 0])
    if not len(sizes):
        return ""
    median = float(np.median(sizes))
    scatter = float(np.diff(np.percentile(sizes, [16, 84]))[0]) / 2
    few = 0.7 / len(sizes)
    off, scattered = abs(median) > math.log(1.15) + few, scatter > 0.15 + few
    if not (off or scattered):
        return ""
    share = math.exp(median) - 1
    larger = f"{abs(share):.0%} {'larger' if share > 0 else 'smaller'} than in GZ2 frames"
    scattered_by = f" and scatters by {scatter:.0%} (GZ2's by some 10%)" if scattered else ""
    number = f"the first {len(sizes)} images" if len(sizes) > 1 else "the image"
    return (
        "The model was trained on GZ2 frames, and these images seem to have another scale: measured on "
        f"{number}, r90 is {larger}{scattered_by}, relative to the width of the image. Measure each galaxy "
        'with --scale auto (scale="auto"), or give --pixel-scale and a --catalogue of their r90 '
        '(scale=galvote.Sizes); if the scale is right, say --scale gz2 (scale="gz2").'
    )


def measure(images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[float | None]:
    """Return the r90 of each image's galaxy, in the middle, in widths of the central square; None without."""
    sides = [min(rgb.shape[:2]) for rgb in images]
    shares: list[float | None] = [None] * len(images)
    left = [place for place, side in enumerate(sides) if side >= _NARROWEST]
    while left:
        sizes = outline_sizes(np.stack([sample(images[place], sides[place]) for place in left]))
        found = zip(left, np.exp(_fit().predict(sizes)).tolist(), strict=True)
        left = []
        for place, share in found:
            side, whole = sides[place], min(images[place].shape[:2])
            if share <= _SMALLEST and side >= 4 * _SIDE:
                sides[place] //= 2
                left.append(place)
            elif _LEAST_PIXELS < share * side < _LARGEST * whole:
                shares[place] = share * side / whole
    return shares


def outline_sizes(green: UInt8[np.ndarray, "image p p"]) -> Float64[np.ndarray, "image size"]:
    """Return logarithms of sizes of the galaxy in the middle of each `sample`, which the fit of r90 takes.

    They are radii of circles with shares of its squared light, in which a faint rest of the image hardly
    counts, and its half axes; and its brightness in the mean within circles, and at most. NaN if there is no
    galaxy.
    """
    corners, tables = _places()
    rim = np.sort(_flat(green).take(corners, axis=1), axis=1).astype(np.float64)
    sky, low = rim[:, len(corners) // 2], rim[:, len(corners) // 6]
    threshold = np.maximum(4, np.rint(2.5 * (sky - low)))
    smooth = np.stack([cv2.GaussianBlur(one, (3, 3), 0) for one in green])
    middle = _flat(smooth[:, _MIDDLE, _MIDDLE])
    peak = middle.max(axis=1) - sky
    flooded = np.ones((len(green), _SIDE + 2, _SIDE + 2), np.uint8)  # 1 stops the flood
    flooded[:, 1:-1, 1:-1] = smooth <= (sky + threshold)[:, None, None]
    for one, mask, seed in zip(smooth, flooded, middle.argmax(axis=1).tolist(), strict=True):
        y, x = (_MIDDLE.start + step for step in divmod(seed, 4))
        # What is flooded becomes 2 in the mask.
        cv2.floodFill(one, mask, (x, y), 0, 255, 0, 8 | cv2.FLOODFILL_MASK_ONLY | 2 << 8)
    light = _flat((green - sky[:, None, None]) * (flooded[:, 1:-1, 1:-1] == 2))
    # Sums of whole numbers and halves are exact, and so depend on no other image.
    within, sums = light @ tables[:, : len(_RADII)], np.square(light) @ tables
    growth, total = sums[:, : len(_RADII)], sums[:, len(_RADII) - 1]
    seen = (peak > threshold) & (total > 0)
    mean_x, mean_y, xx, yy, xy = sums[:, len(_RADII) :].T / np.where(seen, total, 1)
    xx, yy, xy = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    mean, difference = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    axes = np.sqrt(np.maximum(0.1, [mean + difference, mean - difference])).T
    radii = [np.interp(_SHARES * one[-1], one, _RADII) for one in growth]
    means = within[:, _SOME] / tables[:, _SOME].sum(axis=0)
    sizes = np.log(np.column_stack([radii, axes, means + 2, np.maximum(peak, 1)]))
    return np.where(seen[:, None], sizes, np.nan)


def _flat(squares: Shaped[np.ndarray, "image p p"]) -> Shaped[np.ndarray, "image pixel"]:
    return squares.reshape(len(squares), -1)


def sample(rgb: UInt8[np.ndarray, "y x 3"], side: int) -> UInt8[np.ndarray, "p p"]:
    """Bring a central square to the pixels on which galaxies are measured, in green, SDSS's r band.

    Large squares are halved, then every so many pixels one is taken, which is fast.
    """
    top, left = ((length - side) // 2 for length in rgb.shape[:2])
    square = rgb[top : top + side, left : left + side]
    while side >= 8 * _SIDE:
        side //= 2
        square = cv2.resize(square, (side, side))
    step = max(1, round(side / (1.5 * _SIDE)))
    green = np.ascontiguousarray(square[step // 2 :: step, step // 2 :: step, 1])
    return np.asarray(cv2.resize(green, (_SIDE, _SIDE)))


class Fit(NamedTuple):
    """A quadratic form of numbers less their means."""

    mean: Float64[np.ndarray, " size"]
    constant: Float64[np.ndarray, ""]
    linear: Float64[np.ndarray, " size"]
    square: Float64[np.ndarray, "size size"]

    def predict(self, sizes: Float64[np.ndarray, "image size"]) -> Float64[np.ndarray, " image"]:
        """Return the logarithm of r90 in widths of the square, by what `outline_sizes` returns."""
        x = sizes - self.mean
        # Unlike a product of matrices, these sums are the same however many images there are.
        slope = self.linear + np.einsum("is,st->it", x, self.square)
        return np.asarray(self.constant + np.einsum("it,it->i", slope, x))


@lru_cache(maxsize=1)
def _fit() -> Fit:
    numbers = json.loads(Path(__file__).with_name("scale.json").read_text())
    return Fit(**{name: np.asarray(numbers[name]) for name in Fit._fields})


@lru_cache(maxsize=1)
def _places() -> tuple[Int[np.ndarray, " corner"], Float64[np.ndarray, "pixel sum"]]:
    """Return the pixels in the corners, and what each adds to the sums in circles and to moments."""
    y, x = (axis.ravel() for axis in np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2)
    radius = np.hypot(x, y)
    tables = np.column_stack([radius[:, None] < _RADII, x, y, x * x, y * y, x * y])
    return np.flatnonzero(radius > 0.54 * _SIDE), tables


def _weigh(factor: float) -> float:
    """Return what is made of a measured factor: nothing where the image may well be a GZ2 frame."""
    change = math.log(factor)
    change /= 1 + _ODDS * math.exp(-(change**2) / (2 * _SCATTER**2))
    return math.exp(change) if abs(change) > _LEAST_CHANGE else 1.0


def _whole_pixels(factor: float, geometry: Geometry, frame: float, rgb: UInt8[np.ndarray, "y x 3"]) -> float:
    """Return the nearest factor for which the cutout is a part of whole pixels, which is averaged faster."""
    side = min(rgb.shape[:2])
    at_one = geometry.field_of_view / frame * side
    return (side - 2 * round((side - factor * at_one) / 2)) / at_one if factor != 1 else factor
