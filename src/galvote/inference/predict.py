"""Predict images of galaxies in one call."""

import os
from collections.abc import Callable

from galvote.inference.listing import Images
from galvote.inference.prediction import Prediction
from galvote.inference.predictor import Predictor
from galvote.inference.settings import Scale


def predict(
    images: Images,
    model: Predictor | str | os.PathLike[str] = "galvote-small",
    *,
    backend: str | None = None,
    tta: int = 1,
    field_of_view: float | None = None,
    level: float | None = None,
    features: bool = False,
    bands: str | None = None,
    stretch: str = "lupton",
    scale: Scale | None = None,
    prefetch: int | None = None,
    report: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Predict the votes of any number of galaxies.

    Parameters
    ----------
    images
        Places of images, or images as arrays, as for `Predictor.predict`. For a catalogue of positions, what
        `galvote.images.look_up.look_up` yields.
    model
        Name of a model, as for `galvote.load`, or one that is loaded.
    backend
        As for `galvote.load`.
    tta, field_of_view, level, features, bands, stretch, scale, prefetch, report, on_progress
        As for `Predictor.predict`.

    Returns
    -------
    Of each image, in order.

    Examples
    --------
    >>> import galvote
    >>> table = galvote.predict("images", model="galvote-base").to_table()  # doctest: +SKIP
    """
    predictor = model if isinstance(model, Predictor) else Predictor.load(model, backend)
    return predictor.predict(
        images,
        tta=tta,
        field_of_view=field_of_view,
        level=level,
        features=features,
        bands=bands,
        stretch=stretch,
        scale=scale,
        prefetch=prefetch,
        report=report,
        on_progress=on_progress,
    )
