"""Prediction as a stream: images are read, brought to the network's input and predicted at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from galvote.errors import ImageError
from galvote.inference.cores import count_cores
from galvote.inference.pipeline import BATCH, in_batches, run_ahead
from galvote.inference.prediction import Prediction
from galvote.inference.preprocessor import Waiting
from galvote.inference.settings import Settings
from galvote.io import Source, Sources

if TYPE_CHECKING:
    from galvote.inference.predictor import Predictor

Key = TypeVar("Key")

_BATCHES_AHEAD = 3
"""For each core: one that the network has, one that is decoded, and one to spare."""


def predict_stream(
    predictor: Predictor,
    listings: Iterable[tuple[Key, Iterable[Source]]],
    settings: Settings,
    *,
    prefetch: int | None = None,
) -> Iterator[tuple[Key, Prediction]]:
    """Yield the prediction of each batch, with the key of its listing; none is of two listings."""
    predictor.check_level(settings.level)
    keys = deque[Key]()

    def batches() -> Iterator[list[Source]]:
        for key, images in listings:
            for batch in in_batches(images, BATCH):
                keys.append(key)
                yield batch

    predicted = run_ahead(
        batches(),
        partial(predictor.preprocessor.read, settings=settings),
        partial(_compute, predictor=predictor, settings=settings),
        prefetch=prefetch or _BATCHES_AHEAD * BATCH * count_cores(),
    )
    # Predictions are kept, so copied here: made in a network's thread, they lie scattered between its
    # large arrays, and the C library could not give the room around them to the next.
    return ((keys.popleft(), Prediction.concat([one])) for one in predicted)


def predict_each(
    predictor: Predictor,
    listings: Iterable[tuple[Key, Sources]],
    settings: Settings,
    *,
    prefetch: int | None = None,
    on_batch: Callable[[Prediction], None] | None = None,
) -> Generator[tuple[Key, Prediction], None, None]:
    """Yield the prediction of one listing after the other, without a pause between them.

    A key tells a listing from the one before it; each has at least one image, and is taken when there is room
    for its images. `on_batch` is called with each batch, before its listing is complete.
    """
    for key, batches in groupby(
        predict_stream(predictor, listings, settings, prefetch=prefetch), key=itemgetter(0)
    ):
        predictions = list[Prediction]()
        for _, batch in batches:
            predictions.append(batch)
            if on_batch is not None:
                on_batch(batch)
        yield key, Prediction.concat(predictions)


def _compute(read: Sequence[Waiting], predictor: Predictor, settings: Settings) -> Prediction:
    # Decoded here, a cutout is still in the core's cache when the network comes to it.
    shown = list(predictor.preprocessor.show_each(read, settings.scale, settings.field_of_view))
    # An image that cannot be read is black to the network. So the others keep their places in the batch,
    # and their rows are the same to the last digit as if it could be read.
    size = predictor.geometry.pixels
    cutouts = np.zeros((len(read), size, size, 3), dtype=np.uint8)
    for cutout, one in zip(cutouts, shown, strict=True):
        if not isinstance(one, ImageError):
            cutout[:] = one.cutout
    predicted = predictor.predict_cutouts(
        cutouts,
        tta=settings.tta,
        level=settings.level,
        features=settings.features,
        ids=[galaxy.id for galaxy, _ in read],
        failures=[one if isinstance(one, ImageError) else None for one in shown],
    )
    return predicted.with_scale(shown, columns=settings.scaled)
