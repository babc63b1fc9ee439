"""What may be given to a model: places of images, images as arrays, or a catalogue of positions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from galvote.errors import CatalogueError, GalvoteError, ImageError
from galvote.inference.settings import Settings
from galvote.io import Source, Sources, list_sources
from galvote.io.bands import Look
from galvote.io.positions import Positions, read_positions
from galvote.io.readers.files import show
from galvote.io.sources import FitsFiles

if TYPE_CHECKING:
    from galvote.images.services import CutoutService

Place = str | Path
Places = Sources | Place | Sequence[Place]


@runtime_checkable
class Array(Protocol):
    """What becomes an array, as a tensor does."""

    def __array__(self) -> np.ndarray:
        """Return it as one."""


Picture = Place | os.PathLike[str] | bytes | bytearray | Array | Image.Image
Images = Sources | Picture | Sequence[Picture]


class Listed(NamedTuple):
    """Galaxies to predict: their images, what is asked, and their positions if they are looked up there."""

    images: Sequence[Source] | Sources
    settings: Settings
    positions: Positions | None = None

    @property
    def sources(self) -> Sources:
        """The images, which are in files; `CatalogueError` if they are in memory."""
        if isinstance(self.images, Sources):
            return self.images
        raise CatalogueError("Give paths of images; those in memory are for galvote.predict.")


@contextmanager
def list_galaxies(
    images: Images | None,
    settings: Settings,
    *,
    catalogue: Place | None = None,
    field: Place | Sequence[Place] | None = None,
    survey: str | CutoutService | None = None,
    size_column: str | None = None,
    arcsec: float | None = None,
    id_column: str | None = None,
    dataset: str | None = None,
    recursive: bool = False,
    needs_images: bool = False,
    engine: object = None,
    report: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Listed]:
    """Yield galaxies whose images are given, or looked up by position; none is read before it is predicted.

    Arguments are those of `galvote.predict`. With `needs_images`, more is asked that is for images alone; an
    `engine` has other processes read them. `CatalogueError` if what is given does not fit together.
    """
    by_position = any(given is not None for given in (catalogue, field, survey, size_column, arcsec))
    if by_position and images is not None:
        raise CatalogueError(
            "Name either images or a --catalogue of positions, with its --field or --survey, --size-column "
            "and --arcsec (in Python, catalogue= and so on); run it twice for both."
        )
    report = report or (lambda sentence: None)
    if not by_position:
        if images is None:
            raise CatalogueError(
                "Nothing to predict: name images, or a --catalogue of positions with --field or --survey (in "
                "Python, catalogue= with field= or survey=)."
            )
        found = list_images(images, settings.look, id_column=id_column, dataset=dataset, recursive=recursive)
        if isinstance(found, Sources) and not isinstance(images, Sources):
            report(f"{found.describe()}.")
        yield Listed(found, settings)
        return
    if catalogue is None:
        raise CatalogueError("Say which galaxies: --catalogue (catalogue=) is a table of their positions.")
    if needs_images or settings.field_of_view or settings.scale or dataset or recursive:
        raise CatalogueError(
            "--ids, --join, --field-of-view, --scale, --pixel-scale, --dataset, --recursive and --format "
            "challenge (in Python, ids= and so on) are for images; leave them out where galaxies are looked "
            "up by position."
        )
    if engine is not None and survey is not None:
        raise GalvoteError(
            "Ray's workers would all ask the survey at once: fetch the images with `galvote cutouts "
            "--survey …`, then predict the catalogue.csv that it writes."
        )
    from galvote.images.look_up import look_up

    positions = read_positions(catalogue, size_column=size_column, id_column=id_column, report=report)
    looked_up = look_up(
        positions,
        field=field,
        survey=survey,
        arcsec=arcsec,
        look=settings.look,
        report=report,
        on_progress=on_progress,
    )
    with looked_up as (positions, sources):
        yield Listed(sources, replace(settings, scale="gz2"), positions)


def list_images(images: Images, look: Look | None = None, **how: Any) -> Sequence[Source] | Sources:
    """List what `galvote.Predictor.predict` takes without reading it; the id of an array is its position.

    Of places, `how` they are listed, as for `galvote.io.list_sources`. `CatalogueError` if a place does not
    exist or holds no images, or something is no image; `ImageError` if a single array is neither an image nor
    several.
    """
    look = look or Look()
    if isinstance(images, Sources):
        return show(images, look)
    if isinstance(images, str | os.PathLike | bytes | bytearray | Image.Image):
        images = [images]
    elif hasattr(images, "read"):  # it would be taken line by line
        raise CatalogueError(f"A {type(images).__name__} is an open file; give its path, or file.read().")
    elif isinstance(images, Array):
        images = _one_or_several(np.asarray(images))
    given = list(images)
    paths = [os.fspath(one) for one in given if isinstance(one, str | os.PathLike)]
    if paths and len(paths) == len(given):
        return list_sources(paths, look=look, **how)
    sources = list[Source]()
    for number, one in enumerate(given):
        if isinstance(one, str | os.PathLike):
            sources += list_sources([os.fspath(one)], look=look, **how)
        elif isinstance(one, bytes | bytearray):
            sources.append(Source(str(number), "", partial(FitsFiles, [bytes(one)], look)))
        elif isinstance(one, Image.Image | Array):
            array = np.asarray(one.convert("RGB") if isinstance(one, Image.Image) else one)
            sources.append(Source(str(number), "", partial(as_image, array)))
        else:
            raise CatalogueError(
                f"Image {number} is a {type(one).__name__}; give paths, bytes of files, or arrays."
            )
    return sources


def _one_or_several(array: np.ndarray) -> np.ndarray | list[Any]:
    if array.ndim == 1 and array.dtype.kind in "OSTU":  # a column, as of paths
        found: list[Any] = (array.astype(str) if array.dtype.kind == "S" else array).tolist()
        return found
    if array.ndim not in (3, 4):
        raise ImageError(
            "unsupported",
            f"An array must be an image (y, x, 3) or several (galaxy, y, x, 3), not {array.shape}; make a "
            "grey image's channels equal: np.stack([grey] * 3, axis=2).",
        )
    return array[None] if array.ndim == 3 else array


def as_image(array: np.ndarray) -> UInt8[np.ndarray, "y x 3"]:
    """Return an array if it is an RGB image of uint8, or raise `ImageError`."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ImageError(
            "unsupported",
            f"An array must be (y, x, 3) of uint8, not {array.shape} of {array.dtype}; np.moveaxis "
            "changes the order of axes, and np.uint8(255 * array) makes uint8 of 0 to 1.",
        )
    return array
