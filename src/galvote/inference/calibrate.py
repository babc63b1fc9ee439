"""Give a trained model intervals, and a flag for images unlike the galaxies that it was trained on."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from galvote.calibration import (
    LEAST_ASKED,
    Calibration,
    ClassSets,
    ConditionalIntervals,
    CrossFit,
    Intervals,
    NumberIntervals,
    OodDetector,
    cross_fit,
    known_conditional,
    measure_false_alarms,
    surprisal,
)
from galvote.errors import CatalogueError
from galvote.images import Changes, View, change, try_read, warp_cutout
from galvote.images.scale import Shown
from galvote.inference.backends import Features, Outputs
from galvote.inference.listing import Place
from galvote.inference.pipeline import BATCH, in_batches
from galvote.inference.prediction import Prediction
from galvote.inference.predictor import Predictor
from galvote.inference.scored import read_votes_of
from galvote.inference.settings import OnProgress, Scale, Settings
from galvote.io import Sources, list_sources
from galvote.io.atomic import refuse_existing
from galvote.io.bands import Bands, Look
from galvote.io.columns import one_has
from galvote.labels import Votes, read_labels
from galvote.models import CARD, find_model, save_calibrated
from galvote.trees import DecisionTree

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Levels that are measured; all are calibrated."""

_FEWEST = 20

