"""What may be given to a model: places of images, or images as arrays."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from galvote.errors import CatalogueError, ImageError
from galvote.io import Source, Sources, list_sources
from galvote.io.bands import Look
from galvote.io.readers.files import show
from galvote.io.sources import FitsFiles

Place = str | Path
Places = Sources | Place | Sequence[Place]


@runtime_checkable
class Array(Protocol):
    """What becomes an array, as a tensor does."""

    def __array__(self) -> np.ndarray:
        """Return it as one."""


Picture = Place | os.PathLike[str] | bytes | Array | Image.Image
Images = Sources | Picture | Sequence[Picture]


def list_images(images: Images, look: Look | None = None) -> Sequence[Source] | Sources:
    """List what `galvote.Predictor.predict` takes without reading it; the id of an array is its position.

    `CatalogueError` if a place does not exist or holds no images, or something is no image; `ImageError` if a
    single array is neither an image nor several.
    """
    look = look or Look()
    if isinstance(images, Sources):
        return show(images, look)
    if isinstance(images, str | os.PathLike | bytes | Image.Image):
        images = [images]
    elif isinstance(images, Array):
        images = _one_or_several(np.asarray(images))
    given = list(images)
    paths = [os.fspath(one) for one in given if isinstance(one, str | os.PathLike)]
    if paths and len(paths) == len(given):
        return show(list_sources(paths), look)
    sources = list[Source]()
    for number, one in enumerate(given):
        if isinstance(one, str | os.PathLike):
            sources += show(list_sources([os.fspath(one)]), look)
        elif isinstance(one, bytes):
            sources.append(Source(str(number), "", partial(FitsFiles, [one], look)))
        elif isinstance(one, Image.Image | Array):
            array = np.asarray(one.convert("RGB") if isinstance(one, Image.Image) else one)
            sources.append(Source(str(number), "", partial(_as_image, array)))
        else:
            raise CatalogueError(
                f"Image {number} is a {type(one).__name__}; give paths, bytes of files, or arrays."
            )
    return sources


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
            "unsupported",
            f"An array must be (y, x, 3) of uint8, not {array.shape} of {array.dtype}; np.moveaxis "
            "changes the order of axes, and np.uint8(255 * array) makes uint8 of 0 to 1.",
        )
    return array
