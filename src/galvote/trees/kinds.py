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
    """One galaxy's kind, and the share of all volunteers, in [0, 1], who gave the answer that makes it so."""

    kind: Kind
    fraction: float

    @property
    def label(self) -> str:
        """The kind and the fraction: ``spiral 0.87``."""
        return f"{self.kind.name} {self.fraction:.2f}"


def name_kind(tree: DecisionTree, fractions: Float[np.ndarray, " answer"]) -> Finding:
    """Return the kind of one galaxy: the first of the tree's kinds that its decision path passes through.

    It is the answer to the first question where the path passes through no kind's.
    """
    passed = [step.answer for step in decision_path(tree, fractions)]
    if not passed:
        raise TreeError(
            f"These fractions lead nowhere in the tree {tree.name!r}; check that they are cumulative "
            "fractions of all its columns."
        )
    labels = [answer.label for answer in passed]
    root = Kind(passed[0].phrase, passed[0].label)
    kind = next((kind for kind in tree.kinds if kind.answer in labels), root)
    return Finding(kind, float(fractions[tree.labels.index(kind.answer)]))


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
