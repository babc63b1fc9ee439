"""Predict galaxies in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from galvote.inference.listing import Images, Place, list_galaxies
from galvote.inference.prediction import Prediction
from galvote.inference.predictor import Predictor, load_predictor
from galvote.inference.settings import Scale, Settings
from galvote.io.bands import Bands

if TYPE_CHECKING:
    from galvote.images.services import CutoutService


def predict(
    images: Images | None = None,
    model: Predictor | str | os.PathLike[str] = "galvote-small",
    *,
    backend: str | None = None,
    tta: int = 1,
    field_of_view: float | None = None,
    level: float | None = None,
    features: bool = False,
    conditional: bool = False,
    bands: Bands | None = None,
    stretch: str = "lupton",
    scale: Scale | None = None,
    id_column: str | None = None,
    dataset: str | None = None,
    recursive: bool = False,
    catalogue: Place | None = None,
    field: Place | Sequence[Place] | None = None,
    survey: str | CutoutService | None = None,
    size_column: str | None = None,
    arcsec: float | None = None,
    prefetch: int | None = None,
    report: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Predict the votes of any number of galaxies: of images, or of a catalogue of positions.

    Parameters
    ----------
    images
        Places of images, or images as arrays, as for `Predictor.predict`; none with a catalogue.
    model
        Name of a model, as for `galvote.load`, or one that is loaded.
    backend
        As for `galvote.load`.
    tta, field_of_view, level, features
        As for `Predictor.predict`.
    conditional
        Add the fractions of those who were asked to the prediction's tables.
    bands, stretch, scale
        As for `Predictor.predict`.
    id_column
        Column of ids in tables; by default one of the usual names.
    dataset, recursive
        Of images, as for `galvote.io.list_sources`.
    catalogue
        Instead of images: a table of the galaxies' positions; see `galvote.io.positions.read_positions`. They
        are looked up at GZ2's scale, so no `field_of_view` and no `scale` is said.
    field
        FITS image with a WCS that shows them, or three of one band each: g, r, i.
    survey
        Instead: one of `galvote.images.services.SURVEYS`, or a service with settings of its own.
    size_column
        Column of the catalogue with r90; ``petroR90_r`` or ``r90`` by default.
    arcsec
        Width of the images of galaxies whose r90 is unknown. Without it, r90 is measured in the field, while
        a survey's galaxies without one have no image.
    prefetch
        As for `Predictor.predict`.
    report
        Is told, in sentences, what was found, and if the images' scale seems to be another; the latter is a
        `ScaleWarning` if not given.
    on_progress
        Called with how many galaxies are done, and how many there are: of those that are measured in a field,
        then of all.

    Returns
    -------
    Of each image, or row of the catalogue, in order.

    Raises
    ------
    CatalogueError
        If there are neither images nor positions, or both, or a field or survey is missing, or a place or
        table cannot be used.
    ModelError
        If there is no such model, or a level is asked for and it is not calibrated.
    ImageError
        If the field cannot be opened, or a single array is neither an image nor several.

    Examples
    --------
    >>> import galvote
    >>> table = galvote.predict("images", model="galvote-base").to_table()  # doctest: +SKIP
    >>> table = galvote.predict(catalogue="sky.fits", field="field.fits").to_table()  # doctest: +SKIP
    """
    settings = Settings(tta, field_of_view, level, features, conditional, bands, stretch, scale)
    predictor = load_predictor(model, backend)
    with list_galaxies(
        images,
        settings,
        catalogue=catalogue,
        field=field,
        survey=survey,
        size_column=size_column,
        arcsec=arcsec,
        id_column=id_column,
        dataset=dataset,
        recursive=recursive,
        report=report,
        on_progress=on_progress,
    ) as listed:
        return predictor.predict_listed(
            listed.images, listed.settings, prefetch=prefetch, report=report, on_progress=on_progress
        )
