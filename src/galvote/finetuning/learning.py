"""Learn heads from labels and features, and measure what was learned on galaxies that were left out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from sklearn.metrics import confusion_matrix

from galvote.calibration import Calibration, NumberIntervals
from galvote.finetuning import baselines, crossfit
from galvote.finetuning.curve import advise, learning_curve
from galvote.finetuning.features import look, spread_views
from galvote.finetuning.head import Head, Known, Scaling, fit_head, fit_temperatures
from galvote.finetuning.labels import refuse_few
from galvote.finetuning.mislabelled import find_mislabelled
from galvote.finetuning.own_answers import answer_directions
from galvote.finetuning.result import Finetuned, Numbers, Score
from galvote.finetuning.scores import compare_scores, measure_scores
from galvote.finetuning.whole import Trained
from galvote.inference.calibrate import describe
from galvote.inference.predictor import Predictor
from galvote.inference.settings import OnProgress, Settings
from galvote.io import Sources
from galvote.labels import Votes
from galvote.trees import expected_numbers


@dataclass(frozen=True, eq=False)
class Data:
    """Labels of galaxies whose image can be read, and what a network makes of their images."""

    votes: Votes
    features: Float32[np.ndarray, "view galaxy feature"]  # the encoder's, that of a prediction first
    fractions: Float32[np.ndarray, "galaxy own"]  # what the network itself answers
    others: Float32[np.ndarray, "view other feature"]  # features of images without a label

    @property
    def classes(self) -> bool:
        """Whether each label is one class."""
        return self.votes.form == "class"


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head on the features of a network as it is, and what such heads say of galaxies they did not learn.

    The heads are on the encoder's own features: of each part of the galaxies the one that learned from the
    others, then the one that learned from all.
    """

    known: Known  # scaled features and labels
    heads: tuple[Head, ...]
    found: crossfit.OutOfFold  # out-of-fold predictions


@dataclass(frozen=True, eq=False)
class Learned:
    """A model with its calibration, and how well it does."""

    folder: Path  # of the saved network whose encoder it has
    head: Head  # on the encoder's own features
    calibration: Calibration
    measured: dict[str, Any]  # what its card says of the calibration
    result: Finetuned  # its numbers; the folder is yet to be filled in
    sets: np.ndarray | None  # which classes each galaxy may have; None of fractions


def gather(
    predictor: Predictor,
    pictures: Sources,
    votes: Votes,
    views: int,
    settings: Settings,
    report: Callable[[str], None],
    on_progress: OnProgress | None,
) -> Data:
    """Look at images with and without a label, in so many views, as `look` does."""
    looked = look(predictor, pictures, spread_views(views), settings, on_progress)
    place = {id_: row for row, id_ in enumerate(looked.ids)}
    seen = votes.select(np.array([id_ in place for id_ in votes.ids]))
    if looked.failures:
        id_, first = next(iter(looked.failures.items()))
        report(f"{len(looked.failures):,} images cannot be used, first of them {id_}: {first.reason}")
        refuse_few(seen)
    rows = np.array([place[id_] for id_ in seen.ids])
    rest = np.setdiff1d(np.arange(len(looked.ids)), rows)
    return Data(seen, looked.features[:, rows], looked.fractions[rows], looked.features[:, rest])


def fit_heads(data: Data, parent: Path) -> HeadFit:
    """Learn labels by a head alone, of all galaxies and without each part of them.

    Features are those of the model in the folder `parent`.
    """
    every = np.concatenate([data.features, data.others], axis=1).reshape(-1, data.features.shape[2])
    scaling = Scaling.fit(every, answer_directions(parent, every))
    counts = None if data.classes else data.votes.counts
    features = scaling.apply(data.features)
    known = Known.of(data.votes.tree, features, data.votes.fractions, counts, scaling.answers)
    heads = list[Head]()

    def fit(part: Known) -> Head:
        heads.append(fit_head(part, near=heads[-1].strengths if heads else None))
        return heads[-1]

    found = crossfit.leave_out(known, fit=fit)
    fit(known)
    plain = np.ones(len(known.tree.questions))
    return HeadFit(known, tuple(head.unscaled(scaling, plain) for head in heads), found)


