"""The scale of pictures: how large the galaxy in the middle is, and what brings it to GZ2's size.

`sep` draws an outline around the galaxy. Its r90 is a quadratic form in the logarithms of sizes within that
outline, fitted on SDSS frames cut and extended at random, some of them brighter or darker
(``benchmarks/robustness/scale.py`` makes ``scale.json``). For a single galaxy it is off by some 12 %, so a
picture that may well be a GZ2 frame is left as it is.
"""

import json
import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import sep
from jaxtyping import Float64, Int, UInt8

from galvote.images.decode import Encoded, decode_image, jpeg_size
from galvote.images.geometry import TOLERATED_SHORTFALL, Geometry, find_field_of_view, frame_width, to_cutout
from galvote.images.limits import MAX_PIXELS

SCATTER = 0.12
"""Standard deviation of the logarithm of measured r90 among GZ2 frames."""

_AS_IN_GZ2 = "it is taken to have the scale of a GZ2 frame."
_ODDS = 8.0  # that a picture with a galaxy of just the right size is a GZ2 frame
_LEAST_CHANGE = 0.05  # of the logarithm; what is less is none
_SIDE = 42  # pixels, nearly, on which a galaxy is measured
_NARROWEST = 8  # pixels of the picture
_SMALLEST = 50 / 850  # r90 in widths of the picture that was fitted; where it is less, the middle is measured
_LARGEST = 0.45  # r90 in widths of the picture
_LEAST_PIXELS = 3.0  # of r90
_LEVELS = np.array([4, 8, 16, 32, 110], np.float32)  # above the sky, of 255
_SHARES = np.array([0.5, 0.8, 0.95])

sep.set_extract_pixstack(5_000)  # all of it is cleared for each picture; the default takes ten times as long


class Shown(NamedTuple):
    """What a network is shown of an image."""

    cutout: UInt8[np.ndarray, "p p 3"]
    r90: float = math.nan  # in pixels of the image, measured or from a catalogue; NaN if unknown
    measured: float = math.nan  # over the r90 of a GZ2 frame of this width; NaN if none was measured
    factor: float = 1.0  # how many times larger than in a GZ2 frame it is taken to be, and shown smaller
    remark: str = ""  # what a user should know of it, in sentences; mostly empty


