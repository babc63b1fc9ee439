"""From pictures to rows of vote fractions."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, UInt8

from galvote.calibration import Calibration, check_level
from galvote.errors import ImageError, ModelError
from galvote.images import Encoded, Geometry, try_cutout, try_read
from galvote.inference.backends import (
    Backend,
    Features,
    Fractions,
    OnnxBackend,
    OpenVinoBackend,
    Outputs,
    TorchBackend,
    choose_backend,
)
from galvote.inference.columns import describe_predictions
from galvote.inference.export import export_network, read_exported
from galvote.inference.pipeline import in_batches, run_ahead
from galvote.io import Source, Sources, list_sources
from galvote.models import Card, GalaxyNetwork, load_calibration, load_model, predict_tta
from galvote.trees import DecisionTree

Images = (
    Sources | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Sequence[np.ndarray] | np.ndarray
)
Image = UInt8[np.ndarray, "y x 3"]
Cutout = UInt8[np.ndarray, "p p 3"]
Ood = Bool[np.ndarray, " galaxy"] | None
"""Which are unlike the training galaxies; None if the model is not calibrated."""
Waiting = Encoded | ImageError
"""A picture on its way from disk to network: its files, its cutout, or what is wrong with it."""

LEVEL = 0.9
"""Share of the votes that the intervals of a calibrated model hold unless another is asked for."""

BATCH = 64
"""Galaxies that are read, predicted and made rows of together; a backend may compute fewer at once."""

_BATCHES_AHEAD = 3
"""For each core: one that the network has, one that is decoded, and one to spare."""


@dataclass(frozen=True)
class Settings:
    """What is asked of a prediction; see `Predictor.predict`."""

    tta: int = 1
    field_of_view: float | None = None
    level: float | None = None
    features: bool = False


class Predictor:
    """A trained model, ready to predict.

    Parameters
    ----------
    backend
        What computes the network.
    card
        What the network is and what it was trained on.
    calibration
        For intervals and the flag of pictures unlike the training galaxies; `galvote calibrate` makes one.

    Examples
    --------
    >>> import galvote
    >>> from galvote.simulate import simulate_galaxies
    >>> pictures = [galaxy.picture for galaxy in simulate_galaxies(2, seed=1)]
    >>> table = galvote.load("galvote-small").predict(pictures)
    >>> table.column_names[:3]
    ['id', 'status', 'reason']
    """

    def __init__(self, backend: Backend, card: Card, calibration: Calibration | None = None) -> None:
        self.backend = backend
        self.card = card
        self.calibration = calibration
        self.tree = DecisionTree.from_dict(card.tree)

    @classmethod
    def load(cls, name: str | os.PathLike[str], backend: str | None = None) -> Predictor:
        """Load a model; see `galvote.load`."""
        path = Path(name)
        if path.suffix.lower() == ".onnx":
            return cls(*_open_exported(path, backend or "auto"))
        network, card = load_model(path)
        return cls(_open_network(network, backend or "torch"), card, load_calibration(path))

    @property
    def geometry(self) -> Geometry:
        """The cutouts that this model takes."""
        return self.card.cutout

    @property
    def network(self) -> GalaxyNetwork:
        """The network, in evaluation mode, for what torch alone can do: gradients.

        Raises
        ------
        ModelError
            If the backend is not torch.
        """
        if not isinstance(self.backend, TorchBackend):
            raise ModelError(
                f"Only torch can look into a network, and this one is computed by {self.backend.name}; load "
                'the model, not an exported file, with backend="torch".'
            )
        return self.backend.network

    def predict(
        self,
        images: Images,
        *,
        tta: int = 1,
        field_of_view: float | None = None,
        level: float | None = None,
        features: bool = False,
        prefetch: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> pa.Table:
        """Predict the votes of any number of galaxies.

        Parameters
        ----------
        images
            Paths (files, folders, Parquet, catalogues: see `galvote.io.list_sources`), or RGB arrays
            ``(y, x, 3)`` of uint8, one galaxy in the centre of each; a single array is one picture, or
            several, ``(galaxy, y, x, 3)``.
        tta
            Orientations to average: 1, 2, 4, 8, 16, …
        field_of_view
            Width of each image, in r90 (a GZ2 frame is 8.48 r90 wide); see `galvote.images.to_cutout`.
        level
            Share of the volunteers' votes that the intervals are to hold, in (0, 1); 0.9 if not given.
        features
            Add the encoder's features, for search and clustering.
        prefetch
            Most pictures in memory at once; 192 for each core if not given, and never fewer than 64.
        on_progress
            Called with how many pictures are done and how many of them could not be read.

        Returns
        -------
        One row for each picture, in order: ``id``, ``status`` (``ok``, or what was wrong), ``reason``, and
        the tree's columns of cumulative vote fractions in [0, 1], null where there is no prediction. The id
        of an array is its position.

        A calibrated model adds, before the fractions, ``ood``: whether the picture is unlike the training
        galaxies; and after them ``<column>_low`` and ``<column>_high``, the ends of each one's interval.

        ``features``, if asked for, is the last column: lists of one length, float16, of the cutout as it is,
        whatever the views.

        Raises
        ------
        ModelError
            If a level is asked for and the model is not calibrated.
        FractionError
            If the level is not in (0, 1).
        CatalogueError
            If a place does not exist or holds no pictures.
        ImageError
            If a single array is neither a picture nor several. One of a list of arrays gets a row.

        Notes
        -----
        A picture's row may depend, in the last digits, on its place: batches begin at every 64th picture. It
        depends neither on the other pictures nor on the number of cores.
        """
        settings = Settings(tta, field_of_view, level, features)
        done = failed = 0
        tables = list[pa.Table]()
        for rows in self._predict([_galaxies(images)], settings, prefetch):
            tables.append(rows)
            done += len(rows)
            failed += sum(status != "ok" for status in rows["status"].to_pylist())
            if on_progress is not None:
                on_progress(done, failed)
        # Never an empty chunk: Arrow's CSV writer writes stale memory in its place.
        return pa.concat_tables(tables or [self.schema(settings).empty_table()])

    def predict_batches(
        self, images: Images, settings: Settings = Settings(), *, prefetch: int | None = None
    ) -> Iterator[pa.Table]:
        """Predict in batches, as `predict` does, in bounded memory."""
        return self._predict([_galaxies(images)], settings, prefetch)

    def predict_parts(
        self,
        parts: Iterable[Sources],
        settings: Settings = Settings(),
        *,
        prefetch: int | None = None,
        on_batch: Callable[[pa.Table], None] | None = None,
    ) -> Iterator[pa.Table]:
        """Predict one listing after the other without a pause between them.

        Parameters
        ----------
        parts
            None of them empty. Each is taken when there is room for its pictures.
        on_batch
            Called with the rows of each batch, long before the table of its part is complete.

        Yields
        ------
        The table of each part, equal to what `predict` makes of it.
        """
        lengths = deque[int]()

        def listings() -> Iterator[Iterator[Source]]:
            for part in parts:
                lengths.append(len(part))
                yield _galaxies(part)

        made = list[pa.Table]()
        for rows in self._predict(listings(), settings, prefetch):
            made.append(rows)
            if on_batch is not None:
                on_batch(rows)
            if sum(map(len, made)) == lengths[0]:
                lengths.popleft()
                yield pa.concat_tables(made)
                made.clear()

    def schema(self, settings: Settings = Settings()) -> pa.Schema:
        """Return the columns of a prediction; the fields' metadata say what they mean."""
        columns = [(name, pa.string()) for name in ("id", "status", "reason")]
        columns += [("ood", pa.bool_())] if self.calibration else []
        columns += [(column, pa.float32()) for column in self.tree.columns]
        if self.calibration:
            ends = (f"{column}_{end}" for column in self.tree.columns for end in ("low", "high"))
            columns += [(end, pa.float32()) for end in ends]
        if settings.features:
            columns.append(("features", pa.list_(pa.float16(), self.backend.width)))
        return describe_predictions(pa.schema(columns), self.tree, settings.level or LEVEL)

    def check_level(self, level: float) -> None:
        """Raise `ModelError` or `FractionError` unless this model can give intervals of this level."""
        if self.calibration is None:
            raise ModelError(
                f"The model {self.card.name} is not calibrated, so it gives no intervals. Run `galvote "
                "calibrate` with galaxies that it was not trained on, or leave the level out."
            )
        check_level(level)

    def predict_cutouts(self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], tta: int = 1) -> Fractions:
        """Predict cutouts that have this model's `geometry` already.

        Returns
        -------
        Cumulative vote fractions in [0, 1], in ``tree.columns`` order.
        """
        return self.predict_features(cutouts, tta)[0]

    def predict_features(self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], tta: int = 1) -> Outputs:
        """Predict cutouts as `predict_cutouts` does, and return the encoder's features of them, too."""
        size = self.geometry.pixels
        if cutouts.shape[1:] != (size, size, 3):
            raise ModelError(
                f"This model takes cutouts of {size} × {size} pixels, not {cutouts.shape[1:]}; bring "
                "pictures to its geometry with galvote.images.to_cutout."
            )
        fractions = np.zeros((len(cutouts), len(self.tree)), dtype=np.float32)
        features = np.zeros((len(cutouts), self.backend.width), dtype=np.float32)
        for start in range(0, len(cutouts), BATCH):
            part = slice(start, start + BATCH)
            fractions[part], features[part] = predict_tta(
                self.backend.compute, self.card.network, cutouts[part], self.geometry, tta
            )
        return fractions, features

    def _predict(
        self, listings: Iterable[Iterator[Source]], settings: Settings, prefetch: int | None
    ) -> Iterator[pa.Table]:
        """Yield the rows of each batch; none holds galaxies of two listings."""
        if settings.level is not None:
            self.check_level(settings.level)
        batches = (batch for listing in listings for batch in in_batches(listing, BATCH))
        predicted = run_ahead(
            batches,
            partial(self._read, field_of_view=settings.field_of_view),
            partial(self._compute, tta=settings.tta, field_of_view=settings.field_of_view),
            prefetch=prefetch or _BATCHES_AHEAD * BATCH * torch.get_num_threads(),
        )
        # Rows are kept, and made here: made in a network's thread, they would lie scattered between its large
        # arrays, and the C library could not give the room around them to the next.
        schema = self.schema(settings)
        return (self._rows(*each, settings, schema) for each in predicted)

    def _read(self, galaxy: Source, field_of_view: float | None) -> tuple[str, Waiting]:
        """Read a picture; it waits for its network as its file or as its cutout, whichever is smaller."""
        data = try_read(galaxy.read)
        small = isinstance(data, tuple) and sum(map(len, data)) <= 3 * self.geometry.pixels**2
        if not isinstance(data, ImageError) and not small:
            data = self._cut(data, galaxy.field_of_view or field_of_view)
        return galaxy.id, data

    def _cut(self, data: Encoded, field_of_view: float | None) -> Cutout | ImageError:
        return try_cutout(lambda: data, self.geometry, field_of_view)

    def _compute(
        self, read: Sequence[tuple[str, Waiting]], tta: int, field_of_view: float | None
    ) -> tuple[list[str], list[ImageError | None], Fractions, Features, Ood]:
        # Decoded here, a cutout is still in the core's cache when the network comes to it.
        results = [self._cut(data, field_of_view) if isinstance(data, tuple) else data for _, data in read]
        failures = [result if isinstance(result, ImageError) else None for result in results]
        # A picture that cannot be read is black to the network. So the others keep their places in the batch,
        # and their rows are the same to the last digit as if it could be read.
        cutouts = np.zeros((len(read), self.geometry.pixels, self.geometry.pixels, 3), dtype=np.uint8)
        for cutout, result in zip(cutouts, results, strict=True):
            if not isinstance(result, ImageError):
                cutout[:] = result
        fractions, features = self.predict_features(cutouts, tta)
        ood = self.calibration.ood.flag(features, cutouts) if self.calibration else None
        return [id_ for id_, _ in read], failures, fractions, features, ood

    def _rows(
        self,
        ids: Sequence[str],
        failures: Sequence[ImageError | None],
        fractions: Fractions,
        features: Features,
        ood: Ood,
        settings: Settings,
        schema: pa.Schema,
    ) -> pa.Table:
        unreadable = np.array([failure is not None for failure in failures])
        values = [*fractions.T]
        if self.calibration:
            low, high = self.calibration.intervals.ends(fractions, settings.level or LEVEL)
            values = [ood, *values]
            values += [end for both in zip(low.T, high.T, strict=True) for end in both]
        columns = [pa.array(column, mask=unreadable) for column in values]
        if settings.features:
            numbers = pa.array(features.astype(np.float16).ravel())
            columns.append(
                pa.FixedSizeListArray.from_arrays(numbers, features.shape[1], mask=pa.array(unreadable))
            )
        return pa.Table.from_arrays(
            [
                pa.array(ids, pa.string()),
                pa.array([failure.status if failure else "ok" for failure in failures]),
                pa.array([failure.reason if failure else "" for failure in failures]),
                *columns,
            ],
            schema=schema,
        )


