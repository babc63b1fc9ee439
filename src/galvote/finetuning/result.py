"""What came of learning a user's own labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from galvote.trees import DecisionTree

Mode = Literal["head", "full"]


class Score(NamedTuple):
    """A score.

    Parameters
    ----------
    value, low, high
        The score, and the ends of its central 95 % when galaxies are drawn again with replacement.
    """

    value: float
    low: float
    high: float


class Point(NamedTuple):
    """A point of a learning curve.

    Parameters
    ----------
    labels
        How many labelled galaxies were learned from.
    mean, low, high
        Mean score on galaxies that were not learned from, and the lowest and highest of the draws.
    """

    labels: int
    mean: float
    low: float
    high: float


class Doubt(NamedTuple):
    """A label that is probably wrong.

    Parameters
    ----------
    id
        Of the galaxy.
    given, suggested
        Its label, and the class that the model gives it.
    quality
        Of the label, in [0, 1]: the probability that a model gives it that did not learn from it.
    """

    id: str
    given: str
    suggested: str
    quality: float


class Numbers(NamedTuple):
    """Labels that are numbers, in their unit.

    Parameters
    ----------
    given
        The labels.
    predicted, low, high
        What a model predicts that did not learn from the galaxy, and the ends of its interval of level 0.9,
        calibrated on the galaxies of other folds.
    """

    given: Float[np.ndarray, " galaxy"]
    predicted: Float[np.ndarray, " galaxy"]
    low: Float[np.ndarray, " galaxy"]
    high: Float[np.ndarray, " galaxy"]

    @property
    def held(self) -> Score:
        """Share of the labels that lie in their interval, but for rounding."""
        room = 1e-9 * np.ptp(self.given)
        share = float(((self.given >= self.low - room) & (self.given <= self.high + room)).mean())
        # The number of hits among galaxies that are drawn again is binomial.
        drawn = np.random.default_rng(0).binomial(len(self.given), share, 1000) / len(self.given)
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Score(share, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Finetuned:
    """A model that learned a user's own labels, and how well it does on galaxies that it did not learn from.

    Parameters
    ----------
    folder
        Of the model.
    tree
        The questions that the labels answer.
    ids
        Of the labelled galaxies that have an image.
    actual
        Their labels as cumulative fractions, in ``tree.columns`` order; NaN where unknown.
    out_of_fold
        What models that did not learn from a galaxy predict of it: calibrated cumulative fractions.
    low, high
        Ends of their intervals of level 0.9, calibrated on the galaxies of other folds.
    scores
        By name (``roc_auc``, ``average_precision``, ``accuracy``, ``log_loss``, ``brier``,
        ``calibration_error``, ``rmse``, ``mae``, ``r2``, ``rank_correlation``), of `out_of_fold`; those that
        such labels have. ``rmse`` and ``mae`` of numbers are in their unit.
    baselines
        The same scores of predictions that took no training: by ``most frequent class`` (``mean`` of
        fractions), and by the original model's closest answer.
    confusion
        How many galaxies of each class (row) are predicted to be of which (column); ``None`` of other labels.
    metric
        Which of the scores the curve shows.
    curve
        That score against the number of labels.
    advice
        Whether more labels would help, in a sentence.
    mislabelled
        Classes that are probably wrong, the worst first.
    numbers
        Labels that are numbers, and what is predicted; ``None`` of other labels.
        Labels that are probably wrong, the worst first.
    mode
        ``head`` if the encoder stayed as it was, ``full`` if the whole network was trained.
    gains
        By how much each score of the whole network is above that of a head alone, over the same galaxies
        drawn again; empty if no network was trained.
    comparison
        The same in a sentence.
    """

    folder: Path
    tree: DecisionTree
    ids: tuple[str, ...]
    actual: Float[np.ndarray, "galaxy answer"]
    out_of_fold: Float[np.ndarray, "galaxy answer"]
    low: Float[np.ndarray, "galaxy answer"]
    high: Float[np.ndarray, "galaxy answer"]
    scores: Mapping[str, Score]
    baselines: Mapping[str, Mapping[str, Score]]
    confusion: Int[np.ndarray, "given predicted"] | None
    metric: str
    curve: tuple[Point, ...]
    advice: str
    mislabelled: tuple[Doubt, ...]
    numbers: Numbers | None = None
    mode: Mode = "head"
    gains: Mapping[str, Score] = field(default_factory=dict)
    comparison: str = ""
