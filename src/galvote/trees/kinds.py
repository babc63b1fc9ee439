"""What kind of galaxy each one is, in a word, and which ones stand out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from galvote.errors import TreeError
from galvote.trees.decision_tree import DecisionTree
from galvote.trees.fractions import decision_path
from galvote.trees.questions import Kind


@dataclass(frozen=True)
class Finding:
    """One galaxy's kind, and the share of all volunteers, in [0, 1], who gave the answer that makes it so.

    The share is 0 if the kind is `UNKNOWN`. Where answers are numbers, the kind is the question, and `number`
    says their mean: ``T 3.2``.
    """

    kind: Kind
    fraction: float
    number: str = ""

    @property
    def name(self) -> str:
        """The kind in words, or the number: ``spiral``, ``T 3.2``."""
        return self.number or self.kind.name

    @property
    def label(self) -> str:
        """The kind and the fraction, or the number: ``spiral 0.87``, ``T 3.2``."""
        return self.name if self.number or not self.fraction else f"{self.name} {self.fraction:.2f}"


UNKNOWN = Finding(Kind("unknown", ""), 0.0)
"""Of a galaxy that is out of distribution."""


def name_kind(
    tree: DecisionTree,
    fractions: Float[np.ndarray, " answer"],
    low: Float[np.ndarray, " answer"] | None = None,
    high: Float[np.ndarray, " answer"] | None = None,
) -> Finding:
    """Return the kind of one galaxy: the first of the tree's kinds that its decision path passes through.

    An answer that others are about even with, or that is a number, makes no kind. Where no answer does, the
    kind is that to the first question, or the two that are about even there: ``smooth or featured``.
    """
    path = decision_path(tree, fractions, low, high)
    if not path:
        raise TreeError(
            f"These fractions lead nowhere in the tree {tree.name!r}; check that they are cumulative "
            "fractions of all its columns."
        )
    decided = [step.answer.label for step in path if not step.rivals and step.number is None]
    kind = next((kind for kind in tree.kinds if kind.answer in decided), None)
    number = ""
    if kind is None and path[0].number is not None:
        kind, number = Kind(path[0].question.name, path[0].answer.label), path[0].text
    elif kind is None:
        even = (path[0].answer, *path[0].rivals)
        first = [answer for answer in tree.questions[0].answers if answer in even]
        kind = Kind(" or ".join(answer.phrase for answer in first), first[0].label)
    return Finding(kind, float(fractions[tree.labels.index(kind.answer)]), number)


def strongest_first(findings: Sequence[Finding]) -> tuple[int, ...]:
    """Order galaxies so that the clearest of each kind come first, then the second clearest, and so on.

    Within each round of the kinds the largest fraction comes first.
    """
    rounds = list[tuple[int, float, int]]()
    seen = dict[str, int]()
    for row in sorted(range(len(findings)), key=lambda row: -findings[row].fraction):
        name = findings[row].kind.name
        rounds.append((seen.get(name, 0), -findings[row].fraction, row))
        seen[name] = seen.get(name, 0) + 1
    return tuple(row for _, _, row in sorted(rounds))
