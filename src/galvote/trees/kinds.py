"""What kind of galaxy each one is, in a word, and which ones stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from galvote.errors import TreeError
from galvote.trees import DecisionTree, decision_path


@dataclass(frozen=True)
class Kind:
    """A word for the galaxies whose decision path passes through one answer.

    Parameters
    ----------
    name
        The word.
    column
        The answer's column; its cumulative fraction says how clear a case a galaxy is.
    colour
        Which the pictures give it, on black.
    """

    name: str
    column: str
    colour: str


KINDS = (
    Kind("star", "Class1.3", "#9aa4b2"),
    Kind("merger", "Class8.6", "#ff5d73"),
    Kind("disturbed", "Class8.3", "#ff8f6b"),
    Kind("irregular", "Class8.4", "#e5989b"),
    Kind("ring", "Class8.1", "#f9a8d4"),
    Kind("spiral", "Class4.1", "#4cc9f0"),
    Kind("edge-on", "Class2.1", "#b79cff"),
    Kind("disc", "Class2.2", "#5eead4"),
    Kind("cigar", "Class7.3", "#d3e372"),
    Kind("oval", "Class7.2", "#f6bd60"),
    Kind("round", "Class7.1", "#ffd98e"),
)
"""Kinds of galaxies by the Galaxy Zoo 2 tree; a galaxy is the first that its path passes through."""


@dataclass(frozen=True)
class Finding:
    """One galaxy's kind, and the share of all volunteers who gave the answer that makes it so, in [0, 1]."""

    kind: Kind
    fraction: float

    @property
    def label(self) -> str:
        """The kind and the fraction: ``spiral 0.87``."""
        return f"{self.kind.name} {self.fraction:.2f}"


def name_kind(tree: DecisionTree, fractions: Float[np.ndarray, " answer"]) -> Finding:
    """Name the kind of one galaxy.

    Parameters
    ----------
    tree
        One that has the columns of `KINDS`.
    fractions
        Cumulative fractions in [0, 1], in ``tree.columns`` order, none of them unknown.

    Raises
    ------
    TreeError
        If the decision path passes through no kind's answer.
    """
    passed = {step.answer.column for step in decision_path(tree, fractions)}
    for kind in KINDS:
        if kind.column in passed:
            return Finding(kind, float(fractions[tree.columns.index(kind.column)]))
    raise TreeError(
        f"These fractions lead through no answer of the tree {tree.name!r} that makes a kind of galaxy; "
        "check that they are cumulative fractions of all its columns."
    )


def strongest_first(findings: Sequence[Finding]) -> tuple[int, ...]:
    """Order galaxies so that the clearest of each kind come first, then the second clearest, and so on.

    Returns
    -------
    Row numbers: within each round of the kinds, the largest fraction first.
    """
    rounds = list[tuple[int, float, int]]()
    seen = dict[str, int]()
    for row in sorted(range(len(findings)), key=lambda row: -findings[row].fraction):
        name = findings[row].kind.name
        rounds.append((seen.get(name, 0), -findings[row].fraction, row))
        seen[name] = seen.get(name, 0) + 1
    return tuple(row for _, _, row in sorted(rounds))