Fractions = Float[np.ndarray, "galaxy answer"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a calibration keeps on galaxies that it was not made with.

    Parameters
    ----------
    intervals, conditional
        What intervals of cumulative and of conditional fractions hold, for some levels.
    flagged
        Share of real galaxies that is flagged as out of distribution, in [0, 1].
    changed
        What intervals of cumulative fractions hold where images are changed; empty if they were not
        calibrated with such.
    """

    intervals: tuple[CrossFit, ...]
    conditional: tuple[CrossFit, ...]
    flagged: float
    changed: tuple[CrossFit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Calibrated(Measured):
    """A calibrated model in its folder, and on how many galaxies it was calibrated."""

    folder: Path
    galaxies: int


def calibrate(
    model: Place,
    images: Place | Sequence[Place],
    votes: Votes | Place | Sequence[Place],
    splits: Place,
    out: Place,
    *,
    split: str = "validation",
    train_split: str = "train",
    train_images: int = 3000,
    false_alarms: float = 0.015,
    changes: bool = False,
    tta: int = 1,
    field_of_view: float | None = None,
    bands: Bands | None = None,
    stretch: str = "lupton",
    scale: Scale | None = None,
    backend: str | None = None,
    overwrite: bool = False,
    id_column: str | None = None,
    recursive: bool = False,
    dataset: str | None = None,
    skip_invalid: bool = False,
    report: Callable[[str], None] = lambda sentence: None,
    on_progress: OnProgress | None = None,
) -> Calibrated:
    """Calibrate a model on galaxies that it was not trained on.

    Parameters
    ----------
    model
        Name of a shipped model, or a folder.
    images
        Places of the galaxies' images, such as a packed store; see `galvote.io.list_sources`.
    votes
        Tables of the volunteers' votes on the questions of the model's tree.
    splits
        Table of ids with a column ``split``.
    out
        Folder for a copy of the model with its calibration; may be the model's own.
    split
        Galaxies with votes that the model was not trained on.
    train_split
        Galaxies that it was trained on; of them only images are needed.
    train_images
        How many of those are looked at, drawn at random.
    false_alarms
        Share of real galaxies that may be flagged as out of distribution, in [0, 0.5].
    changes
        Calibrate also on a randomly changed copy of each image, as other surveys and image processing would
        have it (`galvote.images.change`): intervals then widen with the out-of-distribution score, and hold
        for such images, too.
    tta, field_of_view, bands, stretch, scale
        As for `Predictor.predict`; calibrate as the model is to be asked.
    backend
        What computes the predictions, as for `galvote.load`.
    overwrite
        Replace a model in `out`.
    id_column
        Name of the column of ids in the tables, if it is none of the usual ones.
    recursive, dataset
        As for `galvote.io.list_sources`.
    skip_invalid
        Leave out votes that cannot be true instead of raising an error.
    report
        Is told, in sentences, which galaxies are used, and if their scale seems to be another.
    on_progress
        Called with how many images are predicted, and how many there are.

    Returns
    -------
    Where the model is, and what was measured.

    Raises
    ------
    CatalogueError
        If the splits are the same, or there are fewer than 20 galaxies in one of them.
    TreeError
        If the votes are of another tree than the model.
    ModelError
        If there is no such model.
    OutputError
        If there is a model in `out`.
    """
    _refuse_one_split(split, train_split)
    settings = Settings(tta, field_of_view, features=True, scale=scale)
    look = Look.of(bands, stretch)
    saved, out = find_model(model), Path(out)  # which an exported file is not
    predictor = Predictor.load(saved, backend)
    refuse_existing(out / CARD, overwrite=overwrite)
    with one_has(id_column):
        known = read_votes_of(
            predictor.tree, votes, skip_invalid=skip_invalid, id_column=id_column, report=report
        )
        labels = read_labels(splits, "split", id_column=id_column)
        sources = list_sources(images, id_column=id_column, dataset=dataset, recursive=recursive, look=look)
    report(f"{sources.describe()}.")
    chosen = (
        sources.select([galaxy for galaxy in known.ids if labels.get(galaxy) == split]),
        _draw(sources, [galaxy for galaxy, name in labels.items() if name == train_split], train_images),
    )
    _refuse_few(chosen, (split, train_split), splits)
    both = sources.select([*chosen[0].ids, *chosen[1].ids])
    if remark := predictor.preprocessor.check_scale(both, settings):
        report(remark)
    held_out, learned = _predict(predictor, chosen, settings, on_progress)
    _refuse_few((held_out, learned), (split, train_split), splits)
    row_of = {galaxy: row for row, galaxy in enumerate(known.ids)}
    actual = known.select(np.array([row_of[galaxy] for galaxy in held_out.ids]))
    report(
        f"Calibrating on {len(actual):,} galaxies of the split {split!r} with votes on the tree "
        f"{predictor.tree.name}, which {predictor.card.name} must not have been trained on; what it knows is "
        f"learned from {len(learned):,} of the split {train_split!r}."
    )
    again, classes = sources.select(held_out.ids), actual.form == "class"
    changed = predict_changed(predictor, again, settings) if changes else None
    assert held_out.features is not None and learned.features is not None
    found = predictor.tree, held_out.fractions, actual.fractions, held_out.features, learned.features
    calibration, measured = measure(*found, false_alarms, changed=changed, classes=classes)
    about = {
        "galaxies": len(actual),
        "train_images": len(learned),
        "tta": tta,
        "scale": scale and str(scale),
        "galaxies_sha256": actual.digest(),
        **describe(measured, false_alarms),
    }
    save_calibrated(saved, calibration, about, out)
    return Calibrated(folder=out, galaxies=len(actual), **vars(measured))


def _refuse_one_split(split: str, train_split: str) -> None:
    if split == train_split:
        raise CatalogueError(
            f"The split {split!r} cannot be both what the model was trained on and what it was not: "
            "intervals from galaxies that it knows are too narrow. Name two splits, with --split and "
            "--train-split (split=, train_split=)."
        )


def measure(
    tree: DecisionTree,
    predicted: Fractions,
    actual: Fractions,
    held_out: Features,
    learned: Float32[np.ndarray, "train_galaxy feature"],
    false_alarms: float = 0.015,
    *,
    changed: tuple[Fractions, Features] | None = None,
    classes: bool = False,
) -> tuple[Calibration, Measured]:
    """Calibrate with predictions and votes, and measure the calibration on random halves.

    Fractions are cumulative, votes NaN where unknown. Features are those of galaxies that the model was not
    trained on, and of some that it was. Changed are fractions and features of the held-out galaxies in
    changed images, to calibrate with, too. With `classes`, each galaxy has one, so that sets of them can be
    given.
    """
    ood = OodDetector.fit(learned, held_out, false_alarms=false_alarms)
    distances, rarity, copies = ood.distances(held_out), None, 1
    if changed is not None:
        predicted, copies = np.concatenate([predicted, changed[0]]), 2
        actual = np.concatenate([actual, actual])
        rarity = surprisal(ood.score(np.concatenate([distances, ood.distances(changed[1])])))
    known = known_conditional(tree, predicted, actual)
    fit_conditional = partial(ConditionalIntervals.fit, tree)
    measure_fit = partial(cross_fit, tree=tree, levels=LEVELS, surprisal=rarity, copies=copies)
    return Calibration(
        intervals=Intervals.fit(predicted, actual, rarity),
        conditional=fit_conditional(predicted, known, rarity).intervals,
        ood=ood,
        numbers=NumberIntervals.fit(tree, predicted, actual, rarity).intervals if tree.numbers else None,
        sets=ClassSets.fit(predicted, actual) if classes else None,
    ), Measured(
        intervals=measure_fit(predicted, actual),
        conditional=measure_fit(predicted, known, fit=fit_conditional),
        flagged=measure_false_alarms(distances, false_alarms)[0],
        changed=measure_fit(predicted, actual, copy=1) if changed is not None else (),
    )


def describe(measured: Measured, false_alarms: float) -> dict[str, Any]:
    """Return what a card says of a calibration."""
    of_changed = {"changed": _describe(measured.changed)} if measured.changed else {}
    return {
        "what": "means over random halves of the galaxies, each measured after calibrating on the other",
        "levels": _describe(measured.intervals),
        "conditional": {
            "what": f"of questions predicted to be put to at least {LEAST_ASKED:.0%} of the volunteers",
            "levels": _describe(measured.conditional),
        },
        "ood": {"aimed_at": false_alarms, "galaxies_flagged": round(measured.flagged, 4)},
        **of_changed,
    }


def _describe(fits: Sequence[CrossFit]) -> dict[str, Any]:
    return {
        f"{one.level:g}": {
            "coverage": round(one.coverage.overall, 4),
            "spread": round(one.spread, 4),
            "mean_width": round(one.coverage.mean_width, 4),
            "questions": {
                name: round(share, 4) for name, share in one.coverage.questions.items() if isfinite(share)
            },
        }
        for one in fits
    }


def _refuse_few(chosen: tuple[Sized, Sized], splits: tuple[str, str], table: Place) -> None:
    if min(map(len, chosen)) < _FEWEST:
        raise CatalogueError(
            f"There are usable images of {len(chosen[0])} galaxies with votes in the split {splits[0]!r} of "
            f"{table}, and of {len(chosen[1])} in {splits[1]!r}; at least {_FEWEST} of each are needed, and "
            "some hundreds are better."
        )


def _draw(sources: Sources, ids: Sequence[str], most: int) -> Sources:
    """Draw so many of some galaxies' images at random, the same each time."""
    own = sources.select(ids)
    if len(own) <= most:
        return own
    drawn = np.random.default_rng(0).choice(len(own), most, replace=False)
    return sources.select([own.ids[row] for row in drawn])


def _predict(
    predictor: Predictor,
    chosen: tuple[Sources, Sources],
    settings: Settings,
    on_progress: OnProgress | None,
) -> tuple[Prediction, Prediction]:
    """Predict held-out galaxies and some that were trained on; those that cannot be read are left out."""
    done, total = 0, sum(map(len, chosen))

    def predict(sources: Sources, settings: Settings) -> Prediction:
        nonlocal done
        batches = list[Prediction]()
        for batch in predictor.predict_batches(sources, settings):
            batches.append(batch)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, total)
        found = Prediction.concat(batches)
        return found[found.ok]

    return predict(chosen[0], settings), predict(chosen[1], replace(settings, tta=1))


def predict_changed(
    predictor: Predictor, sources: Sources, settings: Settings | None = None
) -> tuple[Fractions, Features]:
    """Predict each galaxy in an image that is changed at random, the same each time.

    All images can be read. Returned are cumulative fractions in [0, 1], and the encoder's features.
    """
    settings, changes, geometry = settings or Settings(), Changes(), predictor.geometry
    streams = iter(np.random.default_rng(0).spawn(len(sources)))
    found = list[Outputs]()
    for batch in in_batches(sources, BATCH):
        cutouts = []
        for source, random in zip(batch, streams, strict=False):
            data = try_read(source.read)
            shown = predictor.preprocessor.show(source, data, settings.scale, settings.field_of_view)
            assert isinstance(shown, Shown)
            zoom = changes.zoom ** random.uniform(-1, 1)
            cutout = warp_cutout(shown.cutout, View(zoom=zoom), geometry.pixels)
            cutouts.append(change(cutout, geometry.pixels / geometry.field_of_view, changes, random))
        found.append(predictor.predict_features(np.stack(cutouts), settings.tta))
    fractions, features = zip(*found, strict=True)
    return np.concatenate(fractions), np.concatenate(features)
