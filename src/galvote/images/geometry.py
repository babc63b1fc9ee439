"""What a cutout shows and on how many pixels, and the one function that brings a picture to it.

A width on the sky is an *extent*, in pixels of the GZ2 frame: 424 of them, each 0.02 of the galaxy's 90 %
Petrosian radius (Willett et al. 2013, MNRAS 435, 2835, section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import BaseModel, ConfigDict, Field

from galvote.errors import ImageError
from galvote.images.decode import MAX_PIXELS, Encoded, decode_image, jpeg_size

FRAME_EXTENT = 424.0
"""Extent of a whole GZ2 picture."""

FRAME_PIXELS = int(FRAME_EXTENT)
"""Width of a whole GZ2 picture in its own pixels."""

GZ2_R90 = 50.0
"""The 90 % Petrosian radius of a galaxy in GZ2 pixels, 0.02 × that radius wide (Willett et al. 2013)."""

TOLERATED_SHORTFALL = 0.05
"""Share of the wanted extent that a picture may lack; its edge pixels then fill the rim."""


class Geometry(BaseModel):
    """How much of the frame a cutout shows, and on how many pixels.

    Parameters
    ----------
    extent
        Width of the central part that is kept, in GZ2 pixels; 424 is the whole frame.
    pixels
        Width of the cutout in its own pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    extent: float = Field(256.0, gt=0, le=4 * FRAME_EXTENT, allow_inf_nan=False)
    pixels: int = Field(128, ge=8, le=2048)


COMPACT = Geometry(extent=256.0, pixels=128)
"""The form in which GZ2 pictures are passed around: a picture of exactly this size is taken to show this."""


def to_cutout(
    rgb: UInt8[np.ndarray, "y x 3"], geometry: Geometry, shown: float | None = None
) -> UInt8[np.ndarray, "p p 3"]:
    """Bring the central part of a picture to a geometry.

    Parameters
    ----------
    rgb
        A whole picture. If it is not square, its central square is used.
    shown
        Extent of that square, in GZ2 pixels. By default 424, the whole frame, but 256 for a picture of
        exactly 128 × 128 pixels (`COMPACT`).

    Returns
    -------
    Exact area average of the part of the sky under each pixel of the cutout, in [0, 255]; bilinear
    interpolation where the picture is coarser than the cutout.

    Raises
    ------
    ImageError
        ``unsupported`` if the picture shows less than 95 % of the wanted extent.
    """
    height, width = rgb.shape[:2]
    shown = _extent_shown((height, width), geometry, shown)
    wanted = geometry.extent / shown * min(height, width)
    top, left = (height - wanted) / 2, (width - wanted) / 2
    return _average(rgb, top, left, wanted, geometry.pixels)


def decode_cutout(
    data: Encoded, geometry: Geometry, shown: float | None = None, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "p p 3"]:
    """Decode a picture and bring its central part to a geometry.

    It is `to_cutout` of `decode_image`, but a JPEG is decoded at a reduced size where the cutout has no more
    pixels than are left: of a frame of 424 pixels, whose central 256 go to 128, at a half. Pixels then differ
    by some tenths of a level of 255 in the mean, and fewer of them are decoded (speed:
    ``benchmarks/survey.py``).

    Parameters
    ----------
    data
        As for `decode_image`.
    shown
        As for `to_cutout`; its default goes by the size of the picture as it is in the file.
    max_pixels
        As for `decode_image`.

    Raises
    ------
    ImageError
        As `decode_image` and `to_cutout` do.
    """
    if size := jpeg_size(data):
        shown = _extent_shown(size, geometry, shown)
        reduction = geometry.extent / shown * min(size) / geometry.pixels
        return to_cutout(decode_image(data, reduction, max_pixels=max_pixels), geometry, shown)
    return to_cutout(decode_image(data, max_pixels=max_pixels), geometry, shown)


def try_cutout(
    read: Callable[[], Encoded],
    geometry: Geometry,
    shown: float | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> UInt8[np.ndarray, "p p 3"] | ImageError:
    """Read a picture and bring it to a geometry, or return what is wrong with it instead of raising.

    Whatever goes through many pictures uses this, so that no picture ends a run.

    Parameters
    ----------
    read
        Returns what `decode_cutout` takes; may raise `ImageError`, or `OSError`, which becomes ``missing``.
    shown, max_pixels
        As for `decode_cutout`.
    """
    try:
        return np.ascontiguousarray(decode_cutout(read(), geometry, shown, max_pixels=max_pixels))
    except (ImageError, OSError) as error:
        return _what_is_wrong(error)


def try_read(read: Callable[[], Encoded]) -> Encoded | ImageError:
    """Read a picture as `try_cutout` does, and decode nothing yet."""
    try:
        return read()
    except (ImageError, OSError) as error:
        return _what_is_wrong(error)


def _what_is_wrong(error: ImageError | OSError) -> ImageError:
    return (
        error
        if isinstance(error, ImageError)
        else ImageError("missing", f"The file cannot be read ({error}).")
    )


def _extent_shown(size: tuple[int, int], geometry: Geometry, shown: float | None) -> float:
    """Return the extent of a picture of this height and width, or raise `ImageError` if it is too little."""
    if shown is None:
        shown = COMPACT.extent if size == (COMPACT.pixels, COMPACT.pixels) else FRAME_EXTENT
    if not shown > 0:
        raise ImageError("unsupported", f"A picture cannot show {shown:g} GZ2 pixels; say how many it shows.")
    if shown < (1 - TOLERATED_SHORTFALL) * geometry.extent:
        raise ImageError(
            "unsupported",
            f"The picture shows only {shown:g} of the {geometry.extent:g} GZ2 pixels that are wanted. If it "
            "shows more, say how many with --shown (in Python, shown=); "
            f"a whole GZ2 frame shows {FRAME_EXTENT:g}.",
        )
    return shown


def _average(
    rgb: UInt8[np.ndarray, "y x 3"], top: float, left: float, width: float, pixels: int
) -> UInt8[np.ndarray, "p p 3"]:
    """Average the square of this width at this corner, in the picture's own pixels, onto the cutout's."""
    whole = all(number == int(number) for number in (top, left, width))
    if whole and top >= 0 and left >= 0 and width >= pixels:
        y, x, n = int(top), int(left), int(width)
        part = np.ascontiguousarray(rgb[y : y + n, x : x + n])
        return (
            part
            if n == pixels
            else np.asarray(cv2.resize(part, (pixels, pixels), interpolation=cv2.INTER_AREA))
        )
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
    """Weight of each pixel of a side in each pixel of the cutout, and the first one that has any.

    Beyond the picture its edge pixel goes on.
    """
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
