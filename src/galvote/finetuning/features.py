"""What a network makes of images, each in several orientations and sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from galvote.errors import CatalogueError, ImageError
from galvote.images import Encoded, PackedStore, View, network_input, try_read, tta_views
from galvote.images.scale import Shown
from galvote.inference.cores import count_cores
from galvote.inference.pipeline import BATCH, in_batches, run_ahead
from galvote.inference.predictor import Predictor
from galvote.inference.settings import OnProgress, Settings
from galvote.io import Source, Sources
from galvote.io.threads import map_in_threads

_ZOOMS = (1.0, 1.08, 0.93)
"""Sizes at which a galaxy is looked at, in turn; the first view is the image as it is predicted."""

_Row = tuple[str, tuple[Float32[np.ndarray, "view feature"], Float32[np.ndarray, " answer"]] | ImageError]


@dataclass(frozen=True, eq=False)
class Looked:
    """What a network makes of some images."""

    ids: tuple[str, ...]  # of the images that can be read
    features: Float32[np.ndarray, "view galaxy feature"]  # that of a prediction first
    fractions: Float32[np.ndarray, "galaxy answer"]  # the network's own, cumulative
    failures: dict[str, ImageError]  # what is wrong with the other images, by id


def spread_views(count: int) -> tuple[View, ...]:
    """Return so many views, 1 or more.

    The first is upright, the others are turned, mirrored and of slightly other sizes.
    """
    return tuple(
        replace(view, zoom=_ZOOMS[place % len(_ZOOMS)]) for place, view in enumerate(tta_views(count))
    )


def look(
    predictor: Predictor,
    sources: Sources,
    views: Sequence[View],
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> Looked:
    """Compute the features of images in some views (`spread_views`), each image read once.

    Settings say how images are shown, as for a prediction.
    """
    geometry, seen = predictor.geometry, predictor.card.network.geometry

    def compute(read: Sequence[tuple[Source, Encoded | ImageError]]) -> list[_Row]:
        shown = list(predictor.preprocessor.show_each(read, settings.scale, settings.field_of_view))
        cutouts = np.zeros((len(read), geometry.pixels, geometry.pixels, 3), np.uint8)
        for cutout, one in zip(cutouts, shown, strict=True):
            if not isinstance(one, ImageError):
                cutout[:] = one.cutout
        outputs = [
            predictor.backend.compute(network_input(cutouts, [view] * len(read), geometry, seen))
            for view in views
        ]
        features = np.stack([found for _, found in outputs])
        return [
            (one.id, made if isinstance(made, ImageError) else (features[:, row], outputs[0][0][row]))
            for row, ((one, _), made) in enumerate(zip(read, shown, strict=True))
        ]

    done, rows = 0, list[_Row]()
    batches = in_batches(sources, BATCH)
    read = lambda one: (one, try_read(one.read))  # noqa: E731
    for batch in run_ahead(batches, read, compute, prefetch=3 * BATCH * count_cores()):
        rows += batch
        done += len(batch)
        if on_progress is not None:
            on_progress(done, len(sources))
    good = {id_: made for id_, made in rows if not isinstance(made, ImageError)}
    if not good:
        raise CatalogueError(f"None of the images can be read, first of them {rows[0][0]}: {rows[0][1]}")
    return Looked(
        ids=tuple(good),
        features=np.stack([features for features, _ in good.values()], axis=1),
        fractions=np.stack([fractions for _, fractions in good.values()]),
        failures={id_: made for id_, made in rows if isinstance(made, ImageError)},
    )


def cut_out(predictor: Predictor, sources: Sources, ids: Sequence[str], settings: Settings) -> PackedStore:
    """Return what the network is shown of the images with these ids, in their order, for training.

    `ImageError` is raised if one of them cannot be read any more.
    """
    row = {id_: place for place, id_ in enumerate(ids)}
    side = predictor.geometry.pixels
    cutouts = np.zeros((len(ids), side, side, 3), np.uint8)

    def show(one: Source) -> tuple[str, Shown | ImageError]:
        return one.id, predictor.preprocessor.show(
            one, try_read(one.read), settings.scale, settings.field_of_view
        )

    for id_, shown in map_in_threads(show, sources.select(row)):
        if isinstance(shown, ImageError):
            raise shown
        cutouts[row[id_]] = shown.cutout
    return PackedStore(tuple(ids), cutouts, predictor.geometry)
