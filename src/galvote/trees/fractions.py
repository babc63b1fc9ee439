"""Vote fractions down a decision tree: conditional, cumulative, and whether they can be true.

A *conditional* fraction is a share of the volunteers who were asked the question, so a question's answers sum
to 1. A *cumulative* fraction is a share of all volunteers, the conditional fraction times the share that was
asked, as the Kaggle *Galaxy Challenge* publishes it (Willett et al. 2013, MNRAS 435, 2835).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from galvote.errors import FractionError
from galvote.trees.decision_tree import DecisionTree
from galvote.trees.questions import Answer, Question

EVEN = 2 / 3
"""Where a tie is possible, an answer with this share of the leading one's votes is about even: 40 to 60."""

TOLERANCE = 1e-4
"""How far a question's fractions may be from their sum. Published tables are rounded to about 2e-6."""


def asked_share(
    tree: DecisionTree, cumulative: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy question"]:
    """Return the share of volunteers that each question was put to, in ``tree.questions`` order.

    It is 1 for the root and for questions that are always asked, otherwise the sum of the answers that lead
    there; NaN where one of those is NaN.

    Parameters
    ----------
    tree
        The questions.
    cumulative
        Cumulative fractions in [0, 1], in ``tree.columns`` order; NaN where unknown.
    """
    shares = np.ones((len(cumulative), len(tree.questions)), dtype=np.float64)
    for i, question in enumerate(tree.questions):
        parents = tree.parents[question.name]
        if parents and not question.always_asked:
            shares[:, i] = cumulative[:, parents].sum(axis=1)
    return shares


def to_cumulative(
    tree: DecisionTree, conditional: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Return each question's fractions times the share of volunteers that were asked it.

    The weight of a question is the sum of the cumulative fractions of the answers that lead to it. Question 6
    of the challenge keeps weight 1 (`Question.always_asked`).

    Parameters
    ----------
    tree
        The questions.
    conditional
        Fractions in [0, 1] that sum to 1 within each question, in ``tree.columns`` order. A question that
        nobody was asked may be NaN.

    Raises
    ------
    FractionError
        If a question that somebody was asked does not sum to 1 within 1e-4, or a fraction is not in [0, 1].
    """
    cumulative = np.zeros(conditional.shape, dtype=np.float64)
    for question in tree.asking_order:
        columns, parents = tree.slices[question.name], tree.parents[question.name]
        asked = (
            cumulative[:, parents].sum(axis=1)
            if parents and not question.always_asked
            else np.ones(len(conditional))
        )
        fractions = conditional[:, columns]
        # `not (x <= y)` rather than `x > y`, so that NaN counts as wrong.
        wrong = ~(np.abs(fractions.sum(axis=1) - 1) <= TOLERANCE) | ~_in_range(fractions).all(axis=1)
        wrong &= asked > TOLERANCE
        if wrong.any():
            rows = np.flatnonzero(wrong)
            raise FractionError(
                f"Question {question.name!r} has conditional fractions that do not sum to 1 for {len(rows)} "
                f"galaxies, first row {rows[0]}: {fractions[rows[0]].tolist()}; "
                "if they are cumulative already, they need no conversion."
            )
        cumulative[:, columns] = np.where(asked[:, None] > TOLERANCE, fractions * asked[:, None], 0)
    return cumulative


def to_conditional(
    tree: DecisionTree, cumulative: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, "galaxy answer"]:
    """Return each question's fractions divided by their sum.

    They are NaN where nobody was asked the question or an answer is unknown.

    Parameters
    ----------
    tree
        The questions.
    cumulative
        Fractions in [0, 1] in ``tree.columns`` order; NaN where unknown.
    """
    conditional = np.full(cumulative.shape, np.nan)
    for columns in tree.slices.values():
        fractions = np.asarray(cumulative[:, columns], dtype=np.float64)
        asked = fractions.sum(axis=1, keepdims=True)
        np.divide(fractions, asked, out=conditional[:, columns], where=asked > 0)
    return conditional


@dataclass(frozen=True)
class Violations:
    """Which galaxies have fractions that cannot be true, and where."""

    tree: DecisionTree
    out_of_range: Bool[np.ndarray, "galaxy answer"]  # where a known fraction is not in [0, 1]
    off_tree: Float[np.ndarray, "galaxy question"]  # |sum of the answers − share that was asked|
    tolerance: float | Float[np.ndarray, " question"]  # what off_tree may be

    @property
    def galaxies(self) -> Bool[np.ndarray, " galaxy"]:
        """True for each galaxy with any violation."""
        return np.asarray(self.out_of_range.any(axis=1) | (self.off_tree > self.tolerance).any(axis=1))

    def describe(self, row: int) -> str:
        """Return in words what is wrong with one galaxy; empty if nothing is."""
        said = [f"{self.tree.columns[i]} is not in [0, 1]" for i in np.flatnonzero(self.out_of_range[row])]
        for i in np.flatnonzero(self.off_tree[row] > self.tolerance):
            columns = [answer.column for answer in self.tree.questions[i].answers]
            off = f"{self.off_tree[row, i]:.4f}"
            said.append(f"{columns[0]}…{columns[-1]} sum {off} away from the share that was asked")
        return "; ".join(said)


def find_violations(
    tree: DecisionTree,
    cumulative: Float[np.ndarray, "galaxy answer"],
    tolerance: float | Float[np.ndarray, " question"] = TOLERANCE,
) -> Violations:
    """Return which galaxies' cumulative fractions are out of range or break the tree, and where.

    Parameters
    ----------
    tree
        The questions.
    cumulative
        In ``tree.columns`` order; NaN where unknown. Only questions with all their answers, and the answers
        that lead to them, known are held against the tree.
    tolerance
        How far each question's sum may be from the share of volunteers that were asked it.
    """
    known = ~np.isnan(cumulative)
    with np.errstate(invalid="ignore"):  # infinities, which are out of range anyway
        asked = asked_share(tree, cumulative)
        off_tree = np.zeros_like(asked)
        for i, question in enumerate(tree.questions):
            off_tree[:, i] = np.abs(cumulative[:, tree.slices[question.name]].sum(axis=1) - asked[:, i])
    return Violations(
        tree=tree,
        out_of_range=known & ~_in_range(cumulative),
        off_tree=np.nan_to_num(off_tree, nan=0.0, posinf=np.inf),
        tolerance=tolerance,
    )


@dataclass(frozen=True)
class Step:
    """One step of a decision path.

    Parameters
    ----------
    question, answer
        The question, and the answer that most volunteers gave.
    fraction
        Their share of those who were asked, in [0, 1].
    rivals
        Answers that are about even with it.
    sure
        Whether its interval excludes a tie with any other.
    number
        Mean of the answers' values, if they are numbers: then it is said in place of the answer.
    """

    question: Question
    answer: Answer
    fraction: float
    rivals: tuple[Answer, ...] = ()
    sure: bool = True
    number: float | None = None

    @property
    def text(self) -> str:
        """The answer in words, hedged: ``featured or smooth, about even``, ``probably barred``, ``T 3.2``."""
        if self.number is not None:
            return f"{self.question.name} {self.number:.3g} {self.question.unit or ''}".rstrip()
        if not self.rivals:
            return self.answer.phrase if self.sure else f"probably {self.answer.phrase}"
        *others, last = (one.phrase for one in (self.answer, *self.rivals))
        return f"{', '.join(others)} or {last}{'' if self.question.qualifies else ', about even'}"


def decision_path(
    tree: DecisionTree,
    cumulative: Float[np.ndarray, " answer"],
    low: Float[np.ndarray, " answer"] | None = None,
    high: Float[np.ndarray, " answer"] | None = None,
) -> tuple[Step, ...]:
    """Return one galaxy's steps down the tree, at each question along the answer with most votes.

    The path stops early where a question has no votes or is unknown. Where answers are about even, it goes on
    where the ways from them meet.

    Parameters
    ----------
    tree
        The questions.
    cumulative
        One galaxy's fractions in [0, 1], in ``tree.columns`` order.
    low, high
        Ends of their intervals; without them nothing is hedged.
    """
    return tuple(_walk(tree, tree.questions[0].name, cumulative, low, high))


def _walk(
    tree: DecisionTree,
    name: str | None,
    cumulative: Float[np.ndarray, " answer"],
    low: Float[np.ndarray, " answer"] | None = None,
    high: Float[np.ndarray, " answer"] | None = None,
) -> Iterator[Step]:
    while name is not None:
        question, columns = tree.question(name), tree.slices[name]
        fractions = np.asarray(cumulative[columns], dtype=np.float64)
        total = fractions.sum()
        if not total > 0:
            return
        best = int(fractions.argmax())
        if question.values:  # those about even are neighbours, and their mean says it
            number = float(fractions @ question.values / total)
            yield Step(question, question.answers[best], float(fractions[best] / total), number=number)
            name = question.answers[best].leads_to
            continue
        tied = np.zeros(len(fractions), bool)
        if low is not None and high is not None:
            tie = (fractions + fractions[best]) / 2
            tied = (tie >= low[columns][best]) & (tie <= high[columns])
            tied[best] = False
        even = [i for i in np.argsort(-fractions) if tied[i] and fractions[i] >= EVEN * fractions[best]]
        answer, *rivals = (question.answers[i] for i in (best, *even))
        yield Step(question, answer, float(fractions[best] / total), tuple(rivals), not tied.any())
        name = answer.leads_to
        if rivals:
            way, *others = (
                [step.question.name for step in _walk(tree, one.leads_to, cumulative)]
                for one in (answer, *rivals)
            )
            name = next((met for met in way if all(met in other for other in others)), None)


def describe_path(steps: Sequence[Step]) -> str:
    """Return a decision path in words: ``featured → not edge-on → no bar → spiral, loosely wound, 2 arms``.

    Parameters
    ----------
    steps
        The path.
    """
    said = ""
    for step in steps:
        joint = ", " if step.question.qualifies else " → "
        said += (joint if said else "") + step.text
    return said


def _in_range(fractions: Float[np.ndarray, "galaxy answer"]) -> Bool[np.ndarray, "galaxy answer"]:
    with np.errstate(invalid="ignore"):
        return np.asarray((fractions >= -TOLERANCE) & (fractions <= 1 + TOLERANCE))