def show(
    data: Encoded,
    geometry: Geometry,
    seen: Geometry,
    *,
    field_of_view: float | None = None,
    r90: float | None = None,
    measured: Literal["no", "only", "applied"] = "no",
    max_pixels: int = MAX_PIXELS,
) -> Shown:
    """Decode an image and bring its galaxy to the size that it has in GZ2 frames.

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
        if share := measure(rgb):
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


def describe_scale(shown: Iterable[Shown]) -> str:
    """Return how the scale of the measured images differs from GZ2's, in sentences; nothing if it does not.

    A few images have to differ more: the limits are two standard errors wider than of a hundred.
    """
    sizes = np.log([one.measured for one in shown if one.measured > 0])
    if not len(sizes):
        return ""
    median = float(np.median(sizes))
    scatter = float(np.diff(np.percentile(sizes, [16, 84]))[0]) / 2
    few = 2 * SCATTER * max(0.0, len(sizes) ** -0.5 - 0.1)
    off, scattered = abs(median) > math.log(1.15) + few, scatter > 0.15 + few
    if not (off or scattered):
        return ""
    larger = f"{abs(math.exp(median) - 1):.0%} {'larger' if median > 0 else 'smaller'} than in GZ2 frames"
    said = f"r90 is {larger}" + (f" and scatters by {scatter:.0%} (GZ2's by some 10%)" if scattered else "")
    number = f"the first {len(sizes)} images" if len(sizes) > 1 else "the image"
    return (
        f"The scale seems to be another than that of GZ2 frames, for which the model was trained: {said}, by "
        f'{number}, in widths of the image. Measure each galaxy with --scale auto (scale="auto"), or give '
        "--pixel-scale and a --catalogue of their r90 (scale=galvote.Sizes); if the scale is right, say "
        '--scale gz2 (scale="gz2").'
    )


def measure(rgb: UInt8[np.ndarray, "y x 3"]) -> float | None:
    """Return the r90 of the galaxy in the middle, in widths of the central square; None if it has none."""
    whole = side = min(rgb.shape[:2])
    while (sizes := outline_sizes(rgb, side)) is not None:
        share = math.exp(_fit().predict(sizes)) * side / whole
        if share * whole > _SMALLEST * side or side < 4 * _SIDE:
            return share if _LEAST_PIXELS / whole < share < _LARGEST else None
        side //= 2
    return None


def outline_sizes(rgb: UInt8[np.ndarray, "y x 3"], side: int) -> Float64[np.ndarray, " size"] | None:
    """Return logarithms of sizes of the galaxy in the middle of a central square, which the fit of r90 takes.

    They are radii of its area above each level, radii of circles with shares of its squared light, half axes,
    all in widths of the square, and its brightness at most. None if there is no galaxy.
    """
    if side < _NARROWEST:
        return None
    step = max(1, round(side / _SIDE))
    n = side // step
    top, left = ((length - n * step) // 2 for length in rgb.shape[:2])
    square = rgb[top : top + n * step, left : left + n * step]
    small = cv2.resize(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY), (n, n), interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32)
    corners, rings = _places(n)
    rim = np.sort(grey.ravel()[corners])
    sky = rim[len(rim) // 2]
    above = grey - sky
    threshold = max(4.0, 2.5 * float(sky - rim[len(rim) // 6]))
    try:
        found, owner = sep.extract(
            above, threshold, minarea=4, deblend_nthresh=4, clean=False, segmentation_map=True
        )
    except Exception:  # more things overlap than sep takes apart
        return None
    middle = slice(n // 2 - 2, n // 2 + 2)
    galaxy = int(owner[middle, middle].max()) if len(found) else 0
    if not galaxy:
        return None
    own = np.flatnonzero(owner.ravel() == galaxy)
    light = above.ravel()[own]
    areas = len(own) - np.searchsorted(np.sort(light), _LEVELS)
    growth = np.bincount(rings[own], light * light).cumsum()
    radii = np.interp(_SHARES * growth[-1], growth, np.arange(1.0, len(growth) + 1))
    shape = found[galaxy - 1]
    axes = max(shape["a"], 0.3), max(shape["b"], 0.3)
    sizes = np.concatenate([np.sqrt((areas + 0.5) / np.pi), radii, axes]) / n
    return np.asarray(np.log(np.append(sizes, shape["peak"])))


class Fit(NamedTuple):
    """A quadratic form of numbers that mean and scale standardise."""

    mean: Float64[np.ndarray, " size"]
    scale: Float64[np.ndarray, " size"]
    constant: Float64[np.ndarray, ""]
    linear: Float64[np.ndarray, " size"]
    square: Float64[np.ndarray, "size size"]

    def predict(self, sizes: Float64[np.ndarray, " size"]) -> float:
        """Return the logarithm of r90 in widths of the square, by what `outline_sizes` returns."""
        x = (sizes - self.mean) / self.scale
        return float(self.constant + self.linear @ x + x @ self.square @ x)


@lru_cache(maxsize=1)
def _fit() -> Fit:
    numbers = json.loads(Path(__file__).with_name("scale.json").read_text())
    return Fit(**{name: np.asarray(numbers[name]) for name in Fit._fields})


@lru_cache(maxsize=64)
def _places(n: int) -> tuple[Int[np.ndarray, " corner"], Int[np.ndarray, " pixel"]]:
    """Return the pixels in the corners of a square, and each one's ring around the middle."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    radius = np.hypot(x, y).ravel()
    return np.flatnonzero(radius > 0.54 * n), radius.astype(np.intp)


def _weigh(factor: float) -> float:
    """Return what is made of a measured factor: nothing where the picture may well be a GZ2 frame."""
    change = math.log(factor)
    change /= 1 + _ODDS * math.exp(-(change**2) / (2 * SCATTER**2))
    return math.exp(change) if abs(change) > _LEAST_CHANGE else 1.0


def _whole_pixels(factor: float, geometry: Geometry, frame: float, rgb: UInt8[np.ndarray, "y x 3"]) -> float:
    """Return the nearest factor for which the cutout is a part of whole pixels, which is averaged faster."""
    side = min(rgb.shape[:2])
    at_one = geometry.field_of_view / frame * side
    return (side - 2 * round((side - factor * at_one) / 2)) / at_one if factor != 1 else factor
