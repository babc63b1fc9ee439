"""Votes on the questions of a model's own tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from galvote.errors import CatalogueError, TreeError
from galvote.io.positions import Positions
from galvote.labels import Votes, read_votes
from galvote.trees import DecisionTree


def read_votes_of(
    tree: DecisionTree,
    votes: Votes | str | Path | Sequence[str | Path],
    *,
    skip_invalid: bool = False,
    id_column: str | None = None,
    reference: Positions | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> Votes:
    """Read the votes on the questions of a tree, as `galvote.labels.read_votes` does.

    They may be read already; `TreeError` if they are of another tree.
    """
    if isinstance(votes, Votes):
        refuse_other_tree(votes.tree, tree, "The tree of the votes")
        return votes
    try:
        return read_votes(
            votes,
            tree,
            skip_invalid=skip_invalid,
            id_column=id_column,
            reference=reference,
            report=report,
        )
    except CatalogueError:
        with suppress(CatalogueError):
            others = read_votes(votes, skip_invalid=True, id_column=id_column, reference=reference)
            refuse_other_tree(others.tree, tree, "The tree of the votes")
        raise


def refuse_other_tree(tree: DecisionTree | None, own: DecisionTree, what: str) -> None:
    """Raise `TreeError` unless a tree, if there is one, asks the same questions as that of the predictions.

    `what` is how the message begins: ``The tree of the votes``.
    """
    if tree is not None and (tree.columns, tree.slices) != (own.columns, own.slices):
        raise TreeError(
            f"{what}, {tree.name!r}, is not that of the predictions, {own.name!r}; only votes on the same "
            "questions can be compared. Choose other votes, or a model that was trained on such votes."
        )
