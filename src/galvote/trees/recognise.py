"""Which tree a table's columns are of, and trees that are made of labels."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from galvote.errors import CatalogueError
from galvote.trees.decision_tree import DecisionTree
from galvote.trees.files import list_trees, load_tree
from galvote.trees.questions import FORMS, Answer, Question


def find_tree(columns: Sequence[str], path: str | Path) -> DecisionTree:
    """Return the shipped tree of whose answers a table has most columns, in any published form.

    Parameters
    ----------
    columns, path
        Names of the table's columns; its path, for the message.

    Raises
    ------
    CatalogueError
        If the table has no column of any shipped tree; the message names columns that come near.
    """
    there, trees = set(columns), [load_tree(name) for name in list_trees()]
    best = max(trees, key=lambda tree: len(there & published(tree)))
    if there & published(best):
        return best
    near = [f"{name!r} is nearly {like!r}" for name, like in near_columns(columns).items()]
    raise CatalogueError(
        f"{path} has no column of votes of a tree that galvote knows"
        + (f" ({'; '.join(near)})" if near else "")
        + f": its columns are {', '.join(columns[:8])}{' …' if len(columns) > 8 else ''}. Name the tree with "
        f"--tree (tree=): one of {', '.join(list_trees())}, or a TOML file of your own."
    )


def near_columns(columns: Sequence[str], tree: DecisionTree | None = None) -> dict[str, str]:
    """Return at most three columns that may be misspelt, each with the tree's column that it is nearly.

    Parameters
    ----------
    columns
        Names of a table's columns.
    tree
        Whose columns they may be; those of all shipped trees if not given.
    """
    trees = [load_tree(name) for name in list_trees()] if tree is None else [tree]
    known = sorted({column for one in trees for column in published(one)})
    near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.8) for name in columns[:40]}
    return dict([(name, like[0]) for name, like in near.items() if like and like[0] != name][:3])


def published(tree: DecisionTree) -> set[str]:
    """Return the columns of a tree in all published forms."""
    return {column for form in FORMS for column in tree.published_columns(form) if column}


def class_tree(name: str, classes: Sequence[str]) -> DecisionTree:
    """Return a tree of one question, the answers to which are classes; their columns are ``NAME_CLASS``.

    Parameters
    ----------
    name
        What is classified, as the name of the column of classes says it: ``bar``.
    classes
        The classes, two or more: ``bar``, ``no bar``.

    Raises
    ------
    TreeError
        If there are fewer than two classes, or two are the same but for blanks and punctuation.
    """
    answers = tuple(
        Answer(name=each, column=f"{_word(name)}_{_word(each)}", label=_word(each)) for each in classes
    )
    return DecisionTree(name, (Question(name, f"{name}?", answers),), title=f"Classes of the column {name!r}")


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text.strip())