def _open_network(network: GalaxyNetwork, name: str) -> Backend:
    match choose_backend(name):
        case "torch":
            return TorchBackend(network)
        case "torch-float32":
            return TorchBackend(network, torch.float32)
        case chosen:
            return _open_onnx(export_network(network).SerializeToString(), chosen)


def _open_exported(path: Path, name: str) -> tuple[Backend, Card, Calibration | None]:
    if (chosen := choose_backend(name, exported=True)).startswith("torch"):
        raise ModelError(
            f"{path} is an exported model, which torch cannot compute; install what can with: "
            "pip install 'galvote[onnx]' and leave the backend out."
        )
    network, card, calibration = read_exported(path)
    return _open_onnx(network, chosen), card, calibration


def _open_onnx(network: bytes, name: str) -> Backend:
    return OpenVinoBackend(network) if name == "openvino" else OnnxBackend(network)


def _galaxies(images: Images) -> Iterator[Source]:
    if isinstance(images, str | os.PathLike):
        images = [images]
    elif isinstance(images, np.ndarray):
        images = _one_or_several(images)
    if not isinstance(images, Sources):
        arrays = [image for image in images if isinstance(image, np.ndarray)]
        if len(arrays) == len(images):
            yield from (Source(str(n), "", partial(_as_image, array)) for n, array in enumerate(arrays))
            return
        images = list_sources([Path(str(place)) for place in images])
    yield from images


def _one_or_several(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (3, 4):
        raise ImageError(
            "unsupported",
            f"An array must be a picture (y, x, 3) or several (galaxy, y, x, 3), not {array.shape}; make a "
            "grey picture's channels equal: np.stack([grey] * 3, axis=2).",
        )
    return array[None] if array.ndim == 3 else array


def _as_image(array: np.ndarray) -> Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ImageError(
            "unsupported", f"An array must be (y, x, 3) of uint8, not {array.shape} of {array.dtype}."
        )
    return array
