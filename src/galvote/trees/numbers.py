"""Numbers as answers: shares of answers whose values are known, and the number that is their mean."""

import numpy as np
from jaxtyping import Float

from galvote.trees.decision_tree import DecisionTree
from galvote.trees.fractions import to_conditional
from galvote.trees.questions import Question


def expected_numbers(
    tree: DecisionTree, cumulative: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy number"]:
    """Return the mean of the answers' values for each question whose answers are numbers.

    Parameters
    ----------
    tree, cumulative
        The questions, and cumulative fractions in ``tree.columns`` order.

    Returns
    -------
    In the questions' units, in ``tree.numbers`` order; NaN where a fraction is unknown or nobody is asked.
    """
    shares = to_conditional(tree, np.asarray(cumulative, np.float64))
    means = [shares[:, tree.slices[question.name]] @ question.values for question in tree.numbers]
    return np.stack(means, axis=1) if means else np.zeros((len(shares), 0))


def number_ends(tree: DecisionTree) -> tuple[Float[np.ndarray, " number"], Float[np.ndarray, " number"]]:
    """Return the lowest and the highest value of each question whose answers are numbers.

    Parameters
    ----------
    tree
        The questions.
    """
    low, high = ([question.values[place] for question in tree.numbers] for place in (0, -1))
    return np.array(low), np.array(high)


def share_numbers(
    question: Question, numbers: Float[np.ndarray, " galaxy"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Share each number between the two answers whose values are next to it, so that it is their mean.

    Parameters
    ----------
    question
        Its answers are numbers.
    numbers
        In the question's unit. Those beyond the first or the last value are taken for that value.

    Returns
    -------
    Shares that sum to 1; NaN where the number is.
    """
    values = np.array(question.values)
    place = np.interp(numbers, values, np.arange(len(values)))[:, None]
    return np.asarray(np.maximum(1 - np.abs(place - np.arange(len(values))), 0))
