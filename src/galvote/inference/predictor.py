"""From pictures to rows of vote fractions."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32, UInt8

from galvote.catalogue import Source, Sources, list_sources
from galvote.errors import ImageError, ModelError
from galvote.evaluation import Calibration, check_level
from galvote.images import Geometry, decode_image, try_cutout
from galvote.model import Card, GalaxyNetwork, load_calibration, load_model, predict_views
from galvote.tree import DecisionTree

Pictures = (
    Sources | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Sequence[np.ndarray] | np.ndarray
)
Picture = UInt8[np.ndarray, "y x 3"]
Cutout = UInt8[np.ndarray, "p p 3"]

LEVEL = 0.9
"""Share of the votes that the intervals of a calibrated model hold unless another is asked for."""

_BATCH = 256


class Predictor:
    """A trained model, ready to predict.

    Parameters
    ----------
    network
        In evaluation mode.
    card
        What the network is and what it was trained on.
    calibration
        For intervals and the flag of pictures unlike the training galaxies; `galvote calibrate` makes one.

    Examples
    --------
    >>> import galvote
    >>> from galvote.images.simulate import simulate_galaxies
    >>> pictures = [galaxy.picture for galaxy in simulate_galaxies(2, seed=1)]
    >>> table = galvote.load("galvote-small").predict(pictures)
    >>> table.column_names[:3]
    ['id', 'status', 'reason']
    """

    def __init__(self, network: GalaxyNetwork, card: Card, calibration: Calibration | None = None) -> None:
        self.card = card
        self.calibration = calibration
        self.tree = DecisionTree.from_dict(card.tree)
        self._network = network.to("cuda" if torch.cuda.is_available() else "cpu")

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> Predictor:
        """Load a shipped model by its name, or a saved one (or a finished run) by its folder."""
        return cls(*load_model(Path(name)), load_calibration(Path(name)))

    @property
    def geometry(self) -> Geometry:
        """The cutouts that this model takes."""
        return self.card.cutout

    def predict(
        self,
        pictures: Pictures,
        *,
        views: int = 1,
        shown: float | None = None,
        level: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> pa.Table:
        """Predict the votes of any number of galaxies.

        Parameters
        ----------
        pictures
            Paths (files, folders, Parquet, catalogues: see `galvote.catalogue.list_sources`), or RGB arrays
            ``(y, x, 3)`` of uint8, one galaxy in the centre of each; a single array is one picture.
        views
            Orientations to average: 1, 2, 4, 8, 16, …
        shown
            Width of sky that each picture shows, in GZ2 pixels; see `galvote.images.to_cutout`.
        level
            Share of the volunteers' votes that the intervals are to hold, in (0, 1); 0.9 if not given.
        on_progress
            Called with how many pictures are done and how many of them could not be read.

        Returns
        -------
        One row for each picture, in order: ``id``, ``status`` (``ok``, or what was wrong), ``reason``, and
        the tree's columns of cumulative vote fractions in [0, 1], null where there is no prediction. The id
        of an array is its position.

        A calibrated model adds, before the fractions, ``unlike``: whether the picture is unlike the training
        galaxies; and after them ``<column>_low`` and ``<column>_high``, the ends of each one's interval.

        Raises
        ------
        ModelError
            If a level is asked for and the model is not calibrated.
        FractionError
            If the level is not in (0, 1).
        """
        done = failed = 0
        tables = list[pa.Table]()
        for batch in self.predict_batches(pictures, views=views, shown=shown, level=level):
            tables.append(batch)
            done += len(batch)
            failed += sum(status != "ok" for status in batch["status"].to_pylist())
            if on_progress is not None:
                on_progress(done, failed)
        # Never an empty chunk: Arrow's CSV writer writes stale memory in its place.
        return pa.concat_tables(tables or [self._schema.empty_table()])

    def predict_batches(
        self,
        pictures: Pictures,
        *,
        views: int = 1,
        shown: float | None = None,
        level: float | None = None,
    ) -> Iterator[pa.Table]:
        """Predict in batches, as `predict` does, in bounded memory."""
        if level is not None:
            self.check_level(level)
        # Cutouts are made ahead in threads (the decoders release the interpreter lock), few at a time.
        waiting = deque[tuple[str, Future[Cutout | ImageError]]]()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for galaxy, read in _readers(pictures):
                waiting.append((galaxy, pool.submit(try_cutout, read, self.geometry, shown)))
                if len(waiting) == 2 * _BATCH:
                    yield self._rows([waiting.popleft() for _ in range(_BATCH)], views, level or LEVEL)
            while waiting:
                batch = [waiting.popleft() for _ in range(min(_BATCH, len(waiting)))]
                yield self._rows(batch, views, level or LEVEL)

    def check_level(self, level: float) -> None:
        """Raise `ModelError` or `FractionError` unless this model can give intervals of this level."""
        if self.calibration is None:
            raise ModelError(
                f"The model {self.card.name} is not calibrated, so it gives no intervals. Run `galvote "
                "calibrate` with galaxies that it was not trained on, or leave the level out."
            )
        check_level(level)

    def predict_cutouts(
        self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], views: int = 1
    ) -> Float32[np.ndarray, "galaxy answer"]:
        """Predict cutouts that have this model's `geometry` already.

        Returns
        -------
        Cumulative vote fractions in [0, 1], in ``tree.columns`` order.
        """
        return self.predict_features(cutouts, views)[0]

    def predict_features(
        self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], views: int = 1
    ) -> tuple[Float32[np.ndarray, "galaxy answer"], Float32[np.ndarray, "galaxy feature"]]:
        """Predict cutouts as `predict_cutouts` does, and return the encoder's features of them, too."""
        size = self.geometry.pixels
        if cutouts.shape[1:] != (size, size, 3):
            raise ModelError(
                f"This model takes cutouts of {size} × {size} pixels, not {cutouts.shape[1:]}; bring "
                "pictures to its geometry with galvote.images.to_cutout."
            )
        fractions = np.zeros((len(cutouts), len(self.tree)), dtype=np.float32)
        features = np.zeros((len(cutouts), self._network.head.linear.in_features), dtype=np.float32)
        for start in range(0, len(cutouts), _BATCH):
            part = slice(start, start + _BATCH)
            fractions[part], features[part] = predict_views(
                self._network, cutouts[part], self.geometry, views
            )
        return fractions, features

    @property
    def _schema(self) -> pa.Schema:
        columns = [(name, pa.string()) for name in ("id", "status", "reason")]
        columns += [("unlike", pa.bool_())] if self.calibration else []
        columns += [(column, pa.float32()) for column in self.tree.columns]
        if self.calibration:
            ends = (f"{column}_{end}" for column in self.tree.columns for end in ("low", "high"))
            columns += [(end, pa.float32()) for end in ends]
        return pa.schema(columns)

    def _rows(
        self, made: Sequence[tuple[str, Future[Cutout | ImageError]]], views: int, level: float
    ) -> pa.Table:
        results = [future.result() for _, future in made]
        cutouts = [result for result in results if not isinstance(result, ImageError)]
        failures = [result if isinstance(result, ImageError) else None for result in results]
        readable = np.array([failure is None for failure in failures])
        size = self.geometry.pixels
        fractions, features = self.predict_features(
            np.stack(cutouts) if cutouts else np.empty((0, size, size, 3), dtype=np.uint8), views
        )
        values = [*fractions.T]
        if self.calibration:
            low, high = self.calibration.intervals.ends(fractions, level)
            values = [self.calibration.unlikeness.flag(features), *values]
            values += [end for both in zip(low.T, high.T, strict=True) for end in both]
        place = np.where(readable, np.cumsum(readable) - 1, -1)  # of each picture among the predictions
        rows = pa.array(place, mask=~readable)
        return pa.Table.from_arrays(
            [
                pa.array([galaxy for galaxy, _ in made], pa.string()),
                pa.array([failure.status if failure else "ok" for failure in failures]),
                pa.array([failure.reason if failure else "" for failure in failures]),
                *(pa.array(column).take(rows) for column in values),
            ],
            schema=self._schema,
        )


def _readers(pictures: Pictures) -> Iterator[tuple[str, Callable[[], Picture]]]:
    """Yield each galaxy's id and how to get its picture."""
    if isinstance(pictures, str | os.PathLike):
        pictures = [pictures]
    elif isinstance(pictures, np.ndarray) and pictures.ndim == 3:
        pictures = pictures[None]
    if not isinstance(pictures, Sources):
        arrays = [picture for picture in pictures if isinstance(picture, np.ndarray)]
        if len(arrays) == len(pictures):
            yield from ((str(number), partial(_as_picture, array)) for number, array in enumerate(arrays))
            return
        pictures = list_sources([Path(str(place)) for place in pictures])
    for source in pictures:
        yield source.id, partial(_read_picture, source)


def _read_picture(source: Source) -> Picture:
    return decode_image(source.read())


def _as_picture(array: np.ndarray) -> Picture:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ImageError(
            "unsupported", f"An array must be (y, x, 3) of uint8, not {array.shape} of {array.dtype}."
        )
    return array