def judge(
    predictor: Predictor, parent: Path, data: Data, fitted: HeadFit, trained: Trained | None
) -> Learned:
    """Calibrate and score what was learned of a model in the folder `parent`.

    `trained` is the whole network, if it was trained and is to be kept.
    """
    known, actual = fitted.known, data.votes.fractions
    if trained is None:
        folder, found, head, features = parent, fitted.found, fitted.heads[-1], data.features[0]
        distances = crossfit.measure_distances(found, [features] * (len(fitted.heads) - 1))
    else:
        folder, found, head, features = trained.folder, trained.found, trained.head, trained.features
        distances = trained.distances
    calibration, measured = crossfit.calibrate(
        known, found, actual, features, distances, classes=data.classes
    )
    return Learned(
        folder=folder,
        head=head.softened(fit_temperatures(known, found.logits)),
        calibration=calibration,
        measured={
            "galaxies": len(data.votes),
            "galaxies_sha256": data.votes.digest(),
            **describe(measured, crossfit.FALSE_ALARMS),
        },
        result=replace(_judge(predictor, data, known, found), mode="head" if trained is None else "full"),
        sets=crossfit.cross_sets(found, actual) if data.classes else None,
    )


def compare(data: Data, fitted: HeadFit, trained: Trained) -> tuple[dict[str, Score], str]:
    """Return by how much a network that was trained whole is better than a head alone, also in a sentence."""
    predicted = trained.found.fractions, fitted.found.fractions
    gains = compare_scores(fitted.known, *predicted, data.votes.fractions, classes=data.classes)
    named = {"log_loss": "log loss", "roc_auc": "ROC AUC", "rmse": "RMSE"}
    parts = (
        f"{name} by {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        for key, name in named.items()
        if (gain := gains.get(key)) is not None
    )
    return gains, f"Training the whole network changes {' and '.join(parts)} against a head alone."


def _judge(predictor: Predictor, data: Data, known: Known, found: crossfit.OutOfFold) -> Finetuned:
    """Score out-of-fold predictions, and what they are to be better than."""
    tree, actual, predicted = known.tree, data.votes.fractions, found.fractions
    score = partial(measure_scores, known, actual=actual, classes=data.classes)
    nearest, answers = baselines.nearest_answers(known, predictor.tree, data.fractions)
    frequent = baselines.most_frequent(known)
    metric = "roc_auc" if data.classes else "rmse"
    curve = learning_curve(known, actual, metric, classes=data.classes)
    low, high = crossfit.cross_intervals(found, actual)
    classes = range(len(tree))
    return Finetuned(
        folder=Path(),
        tree=tree,
        ids=data.votes.ids,
        actual=actual,
        out_of_fold=predicted,
        low=low,
        high=high,
        scores=score(predicted=predicted),
        baselines={
            "most frequent class" if data.classes else "mean": score(predicted=frequent),
            f"{predictor.card.name}: {', '.join(answers)}": score(predicted=nearest.fractions),
        },
        confusion=confusion_matrix(actual.argmax(axis=1), predicted.argmax(axis=1), labels=classes)
        if data.classes
        else None,
        metric=metric,
        curve=curve,
        advice=advise(curve, metric, higher=data.classes),
        mislabelled=find_mislabelled(tree, data.votes.ids, actual, predicted) if data.classes else (),
        numbers=None if tree.number is None else _numbers(found, known, actual),
    )


def _numbers(found: crossfit.OutOfFold, known: Known, actual: np.ndarray) -> Numbers:
    """Return labels that are numbers, and what heads say of them that did not learn from the galaxy."""
    tree = known.tree
    ends = crossfit.cross_intervals(found, actual, partial(NumberIntervals.fit, tree))
    columns = [expected_numbers(tree, one) for one in (actual, found.fractions)]
    return Numbers(*(column[:, 0] for column in (*columns, *ends)))
