"""Which tree a table's columns are of, and trees that are made of labels."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from galvote.errors import CatalogueError, TreeError
from galvote.trees.decision_tree import DecisionTree
from galvote.trees.files import list_trees, load_tree
from galvote.trees.questions import FORMS, Answer, Question

MOST_BINS = 12
"""Answers of a question whose answers are numbers that a table gives."""


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
        f"--tree (tree=): one of {', '.join(list_trees())}, or a TOML file of your own. "
        "`galvote finetune` also takes a column of classes or numbers, if --column (column=) names it."
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


def number_tree(name: str, numbers: Float[np.ndarray, " galaxy"], unit: str | None = None) -> DecisionTree:
    """Return a tree of one question whose answers are numbers; their columns are ``NAME_bin_1`` and so on.

    Parameters
    ----------
    name
        What is measured, as the name of the column of numbers says it: ``t_type``.
    numbers
        Finite. The answers' values are at their quantiles, from the lowest to the highest: `MOST_BINS`, one
        for four numbers if they are few, or one for each if they are few different ones.
    unit
        As of a `Question`.

    Raises
    ------
    TreeError
        If all numbers are the same.
    """
    bins = min(MOST_BINS, max(2, len(numbers) // 4))
    values = np.unique(numbers)
    if len(values) > bins:
        values = np.unique(np.quantile(numbers, np.linspace(0, 1, bins)))
    if len(values) < 2:
        raise TreeError(
            f"All {len(numbers):,} numbers of {name!r} are the same: {', '.join(map(str, values))}."
        )
    digits = next(i for i in range(4, 18) if len({f"{value:.{i}g}" for value in values}) == len(values))
    answers = tuple(
        Answer(
            name=f"{value:.{digits}g}",
            text=f"{value:.{digits}g} {unit or ''}".rstrip(),
            phrase=f"about {value:.{digits}g} {unit or ''}".rstrip(),
            column=f"{_word(name)}_bin_{place}",
            label=f"bin_{place}",
            value=float(value),
        )
        for place, value in enumerate(values, start=1)
    )
    question = Question(name, f"{name}?", answers, unit=unit)
    return DecisionTree(name, (question,), title=f"Numbers of the column {name!r}")


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text.strip())
