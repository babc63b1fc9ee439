"""What a cutout shows and on how many pixels, and the one function that brings an image to it.

A field of view is a width on the sky in units of r90, the galaxy's 90 % Petrosian radius. A GZ2 frame has 424
pixels of 0.02 r90, so its field of view is 8.48 r90 (Willett et al. 2013, MNRAS 435, 2835, section 2).
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import BaseModel, ConfigDict, Field

from galvote.errors import ImageError
from galvote.images.decode import Encoded, decode_image, jpeg_size
from galvote.io.readers.parquet import COMPACT_PIXELS, COMPACT_WIDTH
from galvote.io.sources import said_width

FRAME_PIXELS = 424
"""Width of a GZ2 frame in pixels."""

R90_PIXELS = 50.0
"""The 90 % Petrosian radius of the galaxy in pixels of a GZ2 frame."""

FRAME_WIDTH = FRAME_PIXELS / R90_PIXELS
"""Field of view of a GZ2 frame, in r90."""

Result = TypeVar("Result")

TOLERATED_SHORTFALL = 0.05
"""Share of the wanted field of view that an image may lack; its edge pixels then fill the rim."""


class Geometry(BaseModel):
    """How much of the frame a cutout shows, and on how many pixels.

    Parameters
    ----------
    field_of_view
        Width of the central part that is kept, in r90; 8.48 is a whole GZ2 frame.
    pixels
        Width of the cutout in its own pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field_of_view: float = Field(5.12, gt=0, le=4 * FRAME_WIDTH, allow_inf_nan=False)
    pixels: int = Field(128, ge=8, le=2048)


COMPACT = Geometry(field_of_view=COMPACT_WIDTH, pixels=COMPACT_PIXELS)
"""The form in which GZ2 images are passed around in Parquet."""


def frame_width(data: Encoded) -> float:
    """Return what an image is taken to show, in r90: what its file says (`say_width`), or 8.48."""
    return said_width(data) or FRAME_WIDTH


def to_cutout(
    rgb: UInt8[np.ndarray, "y x 3"],
    geometry: Geometry,
    field_of_view: float | None = None,
    *,
    least: float | None = None,
) -> UInt8[np.ndarray, "p p 3"]:
    """Bring the central part of an image to a geometry.

    Parameters
    ----------
    rgb
        A whole image. If it is not square, its central square is used.
    geometry
        Of the cutout.
    field_of_view
        Width of that square, in r90. By default 8.48, a whole GZ2 frame.
    least
        Narrowest field of view that is not refused; 95 % of the cutout's if not given.

    Returns
    -------
    ndarray
        Exact area average of the part of the sky under each pixel of the cutout, in [0, 255]; bilinear
        interpolation where the image is coarser. Where it ends, up to 5 % are filled with its edge, more with
        its sky, the lower quartile of its rim.

    Raises
    ------
    ImageError
        ``unsupported`` if the image shows too little.
    """
    height, width = rgb.shape[:2]
    field_of_view = find_field_of_view(geometry, field_of_view, least)
    wanted = round(geometry.field_of_view / field_of_view * min(height, width), 9)
    if field_of_view < (1 - TOLERATED_SHORTFALL) * geometry.field_of_view:
        rgb = _add_sky(rgb, wanted)
        height, width = rgb.shape[:2]
    top, left = (height - wanted) / 2, (width - wanted) / 2
    return _average(rgb, top, left, wanted, geometry.pixels)


def cut_square(
    rgb: UInt8[np.ndarray, "y x 3"], x: float, y: float, width: float, pixels: int
) -> UInt8[np.ndarray, "p p 3"]:
    """Cut the square of this width around x, y out of a wide image, at any scale (bicubic).

    Beyond the edge it has the lower quartile of the colours that it shows. (0, 0) is the first pixel's
    centre.
    """
    left, top = x - width / 2, y - width / 2  # of the square's edge, half a pixel before a centre
    rows = slice(max(math.floor(top) - 2, 0), max(math.ceil(top + width) + 3, 1))
    columns = slice(max(math.floor(left) - 2, 0), max(math.ceil(left + width) + 3, 1))
    part = np.ascontiguousarray(rgb[rows, columns])
    step = width / pixels
    to_part = np.array([[step, 0, left + step / 2 - columns.start], [0, step, top + step / 2 - rows.start]])
    square = cv2.warpAffine(
        part,
        to_part,
        (pixels, pixels),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.percentile(part, 25, axis=(0, 1)).tolist(),
    )
    return np.asarray(square)


def decode_cutout(
    data: Encoded, geometry: Geometry, field_of_view: float | None = None
) -> UInt8[np.ndarray, "p p 3"]:
    """Decode an image and return its central part in a geometry.

    A JPEG is decoded at a reduced size where the cutout has no more pixels than are left, which is faster;
    pixels then differ by some tenths of a level of 255 in the mean.

    Parameters
    ----------
    data
        As for `decode_image`.
    geometry, field_of_view
        As for `to_cutout`; the default is what the file says, as simulated ones do.

    Raises
    ------
    ImageError
        As `decode_image` and `to_cutout` do.
    """
    field_of_view = frame_width(data) if field_of_view is None else field_of_view
    if size := jpeg_size(data):
        field_of_view = find_field_of_view(geometry, field_of_view)
        reduction = geometry.field_of_view / field_of_view * min(size) / geometry.pixels
        return to_cutout(decode_image(data, reduction), geometry, field_of_view)
    return to_cutout(decode_image(data), geometry, field_of_view)


