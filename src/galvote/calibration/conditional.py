"""Intervals of conditional fractions: shares of the volunteers who were asked the question.

Shares of few volunteers are noisy, so σ grows as the share of those who are asked falls, and questions that
hardly anybody is asked are left out. Only the prediction decides what is left out, so calibration galaxies
and new ones are chosen alike, and conformal prediction holds for those that remain.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from galvote.calibration.intervals import Intervals, Surprisal
from galvote.trees import DecisionTree, asked_share, to_conditional

LEAST_ASKED = 0.1
"""Predicted share of volunteers that must be asked a question; if fewer are, the interval is [0, 1]."""

Fractions = Float[np.ndarray, "galaxy answer"]


@dataclass(frozen=True, eq=False)
class ConditionalIntervals:
    """Calibrated intervals of the conditional fractions of one tree.

    Parameters
    ----------
    tree, intervals
        Whose answers the columns are; in units of σ, with a term for the share of volunteers that is asked.
    """

    tree: DecisionTree
    intervals: Intervals

    @classmethod
    def fit(
        cls,
        tree: DecisionTree,
        predicted: Fractions,
        actual: Fractions,
        surprisal: Surprisal | None = None,
    ) -> "ConditionalIntervals":
        """Return intervals calibrated on galaxies that the model was not trained on; see `Intervals.fit`.

        Parameters
        ----------
        tree, predicted
            The tree, and cumulative fractions in [0, 1] of its answers.
        actual
            What `known_conditional` returns.
        surprisal
            Of the images.
        """
        conditional = np.nan_to_num(to_conditional(tree, predicted))
        return cls(tree, Intervals.fit(conditional, actual, surprisal, _asked(tree, predicted)))

    def ends(
        self, predicted: Fractions, level: float, surprisal: Surprisal | None = None
    ) -> tuple[Fractions, Fractions]:
        """Return the lower and upper ends, in [0, 1], of each conditional fraction's interval.

        They are 0 and 1 where fewer than `LEAST_ASKED` are asked; NaN where there is no prediction.

        Parameters
        ----------
        predicted
            Cumulative fractions in [0, 1]; NaN where there is no prediction.
        level
            Share of the conditional fractions that the intervals are to hold, in (0, 1).
        surprisal
            Of the images.
        """
        conditional, asked = to_conditional(self.tree, predicted), _asked(self.tree, predicted)
        low, high = self.intervals.ends(np.nan_to_num(conditional), level, surprisal, asked)
        few = ~(asked >= LEAST_ASKED) | np.isnan(conditional)
        missing = np.isnan(predicted)
        low, high = np.where(few, 0, low), np.where(few, 1, high)
        return np.where(missing, np.nan, low), np.where(missing, np.nan, high)


def known_conditional(tree: DecisionTree, predicted: Fractions, actual: Fractions) -> Fractions:
    """Return the volunteers' conditional fractions that intervals are to hold.

    They are NaN where unknown, or where the question is predicted to be put to fewer than `LEAST_ASKED` of
    the volunteers.

    Parameters
    ----------
    tree
        Whose answers the columns are.
    predicted, actual
        Cumulative fractions in [0, 1], the model's and the volunteers'; these are NaN where unknown.
    """
    return np.where(_asked(tree, predicted) >= LEAST_ASKED, to_conditional(tree, actual), np.nan)


def _asked(tree: DecisionTree, predicted: Fractions) -> Fractions:
    """Return for each answer the predicted share of volunteers that its question is put to, above zero."""
    shares = np.repeat(
        asked_share(tree, predicted), [len(question.answers) for question in tree.questions], axis=1
    )
    return np.asarray(np.maximum(shares, 1e-6))  # NaN stays
