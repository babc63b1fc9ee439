"""The Galaxy Zoo 2 survey's own tables: vote counts and conditional fractions for each answer.

The columns are those of Willett et al. 2013 (MNRAS 435, 2835) and Hart et al. 2016 (MNRAS 461, 3663):
``<stem>_count`` and ``<stem>_fraction`` (`Answer.columns`). What the published tables hold:

- Fractions are rounded to three digits, so a question's sum is within 0.002 of 1.
- Fractions are weighted by how well a volunteer agrees with the others, while counts are not, so the one does
  not follow from the other. The challenge's fractions are weighted too: fractions are taken where they are
  given, counts only where they are not.
- A question that nobody answered, or nobody of any weight, has zeros. Where the tree says that somebody was
  asked it all the same, its fractions are unknown.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from galvote.trees import DecisionTree, asked_share, to_cumulative
from galvote.trees.fractions import TOLERANCE

ROUNDING = 0.005
"""How far the published fractions of a question may sum from 1: ten times half a digit in the third place."""


def survey_to_conditional(
    tree: DecisionTree,
    fractions: Float[np.ndarray, "galaxy answer"],
    counts: Float[np.ndarray, "galaxy answer"],
) -> tuple[Float[np.ndarray, "galaxy answer"], Bool[np.ndarray, "galaxy question"]]:
    """Make each question's published fractions, or else its counts, sum to 1.

    Parameters
    ----------
    fractions
        Conditional, as published, in ``tree.columns`` order; NaN where unknown.
    counts
        Votes; NaN where unknown.

    Returns
    -------
    conditional
        NaN for a question without votes.
    wrong
        True where a question has fractions that do not sum to 1 within `ROUNDING`, or negative numbers.
    """
    conditional = np.full(fractions.shape, np.nan)
    wrong = np.zeros((len(fractions), len(tree.questions)), dtype=bool)
    for i, columns in enumerate(tree.slices.values()):
        given = ~np.isnan(fractions[:, columns]).any(axis=1, keepdims=True)
        votes = np.where(given, fractions[:, columns], counts[:, columns])
        # An infinite number is wrong below; its sum and quotient need no warning.
        with np.errstate(invalid="ignore"):
            total = votes.sum(axis=1, keepdims=True)
            off = given & (total != 0) & ~(np.abs(total - 1) <= ROUNDING)
            wrong[:, i] = off[:, 0] | (votes < 0).any(axis=1) | np.isinf(votes).any(axis=1)
            np.divide(votes, total, out=conditional[:, columns], where=total > 0)
    return conditional, wrong


def known_to_cumulative(
    tree: DecisionTree, conditional: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Convert to cumulative fractions; a question that is unknown makes those that depend on it unknown too.

    Parameters
    ----------
    conditional
        Fractions that sum to 1 within each question; NaN where unknown or not asked.

    Returns
    -------
    Cumulative fractions: 0 where nobody was asked, NaN where somebody was but the answers are unknown.
    """
    unknown, filled = np.isnan(conditional), conditional.copy()
    for columns in tree.slices.values():
        filled[np.isnan(filled[:, columns]).any(axis=1), columns] = 1 / (columns.stop - columns.start)
    cumulative = to_cumulative(tree, filled)
    for question in tree.asking_order:
        columns = tree.slices[question.name]
        asked = asked_share(tree, cumulative)[:, tree.questions.index(question)]
        lost = np.isnan(asked) | (unknown[:, columns].any(axis=1) & (asked > TOLERANCE))
        cumulative[lost, columns] = np.nan
    return cumulative