def try_cutout(
    read: Callable[[], Encoded],
    geometry: Geometry,
    field_of_view: float | None = None,
) -> UInt8[np.ndarray, "p p 3"] | ImageError:
    """Return an image's cutout, or what is wrong with it: whatever goes through many images uses this.

    Parameters
    ----------
    read
        As for `try_read`; returns what `decode_cutout` takes.
    geometry, field_of_view
        As for `decode_cutout`.
    """
    return try_read(lambda: np.ascontiguousarray(decode_cutout(read(), geometry, field_of_view)))


def try_read(read: Callable[[], Result]) -> Result | ImageError:
    """Return what a function returns, or what is wrong instead of raising it.

    Parameters
    ----------
    read
        May raise `ImageError`, or `OSError`, which becomes ``missing``.
    """
    try:
        return read()
    except ImageError as error:
        return error
    except OSError as error:
        return ImageError("missing", f"The file cannot be read ({error}).")


def find_field_of_view(
    geometry: Geometry, field_of_view: float | None = None, least: float | None = None
) -> float:
    """Return the field of view of an image, as for `to_cutout`, or raise `ImageError` if it is too small."""
    field_of_view = FRAME_WIDTH if field_of_view is None else field_of_view
    if not field_of_view > 0:
        raise ImageError(
            "unsupported", f"A field of view of {field_of_view:g} r90 is not possible; give a positive width."
        )
    least = (1 - TOLERATED_SHORTFALL) * geometry.field_of_view if least is None else least
    if field_of_view < least:
        raise ImageError(
            "unsupported",
            f"The image is only {field_of_view:.3g} r90 wide, and {geometry.field_of_view:g} are needed. If "
            "it is wider, give its width with --field-of-view (in Python, field_of_view=); "
            f"a whole GZ2 frame is {FRAME_WIDTH:g} r90 wide.",
        )
    return field_of_view


def _add_sky(rgb: UInt8[np.ndarray, "y x 3"], wanted: float) -> UInt8[np.ndarray, "v u 3"]:
    """Extend an image on all sides by its sky, to the wanted width or a little more."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    y, x = (max(0, math.ceil((wanted - side) / 2)) for side in rgb.shape[:2])
    sky = np.percentile(rim, 25, axis=0).tolist()
    return np.asarray(cv2.copyMakeBorder(rgb, y, y, x, x, cv2.BORDER_CONSTANT, value=sky))


def _average(
    rgb: UInt8[np.ndarray, "y x 3"], top: float, left: float, width: float, pixels: int
) -> UInt8[np.ndarray, "p p 3"]:
    """Average the square of this width at this corner, in the image's own pixels, onto the cutout's."""
    whole = all(number == int(number) for number in (top, left, width))
    if whole and top >= 0 and left >= 0 and width >= pixels:
        y, x, n = int(top), int(left), int(width)
        part = np.ascontiguousarray(rgb[y : y + n, x : x + n])
        if n != pixels:
            part = np.asarray(cv2.resize(part, (pixels, pixels), interpolation=cv2.INTER_AREA))
        return part
    # OpenCV averages areas only of whole pixels, so a part that begins within pixels is two matrix products.
    rows, y = _weights(rgb.shape[0], top, width, pixels)
    columns, x = _weights(rgb.shape[1], left, width, pixels)
    part = rgb[y : y + rows.shape[1], x : x + columns.shape[1]].astype(np.float32)
    averaged = np.tensordot(rows, part, axes=1)  # (pixels, x, 3)
    averaged = columns @ averaged  # (pixels, pixels, 3)
    cutout: UInt8[np.ndarray, "p p 3"] = np.clip(np.rint(averaged), 0, 255).astype(np.uint8)
    return cutout


@lru_cache(maxsize=64)
def _weights(
    side: int, start: float, width: float, pixels: int
) -> tuple[Float32[np.ndarray, "pixels used"], int]:
    """Weight of each pixel of a side, the last going on, in each of the cutout's; the first that has any."""
    source = np.arange(side, dtype=np.float64)
    step = width / pixels
    if step >= 1:  # shares of area
        edges = start + step * np.arange(pixels + 1)[:, None]
        from_left = np.full(side, 0.0)
        to_right = np.full(side, 1.0)
        from_left[0], to_right[-1] = -np.inf, np.inf
        weights = np.diff(np.clip(edges - source, from_left, to_right), axis=0) / step
    else:  # bilinear
        centres = np.clip(start + step * (np.arange(pixels)[:, None] + 0.5) - 0.5, 0, side - 1)
        weights = np.maximum(0, 1 - np.abs(centres - source))
    used = np.flatnonzero(weights.any(axis=0))
    return np.ascontiguousarray(weights[:, used[0] : used[-1] + 1], dtype=np.float32), int(used[0])
