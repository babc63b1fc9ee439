"""The galaxies of a wide picture: found, measured, cut out."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

import cv2
import numpy as np
from jaxtyping import UInt8

from galvote.errors import GalvoteError
from galvote.field.detect import cut_out, find_galaxies
from galvote.images import Geometry, decode_image
from galvote.images.measure import FieldGalaxy, refuse_without_photutils
from galvote.serve.errors import RequestError

_THUMBNAIL = 128
_IMAGE = 4096
"""Pixels along the longer side of a picture that goes back to who asked."""


@dataclass(frozen=True, eq=False)
class FoundField:
    """A wide picture's galaxies, the brightest first.

    Parameters
    ----------
    width, height
        Of the picture in pixels.
    galaxies
        Where they are and how large.
    cutouts
        As the model takes them.
    thumbnails
        As a person looks at them.
    too_small
        How many more are too small or faint to classify.
    left_out
        How many more are beyond the limit.
    image
        The wide picture, no larger than a browser likes, if it was asked for.
    """

    width: int
    height: int
    galaxies: tuple[FieldGalaxy, ...]
    cutouts: list[UInt8[np.ndarray, "p p 3"]]
    thumbnails: list[UInt8[np.ndarray, "_ _ 3"]]
    too_small: int
    left_out: int
    image: UInt8[np.ndarray, "y x 3"] | None = None


def refuse_if_not_installed() -> None:
    """Raise the refusal of a server that cannot search wide pictures."""
    try:
        refuse_without_photutils()
    except GalvoteError as error:
        raise RequestError(
            501,
            "not-installed",
            f"This server cannot search wide pictures. {error}, and start the server anew.",
        ) from error


def search_field(
    data: bytes, geometry: Geometry, limit: int, given_up: Event, max_pixels: int, image: bool = False
) -> FoundField:
    """Decode a wide picture and find its galaxies.

    Parameters
    ----------
    limit
        Most galaxies, of the brightest.
    given_up
        Set when nobody waits any more.
    image
        Whether the answer has the picture, too.

    Raises
    ------
    ImageError
        If the picture cannot be read.
    TimeoutError
        If nobody waits any more.
    """

    def give_up(done: int = 0, total: int = 0) -> None:
        if given_up.is_set():
            raise TimeoutError

    give_up()
    rgb = decode_image(data, max_pixels=max_pixels)
    found = find_galaxies(rgb, limit=limit, on_progress=give_up)
    small = Geometry(field_of_view=geometry.field_of_view, pixels=_THUMBNAIL)
    return FoundField(
        width=rgb.shape[1],
        height=rgb.shape[0],
        galaxies=found.galaxies,
        cutouts=[cut_out(rgb, galaxy, geometry) for galaxy in found.galaxies],
        thumbnails=[cut_out(rgb, galaxy, small) for galaxy in found.galaxies],
        too_small=found.too_small,
        left_out=found.left_out,
        image=_shrink(rgb) if image else None,
    )


def _shrink(rgb: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = rgb.shape[:2]
    scale = min(1.0, _IMAGE / max(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    return np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def box_of(galaxy: FieldGalaxy, geometry: Geometry) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what the model is shown of a galaxy, in the field's pixels."""
    half = geometry.field_of_view * galaxy.r90 / 2
    return galaxy.x - half, galaxy.y - half, galaxy.x + half, galaxy.y + half
