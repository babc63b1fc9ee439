"""From what surveys publish of each question, conditional fractions or counts, to cumulative fractions.

What published tables hold:

- Fractions are rounded to three digits or so, so a question's sum is within 0.002 of 1.
- Debiased fractions are corrected answer by answer, so a question's sum is 1 only after division by it.
- Weighted fractions and counts do not follow from one another.
- A question that nobody answered, or nobody of any weight, has zeros or nothing. Where the tree says that
  somebody was asked it all the same, its fractions are unknown.
"""

import numpy as np
from jaxtyping import Bool, Float

from galvote.trees import DecisionTree, Form, asked_share, to_cumulative
from galvote.trees.fractions import TOLERANCE

ROUNDING = 0.005
"""How far the published fractions of a question may sum from 1: ten times half a digit in the third place."""


HARDLY_ASKED = 0.02
"""Share of the volunteers of whom one alone is more: what such a question's zeros mean is not known."""


def sum_tolerance(
    tree: DecisionTree, cumulative: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, " question"]:
    """Return how far each question's sum may be from the share that was asked.

    Of numbers that are all rounded to three digits, each of the sum's and of the share's may be off by half a
    digit.
    """
    thousandths = 1000 * cumulative[np.isfinite(cumulative)]
    half = 0.0005 if np.allclose(thousandths, np.rint(thousandths), rtol=0, atol=1e-4) else 0.0
    added = [len(question.answers) + len(tree.parents[question.name]) for question in tree.questions]
    return TOLERANCE + half * np.array(added)


def forget_unanswered(
    tree: DecisionTree,
    cumulative: Float[np.ndarray, "galaxy answer"],
    tolerance: Float[np.ndarray, " question"],
) -> Float[np.ndarray, "galaxy answer"]:
    """Return fractions with NaN for zeros that break the tree, of questions that hardly anybody was asked."""
    cumulative = cumulative.copy()
    asked = asked_share(tree, cumulative)
    for i, columns in enumerate(tree.slices.values()):
        unanswered = (cumulative[:, columns] == 0).all(axis=1)
        unanswered &= (asked[:, i] > tolerance[i]) & (asked[:, i] < HARDLY_ASKED)
        cumulative[unanswered, columns] = np.nan
    return cumulative


def published_to_conditional(
    tree: DecisionTree, values: Float[np.ndarray, "galaxy answer"], form: Form
) -> tuple[Float[np.ndarray, "galaxy answer"], Bool[np.ndarray, "galaxy question"]]:
    """Make each question's published numbers sum to 1, NaN where there are none.

    Also returned is which are wrong: negative, infinite, or fractions whose sum is not 1 within `ROUNDING`.
    """
    conditional = np.full(values.shape, np.nan)
    wrong = np.zeros((len(values), len(tree.questions)), dtype=bool)
    for i, columns in enumerate(tree.slices.values()):
        votes = values[:, columns]
        wrong[:, i] = (votes < 0).any(axis=1) | np.isinf(votes).any(axis=1)
        # An infinite number is wrong already; its sum and quotient need no warning.
        with np.errstate(invalid="ignore"):
            total = votes.sum(axis=1, keepdims=True)
            if form in ("weighted", "fraction"):
                wrong[:, i] |= ((total > 0) & (np.abs(total - 1) > ROUNDING))[:, 0]
            np.divide(votes, total, out=conditional[:, columns], where=total > 0)
    return conditional, wrong


def known_to_cumulative(
    tree: DecisionTree, conditional: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Return cumulative fractions: 0 where nobody was asked, NaN where the answers of some are unknown."""
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
