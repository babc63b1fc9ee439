"""What may be given to a model: places of images, or images as arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from galvote.errors import ImageError
from galvote.io import Source, Sources, list_sources
from galvote.io.bands import Look
from galvote.io.readers.files import show

Place = str | Path
Places = Sources | Place | Sequence[Place]
Images = (
    Sources | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Sequence[np.ndarray] | np.ndarray
)


def list_images(images: Images, look: Look | None = None) -> Sequence[Source] | Sources:
    """List images without reading them.

    Parameters
    ----------
    images
        As for `galvote.Predictor.predict`.
    look
        How the planes of FITS files are shown.

    Returns
    -------
    What has an id and can be read; the id of an array is its position.

    Raises
    ------
    CatalogueError
        If a place does not exist or holds no images.
    ImageError
        If a single array is neither an image nor several.
    """
    if isinstance(images, str | os.PathLike):
        images = [images]
    elif isinstance(images, np.ndarray):
        images = _one_or_several(images)
    if not isinstance(images, Sources):
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        if len(arrays) == len(images):
            return [Source(str(n), "", partial(_as_image, array)) for n, array in enumerate(arrays)]
        images = list_sources([Path(str(place)) for place in images])
    return show(images, look or Look())


def _one_or_several(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (3, 4):
        raise ImageError(
            "unsupported",
            f"An array must be an image (y, x, 3) or several (galaxy, y, x, 3), not {array.shape}; make a "
            "grey image's channels equal: np.stack([grey] * 3, axis=2).",
        )
    return array[None] if array.ndim == 3 else array


def _as_image(array: np.ndarray) -> UInt8[np.ndarray, "y x 3"]:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ImageError(
            "unsupported", f"An array must be (y, x, 3) of uint8, not {array.shape} of {array.dtype}."
        )
    return array
