"""From the bytes of images to what models predict, for many requests at once."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from galvote.errors import GalvoteError, ImageError, ModelError
from galvote.field import Field, find_field
from galvote.images import decode_image
from galvote.images.measure import refuse_without_photutils
from galvote.images.scale import Shown, describe_scale
from galvote.inference import Explanation, Method, Prediction, Predictor, explain, make_prediction, rotate
from galvote.inference.cores import count_cores
from galvote.inference.settings import Scale
from galvote.io import Sizes, Source
from galvote.serve.batching import Batcher
from galvote.serve.errors import RequestError, busy, in_api_words
from galvote.serve.metrics import Metrics
from galvote.serve.settings import ServeSettings
from galvote.serve.tasks import Alone, Cutout, Predict, QueuedPredictor
from galvote.serve.uploads import Upload, Uploads

OwnScale = Scale | Literal["check"]
"""How an image is brought to scale; with ``check`` its galaxy is measured, but it is shown as it is."""

_MORE_READERS = 2
_CHECKED = 100  # images of a request, of which a scale that seems wrong is noticed
_WAITING_FIELDS = 4
"""Wide images that may wait while another is searched, which is slow and takes much memory."""


@dataclass(frozen=True)
class AskedScale:
    """The scale that a request names."""

    scale: Literal["gz2", "auto"] | None
    pixel_scale: float | None
    r90: tuple[float, ...]

    @property
    def asked(self) -> bool:
        """Whether each image is brought to scale by its own galaxy."""
        return self.scale == "auto" or self.pixel_scale is not None

    def of(self, files: Sequence[Upload]) -> list[OwnScale]:
        """Return the scale of each image."""
        if self.pixel_scale is None and not self.r90:
            return [self.scale or ("check" if n < _CHECKED else "gz2") for n in range(len(files))]
        if self.scale or self.pixel_scale is None or len(self.r90) not in (1, len(files)):
            raise RequestError(
                422,
                "invalid",
                "pixel_scale goes with r90, in arcseconds, once for all images or once for each in their "
                "order, and without scale.",
            )
        sizes = self.r90 * len(files) if len(self.r90) == 1 else self.r90
        return [Sizes(self.pixel_scale, {file.name: size}) for file, size in zip(files, sizes, strict=True)]


class Engine:
    """Models, the threads that decode and predict, and the queue between them."""

    def __init__(self, predictors: Sequence[Predictor], settings: ServeSettings) -> None:
        self.predictors: Mapping[str, Predictor] = {each.card.name: each for each in predictors}
        if not predictors or len(self.predictors) < len(predictors):
            names = ", ".join(each.card.name for each in predictors) or "none"
            raise ModelError(f"A server needs models of different names, not {names}; leave one out.")
        self.default = predictors[0].card.name
        self.settings = settings
        self.metrics = Metrics()
        self.uploads = Uploads(settings)
        cores = count_cores()
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
            QueuedPredictor(predictor, self.queue).predict_features(np.zeros((1, size, size, 3), np.uint8))

    def refuse_if_full(self) -> None:
        """Raise the error that the next request would meet, if it would meet one."""
        with self.queue.reserve(1):
            pass

    def choose(self, name: str | None) -> Predictor:
        """Find a model."""
        found = self.predictors.get(name or self.default)
        if found is None:
            raise RequestError(
                422, "unknown-model", f"There is no such model; ask for one of {', '.join(self.predictors)}."
            )
        return found

    async def predict(
        self, files: Sequence[Upload], predictor: Predictor, tta: int, level: float, scale: AskedScale
    ) -> tuple[Prediction, list[Shown | ImageError]]:
        """Predict the votes of some images."""
        scales = scale.of(files)
        with self.queue.reserve(len(files) * tta) as places:

            async def run(file: Upload, scale: OwnScale) -> tuple[Shown | ImageError, Any]:
                shown = await self._read(file, predictor, scale)
                if isinstance(shown, ImageError):
                    places.forgo(tta)
                    return shown, None
                put = places.put(Predict(predictor, tta), shown.cutout)
                return shown, await asyncio.wrap_future(put)

            results = await asyncio.gather(*map(run, files, scales))
        size = predictor.geometry.pixels
        cutouts = np.zeros((len(files), size, size, 3), np.uint8)
        fractions = np.zeros((len(files), len(predictor.tree)), np.float32)
        features = np.zeros((len(files), predictor.backend.width), np.float32)
        shown = [one for one, _ in results]
        for i, (one, outputs) in enumerate(results):
            if not isinstance(one, ImageError):
                cutouts[i], (fractions[i], features[i]) = one.cutout, outputs
        prediction = make_prediction(
            predictor.tree,
            predictor.calibration,
            cutouts,
            fractions,
            features,
            level=level,
            ids=[file.name for file in files],
            failures=[one if isinstance(one, ImageError) else None for one in shown],
        ).with_scale(shown, columns=scale.asked)
        return replace(prediction, remark=_describe(shown, scales)), shown

    async def explain(
        self,
        file: Upload,
        predictor: Predictor,
        question: str,
        answer: str | None,
        method: Method,
        scale: AskedScale,
    ) -> Explanation:
        """Find out which parts of an image mattered for an answer."""
        if not predictor.has_network:
            raise RequestError(
                501,
                "not-available",
                f"{predictor.card.name} is computed by {predictor.backend.name}, which cannot look into the "
                "network, so there is no explanation; serve the model itself rather than an exported file.",
            )
        run = partial(explain, predictor, question=question, answer=answer, method=method)
        result: Explanation = await self._alone(file, predictor, run, scale, weight=64)
        return result

    async def rotate(
        self, file: Upload, predictor: Predictor, angles: Float32[np.ndarray, " angle"], scale: AskedScale
    ) -> Float32[np.ndarray, "angle answer"]:
        """Predict the votes of an image at several angles."""
        run = partial(rotate, predictor, angles=angles)
        result: np.ndarray = await self._alone(file, predictor, run, scale, weight=len(angles))
        return result

    async def find_field(
        self, file: Upload, predictor: Predictor, tta: int, level: float, limit: int
    ) -> Field:
        """Find the galaxies of a wide image and predict their votes."""
        try:
            refuse_without_photutils()
        except GalvoteError as error:
            message = f"This server cannot search wide images. {error}, and restart the server."
            raise RequestError(501, "not-installed", message) from error
        if self._fields > _WAITING_FIELDS:
            raise busy("Other wide images are being searched.")
        self._fields += 1
        given_up = Event()

        def search() -> Field:
            def give_up(done: int = 0, total: int = 0) -> None:
                if given_up.is_set():
                    raise TimeoutError

            give_up()
            image = decode_image(file.data, max_pixels=self.settings.max_pixels)
            model = QueuedPredictor(predictor, self.queue)
            own_level = level if predictor.calibration else None
            return find_field(image, model=model, tta=tta, level=own_level, limit=limit, on_progress=give_up)

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._searcher, search)
        except ImageError as error:
            self.metrics.images.labels(error.status).inc()
            raise in_api_words(error) from error
        finally:
            self._fields -= 1
            given_up.set()
        self.metrics.images.labels("ok").inc()
        return found

    def _count_batch(self, galaxies: int, seconds: float) -> None:
        self.metrics.batches.observe(galaxies)
        self.metrics.network.inc(seconds)

    async def _alone(
        self,
        file: Upload,
        predictor: Predictor,
        run: Callable[[Cutout], Any],
        scale: AskedScale,
        *,
        weight: int,
    ) -> Any:
        (own,) = scale.of([file])
        with self.queue.reserve(weight) as places:
            shown = await self._read(file, predictor, "gz2" if own == "check" else own)
            if isinstance(shown, ImageError):
                raise shown
            return await asyncio.wrap_future(places.put(Alone(run, weight), shown.cutout))

    async def _read(self, file: Upload, predictor: Predictor, scale: OwnScale) -> Shown | ImageError:
        source = Source(file.name, file.name, lambda: (file.data,))
        read = partial(
            predictor.preprocessor.show, source, file.data, scale, max_pixels=self.settings.max_pixels
        )
        shown = await asyncio.get_running_loop().run_in_executor(self._readers, read)
        self.metrics.images.labels(shown.status if isinstance(shown, ImageError) else "ok").inc()
        return in_api_words(shown) if isinstance(shown, ImageError) else shown


def _describe(shown: Sequence[Shown | ImageError], scales: Sequence[OwnScale]) -> str:
    """Return what is to be known of the scale of images for which no scale was asked."""
    checked = [
        one for one, scale in zip(shown, scales, strict=True) if isinstance(one, Shown) and scale == "check"
    ]
    if checked and all(math.isnan(one.measured) for one in checked):
        return "No galaxy stands out in the middle; a wide image with several is one for /v1/field."
    return describe_scale(checked)
