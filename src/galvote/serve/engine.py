"""From the bytes of pictures to what models say of them, for many requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from galvote.errors import ImageError, ModelError
from galvote.images import Geometry, try_cutout
from galvote.inference import Explanation, Method, Predictor, explain, turn
from galvote.serve.batching import Batcher, Reservation
from galvote.serve.errors import RequestError, busy
from galvote.serve.fields import FoundField, refuse_if_not_installed, search_field
from galvote.serve.metrics import Metrics
from galvote.serve.settings import ServeSettings
from galvote.serve.uploads import Upload, Uploads
from galvote.trees import Step, decision_path

Cutout = UInt8[np.ndarray, "p p 3"]

_MORE_READERS = 2
_WAITING_FIELDS = 4
"""Wide pictures that may wait while another is searched, which is slow and takes much memory."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one cutout.

    Parameters
    ----------
    fractions
        Cumulative, in the tree's order.
    low, high
        Ends of their intervals; None if the model is not calibrated.
    unlike
        Whether the picture is unlike the training galaxies; None if the model is not calibrated.
    path
        The decision path.
    """

    fractions: Float32[np.ndarray, " answer"]
    low: Float32[np.ndarray, " answer"] | None
    high: Float32[np.ndarray, " answer"] | None
    ood: bool | None
    path: tuple[Step, ...]


def complete(
    predictor: Predictor,
    cutout: Cutout,
    fractions: Float32[np.ndarray, " answer"],
    features: Float32[np.ndarray, " feature"],
    level: float,
) -> Prediction:
    """Return what a network said of one cutout with all that follows from it."""
    low = high = ood = None
    if calibration := predictor.calibration:
        low, high = (ends[0] for ends in calibration.intervals.ends(fractions[None], level))
        ood = bool(calibration.ood.judge(features[None], cutout[None])[0][0])
    return Prediction(fractions, low, high, ood, decision_path(predictor.tree, fractions))


@dataclass(frozen=True)
class Predict:
    """A task for the networks: predict cutouts, those of several requests together."""

    predictor: Predictor
    tta: int

    @property
    def weight(self) -> int:
        """How many views of each cutout the network sees."""
        return self.tta

    def __call__(self, cutouts: Sequence[Cutout]) -> list[tuple[Any, Any]]:
        """Return the fractions and the features of each cutout."""
        return list(zip(*self.predictor.predict_features(np.stack(cutouts), self.tta), strict=True))


@dataclass(frozen=True, eq=False)
class Alone:
    """A task that is like no other, so that nothing is run together with it."""

    run: Callable[[Cutout], Any]
    weight: int

    def __call__(self, cutouts: Sequence[Cutout]) -> list[Any]:
        """Return what the task makes of each cutout."""
        return [self.run(cutout) for cutout in cutouts]


class Engine:
    """Models, the threads that decode and predict, and the queue between them.

    Parameters
    ----------
    predictors
        The first is the one that answers if none is asked for.

    Raises
    ------
    ModelError
        If there is none, or two have the same name.
    """

    def __init__(self, predictors: Sequence[Predictor], settings: ServeSettings) -> None:
        self.predictors: Mapping[str, Predictor] = {each.card.name: each for each in predictors}
        if not predictors or len(self.predictors) < len(predictors):
            names = ", ".join(each.card.name for each in predictors) or "none"
            raise ModelError(f"A server needs models of different names, not {names}; leave one out.")
        self.default = predictors[0].card.name
        self.settings = settings
        self.metrics = Metrics()
        self.uploads = Uploads(settings)
        cores = torch.get_num_threads()
        self.queue = Batcher(
            cores,
            settings.queue,
            batch=settings.batch,
            wait=settings.batch_wait,
            on_batch=self._count_batch,
        )
        self.metrics.queue.set_function(lambda: self.queue.reserved)
        self.metrics.open.set_function(lambda: self.uploads.open)
        self._readers = ThreadPoolExecutor(cores + _MORE_READERS, "read")
        self._searcher = ThreadPoolExecutor(1, "search")
        self._fields = 0

    def close(self) -> None:
        """Let the threads finish what they do, and end them."""
        self._readers.shutdown(cancel_futures=True)
        self._searcher.shutdown(cancel_futures=True)
        self.queue.close()

    def warm_up(self) -> None:
        """Let each model predict once: the first time takes longer."""
        for predictor in self.predictors.values():
            size = predictor.geometry.pixels
            with self.queue.reserve(1) as places:
                places.put(Predict(predictor, 1), np.zeros((size, size, 3), np.uint8)).result()

    def refuse_if_full(self) -> None:
        """Raise the refusal that the next request would meet, if it would meet one."""
        with self.queue.reserve(1):
            pass

    def choose(self, name: str | None) -> Predictor:
        """Return the model of that name, or the default; refuse another."""
        found = self.predictors.get(name or self.default)
        if found is None:
            raise RequestError(
                422, "unknown-model", f"There is no such model; ask for one of {', '.join(self.predictors)}."
            )
        return found

    async def classify(
        self, files: Sequence[Upload], predictor: Predictor, tta: int, level: float
    ) -> list[Prediction | ImageError]:
        """Return what a model says of each file, or what is wrong with it."""
        with self._reserve(len(files) * tta) as places:
            return list(
                await asyncio.gather(*(self._classify(file, predictor, tta, level, places) for file in files))
            )

    async def explain(
        self, file: Upload, predictor: Predictor, question: str, answer: str | None, method: Method
    ) -> Explanation:
        """Return where a network looked; raise `ImageError` if the file cannot be read."""
        run = partial(explain, predictor, question=question, answer=answer, method=method)
        result: Explanation = await self._alone(file, predictor, run, weight=64)
        return result

    async def rotate(
        self, file: Upload, predictor: Predictor, angles: Float32[np.ndarray, " angle"]
    ) -> Float32[np.ndarray, "angle answer"]:
        """Return the fractions of a galaxy rotated; raise `ImageError` if the file cannot be read."""
        run = partial(turn, predictor, angles=angles)
        result: np.ndarray = await self._alone(file, predictor, run, weight=len(angles))
        return result

    async def classify_field(
        self,
        file: Upload,
        predictor: Predictor,
        tta: int,
        level: float,
        limit: int,
        image: bool,
    ) -> tuple[FoundField, list[Prediction]]:
        """Find and classify the galaxies of a wide picture; raise `ImageError` if it cannot be read.

        Parameters
        ----------
        limit, image
            As for `search_field`.
        """
        refuse_if_not_installed()
        if self._fields > _WAITING_FIELDS:
            raise busy("Other wide pictures are being searched.")
        self._fields += 1
        given_up = Event()
        search = partial(
            search_field, file.data, predictor.geometry, limit, given_up, self.settings.max_pixels, image
        )
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._searcher, search)
        finally:
            self._fields -= 1
            given_up.set()
        self.metrics.images.labels("ok").inc()
        with self._reserve(len(found.cutouts) * tta) as places:
            predictions = await asyncio.gather(
                *(self._predict(cutout, predictor, tta, level, places) for cutout in found.cutouts)
            )
        return found, predictions

    def _count_batch(self, galaxies: int, seconds: float) -> None:
        self.metrics.batches.observe(galaxies)
        self.metrics.network.inc(seconds)

    def _reserve(self, places: int) -> Reservation:
        if places > self.queue.places:
            raise RequestError(
                413,
                "too-many-images",
                f"{places} images, times orientations, are more than the {self.queue.places} that may wait "
                "at once; average fewer orientations, or send fewer images at once.",
            )
        return self.queue.reserve(places)

    async def _classify(
        self, file: Upload, predictor: Predictor, tta: int, level: float, places: Reservation
    ) -> Prediction | ImageError:
        cutout = await self._read(file, predictor.geometry)
        if isinstance(cutout, ImageError):
            places.forgo(tta)
            return cutout
        return await self._predict(cutout, predictor, tta, level, places)

    async def _predict(
        self, cutout: Cutout, predictor: Predictor, tta: int, level: float, places: Reservation
    ) -> Prediction:
        fractions, features = await asyncio.wrap_future(places.put(Predict(predictor, tta), cutout))
        return complete(predictor, cutout, fractions, features, level)

    async def _alone(
        self, file: Upload, predictor: Predictor, run: Callable[[Cutout], Any], *, weight: int
    ) -> Any:
        with self._reserve(weight) as places:
            cutout = await self._read(file, predictor.geometry)
            if isinstance(cutout, ImageError):
                raise cutout
            return await asyncio.wrap_future(places.put(Alone(run, weight), cutout))

    async def _read(self, file: Upload, geometry: Geometry) -> Cutout | ImageError:
        read = partial(try_cutout, lambda: file.data, geometry, max_pixels=self.settings.max_pixels)
        cutout = await asyncio.get_running_loop().run_in_executor(self._readers, read)
        self.metrics.images.labels(cutout.status if isinstance(cutout, ImageError) else "ok").inc()
        return cutout
