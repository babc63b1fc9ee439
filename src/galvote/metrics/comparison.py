"""The arrays that every metric is given."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from galvote.errors import FractionError
from galvote.trees import DecisionTree


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted and voted fractions of the same galaxies.

    Parameters
    ----------
    tree
        The tree whose answers are compared.
    predicted
        Cumulative fractions in [0, 1], in ``tree.columns`` order.
    actual
        The volunteers' fractions, same order; NaN where unknown. Unknown votes count nowhere.
    mean
        Mean votes of the galaxies that the model was trained on, in [0, 1]; that of `actual` if not given.
    low, high
        Ends of predicted intervals in [0, 1], NaN where there is none; ``None`` if none are predicted.

    Raises
    ------
    FractionError
        If no vote is known, or a prediction (or `mean`) is missing where a vote is known.
    """

    tree: DecisionTree
    predicted: Float[np.ndarray, "galaxy answer"]
    actual: Float[np.ndarray, "galaxy answer"]
    mean: Float[np.ndarray, " answer"] | None = None
    low: Float[np.ndarray, "galaxy answer"] | None = None
    high: Float[np.ndarray, "galaxy answer"] | None = None

    def __post_init__(self) -> None:
        if not self.known.any():
            raise FractionError("No vote is known, so there is nothing to score; check the votes' columns.")
        missing = (self.known & ~np.isfinite(self.predicted)).any(axis=1)
        if missing.any():
            raise FractionError(
                f"{int(missing.sum())} galaxies have votes but no finite prediction, first row "
                f"{int(missing.argmax())}; leave them out before scoring."
            )
        if self.mean is not None and not np.isfinite(self.mean[self.scored_columns]).all():
            raise FractionError(
                "The mean votes are unknown for a scored column; leave `mean` out to use the scored votes'."
            )

    @cached_property
    def known(self) -> Bool[np.ndarray, "galaxy answer"]:
        """Which votes are known."""
        return np.asarray(np.isfinite(self.actual))

    @property
    def scored_galaxies(self) -> Bool[np.ndarray, " galaxy"]:
        """Which galaxies have a known vote."""
        return np.asarray(self.known.any(axis=1))

    @property
    def scored_columns(self) -> Bool[np.ndarray, " answer"]:
        """Which columns have a known vote."""
        return np.asarray(self.known.any(axis=0))
