"""From a wide image to its galaxies and their votes, in one call."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from galvote.field.detect import cut_out, find_galaxies
from galvote.field.field import Field
from galvote.images.decode import decode_image
from galvote.inference import Prediction, Predictor
from galvote.inference.listing import Array, as_image
from galvote.inference.predictor import load_predictor
from galvote.inference.settings import Settings
from galvote.io.bands import Bands
from galvote.io.sources import FitsFiles

_BATCH = 256


def find_field(
    image: str | os.PathLike[str] | Array,
    *,
    model: str | os.PathLike[str] | Predictor = "galvote-small",
    backend: str | None = None,
    title: str | None = None,
    min_radius: float = 5.0,
    limit: int | None = None,
    tta: int = 1,
    level: float | None = None,
    bands: Bands | None = None,
    stretch: str = "lupton",
    on_progress: Callable[[int, int], None] | None = None,
) -> Field:
    """Return the galaxies of a wide image, where they are, and the votes that are predicted of each.

    Parameters
    ----------
    image
        A file (JPEG, PNG, WebP, TIFF or FITS), or an RGB array ``(y, x, 3)`` of uint8.
    model
        Name or path of a model, as for `galvote.load`, or a loaded one.
    backend
        What computes, as for `galvote.load`.
    title
        Name of the field; of a file its name, if not given.
    min_radius
        Smallest r90 of a galaxy, in pixels.
    limit
        Take only so many of the brightest galaxies.
    tta
        Orientations to average: 1, 2, 4, 8, 16, …
    level
        Share of the votes that the intervals of a calibrated model are to hold, in (0, 1); 0.9 if not given.
    bands, stretch
        Of a FITS file, as for `galvote.predict`.
    on_progress
        Called with how much is done, and the total: of the parts of the image that are searched, then of the
        galaxies that are predicted.

    Raises
    ------
    GalvoteError
        If photutils or scikit-image is missing.
    ImageError
        If the file cannot be read, or the array is no such image.
    ModelError
        If there is no such model, or a level is asked for and it is not calibrated.
    """
    look = Settings(tta, level=level, bands=bands, stretch=stretch).look
    predictor = load_predictor(model, backend)
    if level is not None:
        predictor.check_level(level)
    if isinstance(image, str | os.PathLike):
        title = Path(image).stem if title is None else title
        pixels = decode_image(FitsFiles((Path(image).read_bytes(),), look))
    else:
        pixels = as_image(np.asarray(image))
    found = find_galaxies(pixels, min_radius=min_radius, limit=limit, on_progress=on_progress)
    galaxies, size = found.galaxies, predictor.geometry.pixels
    predictions = list[Prediction]()
    for start in range(0, max(len(galaxies), 1), _BATCH):
        batch = galaxies[start : start + _BATCH]
        cutouts = np.empty((len(batch), size, size, 3), np.uint8)
        for cutout, galaxy in zip(cutouts, batch, strict=True):
            cutout[:] = cut_out(pixels, galaxy, predictor.geometry)
        ids = [str(galaxy.number) for galaxy in batch]
        predictions.append(predictor.predict_cutouts(cutouts, tta=tta, level=level, ids=ids))
        if on_progress is not None and batch:
            on_progress(start + len(batch), len(galaxies))
    return Field(
        title=title or "",
        image=pixels,
        galaxies=galaxies,
        too_small=found.too_small,
        left_out=found.left_out,
        prediction=Prediction.concat(predictions),
    )
