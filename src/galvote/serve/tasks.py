"""What networks are given to do: the tasks in the queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from galvote.inference import Predictor
from galvote.inference.backends import Outputs
from galvote.serve.batching import Batcher

Cutout = UInt8[np.ndarray, "p p 3"]


@dataclass(frozen=True)
class Predict:
    """A task for the networks: predict cutouts, those of several requests together."""

    predictor: Predictor
    tta: int

    @property
    def weight(self) -> int:
        """How many times the network runs for each cutout."""
        return self.tta

    def __call__(self, cutouts: Sequence[Cutout]) -> list[tuple[Any, Any]]:
        """Run the network."""
        return list(zip(*self.predictor.predict_features(np.stack(cutouts), self.tta), strict=True))


@dataclass(frozen=True, eq=False)
class Alone:
    """A task that is like no other, so that nothing is run together with it."""

    run: Callable[[Cutout], Any]
    weight: int

    def __call__(self, cutouts: Sequence[Cutout]) -> list[Any]:
        """Do it with each cutout."""
        return [self.run(cutout) for cutout in cutouts]


class QueuedPredictor(Predictor):
    """A model whose network is run in the queue, for callers in a thread of their own."""

    def __init__(self, predictor: Predictor, queue: Batcher) -> None:
        super().__init__(predictor.backend, predictor.card, predictor.calibration)
        self._predictor, self._queue = predictor, queue

    def predict_features(self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], tta: int = 1) -> Outputs:
        """Run the network together with what other requests ask."""
        task = Predict(self._predictor, tta)
        with self._queue.reserve(len(cutouts) * tta) as places:
            outputs = [result.result() for result in [places.put(task, cutout) for cutout in cutouts]]
        fractions = np.zeros((len(cutouts), len(self.tree)), np.float32)
        features = np.zeros((len(cutouts), self.backend.width), np.float32)
        for i, output in enumerate(outputs):
            fractions[i], features[i] = output
        return fractions, features
