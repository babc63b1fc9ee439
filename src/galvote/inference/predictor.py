"""From images to rows of vote fractions."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from galvote.calibration import Calibration, check_level
from galvote.errors import ImageError, ModelError, ScaleWarning
from galvote.images import Geometry
from galvote.inference.backends import Backend, Outputs
from galvote.inference.columns import prediction_schema
from galvote.inference.listing import Images, list_images
from galvote.inference.opening import open_model
from galvote.inference.pipeline import BATCH
from galvote.inference.prediction import LEVEL, Prediction, make_prediction
from galvote.inference.preprocessor import Preprocessor
from galvote.inference.settings import Scale, Settings
from galvote.inference.streaming import predict_stream
from galvote.inference.tta import predict_tta
from galvote.io import Source, Sources
from galvote.io.bands import Bands
from galvote.models import Card
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from galvote.models import GalaxyNetwork


class Predictor:
    """A trained model, ready to predict.

    Parameters
    ----------
    backend
        What computes the network.
    card
        What the network is and what it was trained on.
    calibration
        For intervals and the flag of images unlike the training galaxies; `galvote calibrate` makes one.
    folder
        Of the saved model, for what needs its network.

    Examples
    --------
    >>> import galvote
    >>> prediction = galvote.load("galvote-small").predict(galvote.example_images())
    >>> prediction.to_table().colnames[:3]
    ['id', 'status', 'reason']
    """

    def __init__(
        self,
        backend: Backend,
        card: Card,
        calibration: Calibration | None = None,
        folder: Path | None = None,
    ) -> None:
        self.backend = backend
        self.folder = folder
        self.card = card
        self.calibration = calibration
        self.tree = DecisionTree.from_dict(card.tree)
        self.preprocessor = Preprocessor(card.cutout, card.network.geometry)

    @classmethod
    def load(cls, name: str | os.PathLike[str], backend: str | None = None) -> Predictor:
        """Return a model that is ready to predict.

        Parameters
        ----------
        name, backend
            As for `galvote.load`.
        """
        return cls(*open_model(name, backend))

    @property
    def geometry(self) -> Geometry:
        """The cutouts that this model takes."""
        return self.card.cutout

    @property
    def computed_by(self) -> str:
        """The model and its backend, as ``galvote-small, onnx float32 cpu``."""
        return f"{self.card.name}, {self.backend.name}"

    @property
    def has_network(self) -> bool:
        """Whether `network` can be had: explanations need it."""
        return hasattr(self.backend, "network") or (
            self.folder is not None and find_spec("torch") is not None
        )

    @cached_property
    def network(self) -> GalaxyNetwork:
        """The network in torch, in evaluation mode, for what torch alone can do: gradients.

        Raises
        ------
        ModelError
            If torch is not installed, or the model is an exported file.
        """
        if not self.has_network:
            raise ModelError(
                "Only torch can look into a network: "
                + ("pip install 'galvote[train]'" if self.folder else "load the model, not an exported file.")
            )
        if hasattr(self.backend, "network"):
            network: GalaxyNetwork = self.backend.network
            return network
        from galvote.models import load_model

        assert self.folder is not None
        return load_model(self.folder)[0]

    def predict(
        self,
        images: Images,
        *,
        tta: int = 1,
        field_of_view: float | None = None,
        level: float | None = None,
        features: bool = False,
        bands: Bands | None = None,
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
            Paths (files, folders, Parquet, catalogues: see `galvote.io.list_sources`), bytes of files, or RGB
            arrays ``(y, x, 3)`` of uint8, one galaxy in the centre of each; a single array is one image, or
            several, ``(galaxy, y, x, 3)``.
        tta
            Orientations to average: 1, 2, 4, 8, 16, …
        field_of_view
            Width of each image, in r90; 8.48, a GZ2 frame, if neither it nor the files say otherwise.
        level
            Share of the volunteers' votes that the intervals are to hold, in (0, 1); 0.9 if not given.
        features
            Add the encoder's features, for search and clustering.
        bands
            Of FITS files, by name or number: ``"i,r,g"``, ``[2, 1, 0]``; see `galvote.io.bands.choose_bands`.
        stretch
            Of FITS files of one plane: ``"lupton"``, ``"asinh"`` or ``"percentile"``; see
            `galvote.images.stretch.compose`.
        scale
            ``"gz2"``: images have the scale of GZ2 frames. ``"auto"``: the galaxy in the middle is measured
            and brought to it. `galvote.io.Sizes`: it is brought to it by its known r90. If nothing is said,
            images are taken as they are, but the first hundred are measured to see whether that is right.
        prefetch
            Most images in memory at once; 192 for each core if not given, and never fewer than 64.
        report
            Is told, in a sentence, if their scale seems to be another; a `ScaleWarning` if not given.
        on_progress
            Called with how many images are done, and how many there are.

        Returns
        -------
        Of each image, in order; of one that cannot be read, ``status`` and ``reason`` say why. The id of an
        array is its position. Features are of the cutout as it is, whatever the orientations.

        Raises
        ------
        ModelError
            If a level is asked for and the model is not calibrated.
        FractionError
            If the level is not in (0, 1).
        CatalogueError
            If a place does not exist or holds no images.
        ImageError
            If a single array is neither an image nor several. One of a list of arrays gets a row.

        Notes
        -----
        An image's row may depend, in the last digits, on its place: batches begin at every 64th image. It
        depends neither on the other images nor on the number of cores.
        """
        settings = Settings(tta, field_of_view, level, features, bands=bands, stretch=stretch, scale=scale)
        listed = list_images(images, settings.look)
        return self.predict_listed(
            listed, settings, prefetch=prefetch, report=report, on_progress=on_progress
        )

    def predict_listed(
        self,
        listed: Sequence[Source] | Sources,
        settings: Settings,
        *,
        prefetch: int | None = None,
        report: Callable[[str], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Prediction:
        """Predict images that are listed already, as `predict` does.

        Parameters
        ----------
        listed
            As `galvote.io.list_sources` returns them.
        settings
            What is asked for.
        prefetch, report, on_progress
            As for `predict`.

        Returns
        -------
        Of each image, in order.
        """
        done, predictions = 0, list[Prediction]()
        if remark := self.preprocessor.check_scale(listed, settings):
            (report or _warn)(remark)
        for _, batch in predict_stream(self, [(None, listed)], settings, prefetch=prefetch):
            predictions.append(batch)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(listed))
        if not predictions:
            pixels = self.geometry.pixels
            none = np.zeros((0, pixels, pixels, 3), np.uint8)
            empty = self.predict_cutouts(none, level=settings.level, features=settings.features)
            predictions.append(empty.with_scale([], columns=settings.scaled))
        return replace(
            Prediction.concat(predictions), remark=remark, conditional_columns=settings.conditional
        )

    def predict_batches(
        self, images: Images, settings: Settings | None = None, *, prefetch: int | None = None
    ) -> Iterator[Prediction]:
        """Predict in batches, as `predict` does, in bounded memory.

        Parameters
        ----------
        images
            As for `predict`.
        settings
            What is asked for.
        prefetch
            As for `predict`.

        Returns
        -------
        Predictions of 64 galaxies each, made as they are asked for; the last may have fewer.
        """
        settings = settings or Settings()
        listed = list_images(images, settings.look)
        return (batch for _, batch in predict_stream(self, [(None, listed)], settings, prefetch=prefetch))

    def schema(self, settings: Settings | None = None) -> pa.Schema:
        """Return the columns of a prediction's table; the fields' metadata say what they mean.

        Parameters
        ----------
        settings
            What is asked for.
        """
        settings = settings or Settings()
        return prediction_schema(
            self.tree,
            settings.level or LEVEL,
            calibrated=self.calibration is not None,
            features=self.backend.width if settings.features else 0,
            conditional=settings.conditional,
            scaled=settings.scaled,
            bounded=self.calibration is not None and self.calibration.numbers is not None,
            sets=self.calibration is not None and self.calibration.sets is not None,
        )

    def check_level(self, level: float | None) -> None:
        """Raise `ModelError` or `FractionError` unless this model can give intervals of a level.

        Parameters
        ----------
        level
            Share of the votes that the intervals are to hold; ``None`` if none are asked for.
        """
        if level is None:
            return
        if self.calibration is None:
            raise ModelError(
                f"The model {self.card.name} is not calibrated, so it gives no intervals. Run `galvote "
                "calibrate` with galaxies that it was not trained on, or leave the level out."
            )
        check_level(level)

    def predict_cutouts(
        self,
        cutouts: UInt8[np.ndarray, "galaxy p p 3"],
        *,
        tta: int = 1,
        level: float | None = None,
        features: bool = False,
        ids: Sequence[str] | None = None,
        failures: Sequence[ImageError | None] | None = None,
    ) -> Prediction:
        """Predict cutouts that have this model's `geometry` already.

        Parameters
        ----------
        cutouts
            RGB; of images that could not be read, whatever they are, their rows have no numbers.
        tta, level, features
            As for `predict`.
        ids
            Names of the galaxies; their positions if not given.
        failures
            What is wrong with each image, if anything is.

        Returns
        -------
        A row for each cutout, in order.
        """
        fractions, found = self.predict_features(cutouts, tta)
        prediction = make_prediction(
            self.tree,
            self.calibration,
            cutouts,
            fractions,
            found,
            level=level,
            keep_features=features,
            ids=ids,
            failures=failures,
        )
        return replace(prediction, computed_by=self.computed_by)

    def predict_features(self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], tta: int = 1) -> Outputs:
        """Return the network's own outputs for cutouts that have this model's `geometry` already.

        Parameters
        ----------
        cutouts
            RGB cutouts of one geometry.
        tta
            Orientations to average: 1, 2, 4, 8, 16, …

        Returns
        -------
        Cumulative vote fractions in [0, 1], in ``tree.columns`` order, and the encoder's features.
        """
        size = self.geometry.pixels
        if cutouts.shape[1:] != (size, size, 3):
            raise ModelError(
                f"This model takes cutouts of {size} × {size} pixels, not {cutouts.shape[1:]}; bring "
                "images to its geometry with galvote.images.to_cutout."
            )
        fractions = np.zeros((len(cutouts), len(self.tree)), dtype=np.float32)
        features = np.zeros((len(cutouts), self.backend.width), dtype=np.float32)
        for start in range(0, len(cutouts), BATCH):
            part = slice(start, start + BATCH)
            fractions[part], features[part] = predict_tta(
                self.backend.compute, self.card.network.geometry, cutouts[part], self.geometry, tta
            )
        return fractions, features


def load_predictor(model: Predictor | str | os.PathLike[str], backend: str | None) -> Predictor:
    """Return a model, which may be loaded; then `ModelError` if a backend is named."""
    if not isinstance(model, Predictor):
        return Predictor.load(model, backend)
    if backend is not None:
        raise ModelError(
            f"The model is loaded, so leave out backend={backend!r}, or name it to galvote.load."
        )
    return model


def _warn(remark: str) -> None:
    warnings.warn(remark, ScaleWarning, stacklevel=4)
