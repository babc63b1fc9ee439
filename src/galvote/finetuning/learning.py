"""Learn a head from labels and features, and measure it on galaxies that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from galvote.finetuning.result import Finetuned, Numbers
from galvote.finetuning.scores import measure_scores
from galvote.inference.calibrate import describe
from galvote.inference.predictor import Predictor, Settings
from galvote.io import Sources
from galvote.labels import Votes
from galvote.trees import expected_numbers


@dataclass(frozen=True, eq=False)
class Data:
    """Labels, and what a network makes of their pictures.

    Parameters
    ----------
    votes
        Labels of galaxies whose picture can be read.
    features
        The encoder's, in several views, that of a prediction first.
    fractions
        What the network itself answers.
    others
        Features of pictures without a label.
    """

    votes: Votes
    features: Float32[np.ndarray, "view galaxy feature"]
    fractions: Float32[np.ndarray, "galaxy own"]
    others: Float32[np.ndarray, "view other feature"]

    @property
    def classes(self) -> bool:
        """Whether each label is one class."""
        return self.votes.form == "class"


@dataclass(frozen=True, eq=False)
class Learned:
    """A head with its calibration, and how well it does.

    Parameters
    ----------
    head
        On the encoder's own features.
    calibration, measured
        Of the model, and what its card says of them.
    result
        Its numbers; the folder is yet to be filled in.
    sets
        Which classes each galaxy may have; ``None`` of fractions.
    """

    head: Head
    calibration: Calibration
    measured: dict[str, Any]
    result: Finetuned
    sets: np.ndarray | None


def gather(
    predictor: Predictor,
    pictures: Sources,
    votes: Votes,
    views: int,
    settings: Settings,
    report: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None,
) -> Data:
    """Look at pictures with and without a label.

    Parameters
    ----------
    predictor, pictures, settings, on_progress
        As `look` takes them.
    votes
        Labels of some of the pictures.
    views
        How many views there are.
    report
        Is told how many pictures cannot be read.
    """
    looked = look(predictor, pictures, spread_views(views), settings, on_progress)
    place = {id_: row for row, id_ in enumerate(looked.ids)}
    seen = votes.select(np.array([id_ in place for id_ in votes.ids]))
    if looked.failures:
        id_, first = next(iter(looked.failures.items()))
        report(f"{len(looked.failures):,} pictures cannot be used, first of them {id_}: {first.reason}")
        refuse_few(seen)
    rows = np.array([place[id_] for id_ in seen.ids])
    rest = np.setdiff1d(np.arange(len(looked.ids)), rows)
    return Data(seen, looked.features[:, rows], looked.fractions[rows], looked.features[:, rest])


def learn_head(predictor: Predictor, data: Data) -> Learned:
    """Learn labels by a head alone.

    Parameters
    ----------
    predictor
        Whose encoder made the features.
    data
        What is learned.
    """
    tree, actual = data.votes.tree, data.votes.fractions
    every = np.concatenate([data.features, data.others], axis=1)
    scaling = Scaling.fit(every.reshape(-1, every.shape[2]))
    known = Known.of(tree, scaling.apply(data.features), actual, None if data.classes else data.votes.counts)
    found = crossfit.leave_out(known)
    temperatures = fit_temperatures(known, found.logits)
    calibration, measured = crossfit.calibrate(known, found, actual, data.features[0], classes=data.classes)
    return Learned(
        head=fit_head(known).unscaled(scaling, temperatures),
        calibration=calibration,
        measured={
            "galaxies": len(data.votes),
            "galaxies_sha256": data.votes.digest(),
            **describe(measured, crossfit.FALSE_ALARMS),
        },
        result=_judge(predictor, data, known, found),
        sets=crossfit.cross_sets(found, actual) if data.classes else None,
    )


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
            "most frequent class" if data.classes else "mean": score(predicted=frequent.fractions),
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
