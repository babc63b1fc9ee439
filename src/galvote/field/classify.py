"""What `galvote field` and `galvote demo` do: find a field's galaxies, classify them, show the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from rich.progress import TaskID

from galvote.cli.progress import plain_console, progress_bar
from galvote.field.detect import cut_out, find_galaxies
from galvote.field.files import FieldFiles
from galvote.field.findings import ClassifiedField, print_findings
from galvote.images import Geometry
from galvote.images.measure import FieldGalaxy
from galvote.inference import LEVEL, Prediction, Predictor
from galvote.trees import decision_path, describe_path
from galvote.trees.kinds import name_kind

_BATCH = 256


@runtime_checkable
class FieldPredictor(Protocol):
    """What a predictor must offer: `galvote.inference.Predictor` does."""

    @property
    def geometry(self) -> Geometry:
        """The cutouts that it takes."""
        ...

    def predict_cutouts(
        self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], *, tta: int = 1, level: float | None = None
    ) -> Prediction:
        """Predict cutouts of its geometry."""
        ...


def classify_field(
    rgb: UInt8[np.ndarray, "y x 3"],
    predictor: FieldPredictor,
    *,
    title: str = "",
    min_radius: float = 5.0,
    limit: int | None = None,
    tta: int = 1,
    level: float = LEVEL,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> ClassifiedField:
    """Find the galaxies of a wide picture and predict their votes.

    Parameters
    ----------
    title
        Name of the field.
    min_radius
        Smallest r90 in pixels; see `find_galaxies`.
    limit
        Take only so many of the brightest galaxies.
    tta
        Orientations averaged for each prediction.
    level
        Share of the votes that the intervals of a calibrated model are to hold, in (0, 1).
    on_progress
        Called with a stage's name, how much of it is done, and its total.

    Raises
    ------
    GalvoteError
        If `find_galaxies` cannot work.
    """
    found = find_galaxies(
        rgb,
        min_radius=min_radius,
        limit=limit,
        on_progress=lambda done, total: on_progress("finding galaxies", done, total),
    )
    galaxies = found.galaxies
    predicted = _predict(rgb, galaxies, predictor, tta, level, on_progress)
    return ClassifiedField(
        title=title,
        galaxies=galaxies,
        too_small=found.too_small,
        predicted=predicted,
        findings=tuple(name_kind(predicted.tree, row) for row in predicted.fractions),
        paths=tuple(describe_path(decision_path(predicted.tree, row)) for row in predicted.fractions),
    )


def run_field(
    rgb: UInt8[np.ndarray, "y x 3"],
    *,
    title: str,
    out: Path,
    model: str,
    backend: str | None,
    level: float | None,
    min_radius: float,
    limit: int | None,
    tta: int,
    catalogue_ending: str,
    overwrite: bool,
) -> None:
    """Classify a field with a saved model, showing progress, and print what was found and where it is."""
    console = plain_console()
    files = FieldFiles(out, catalogue_ending)
    if not overwrite:
        files.refuse_taken()
    predictor = Predictor.load(model, backend)
    if level is not None:
        predictor.check_level(level)
    with progress_bar(plain_console(stderr=True)) as progress:
        bars = dict[str, TaskID]()

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done)

        classified = classify_field(
            rgb,
            predictor,
            title=title,
            min_radius=min_radius,
            limit=limit,
            tta=tta,
            level=LEVEL if level is None else level,
            on_progress=show,
        )
        written = files.write(rgb, classified, show)
    print_findings(classified, written, console)


def _predict(
    rgb: UInt8[np.ndarray, "y x 3"],
    galaxies: Sequence[FieldGalaxy],
    predictor: FieldPredictor,
    tta: int,
    level: float,
    on_progress: Callable[[str, int, int], None],
) -> Prediction:
    predicted = list[Prediction]()
    for start in range(0, max(1, len(galaxies)), _BATCH):
        batch = galaxies[start : start + _BATCH]
        cutouts = np.zeros((len(batch), *[predictor.geometry.pixels] * 2, 3), np.uint8)
        for cutout, galaxy in zip(cutouts, batch, strict=True):
            cutout[:] = cut_out(rgb, galaxy, predictor.geometry)
        predicted.append(predictor.predict_cutouts(cutouts, tta=tta, level=level))
        on_progress("predicting", start + len(batch), len(galaxies))
    return Prediction.concat(predicted)
