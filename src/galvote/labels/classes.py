"""Classes of galaxies, and other labels in words, by id."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.columns import (
    ID_COLUMNS,
    cast_to_text,
    find_column,
    first_column,
    is_text,
    list_names,
    refuse_repeated_ids,
)
from galvote.io.matching import with_ids
from galvote.io.positions import Positions
from galvote.io.tables import read_table
from galvote.labels.votes import Votes
from galvote.trees import DecisionTree, class_tree

MOST = 50
"""Classes that a column may have; with more, it is taken for something else."""

CLASS_COLUMNS = ("class", "label", "target", "ans")
"""Names of columns whose whole numbers are classes, as Galaxy10's ``ans``."""


def read_labels(
    path: str | Path,
    column: str | None = None,
    *,
    id_column: str | None = None,
    reference: Positions | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> dict[str, str]:
    """Read one column of a table by id: a hard class, or the split a galaxy belongs to.

    Parameters
    ----------
    path
        A CSV, Parquet, FITS or VOTable file.
    column
        Its name; not needed if the table has just one beside the ids.
    id_column, reference
        As for `read_votes`.
    report
        Is told where the ids are from, or how many rows match by position.

    Returns
    -------
    The column's value as text by id, without the galaxies that have none.

    Raises
    ------
    CatalogueError
        If the file cannot be read, there is no such column, or an id occurs twice.
    """
    path = Path(path)
    table, ids = with_ids(read_table(path), path, id_column, reference, report)
    named = first_column(table.column_names, ID_COLUMNS, path, id_column)
    others = [name for name in table.column_names if name != named]
    if column is None and len(others) == 1:
        column = others[0]
    if column not in others:
        asked = (
            "has several columns; say which one to read" if column is None else f"has no column {column!r}"
        )
        raise CatalogueError(f"{path} {asked}. Its columns are {list_names(others)}.")
    refuse_repeated_ids(ids, path)
    values = cast_to_text(table[column], f"`{column}`", path).to_pylist()
    return {id_: value for id_, value in zip(ids, values, strict=True) if value is not None}


def class_columns(
    table: pa.Table, path: Path, id_column: str | None = None, column: str | None = None
) -> tuple[str, ...]:
    """Return the columns that may hold classes: that which is named, or those of few words, or the only one.

    Whole numbers are classes in a column of one of the names `CLASS_COLUMNS`.
    """
    if column is not None:
        return (find_column(table.column_names, [column], path, "classes", "Name one of them."),)
    named = first_column(table.column_names, ID_COLUMNS, path, id_column)
    others = [field for field in table.schema if field.name != named]
    if len(others) == 1 and is_text(others[0].type):
        return (others[0].name,)
    return tuple(
        field.name
        for field in others
        if (
            is_text(field.type)
            or pa.types.is_boolean(field.type)
            or (pa.types.is_integer(field.type) and field.name.lower() in CLASS_COLUMNS)
        )
        and 2 <= pc.count_distinct(table[field.name]).as_py() <= min(MOST, table.num_rows - 1)
    )


def tree_of_classes(tables: Sequence[pa.Table], column: str, path: Path) -> DecisionTree:
    """Return the tree whose answers are the classes of a column of some tables, in alphabetical order."""
    values = [value for table in tables for value in pc.unique(_texts(table, column, path)).to_pylist()]
    classes = sorted({value for value in values if value is not None})
    if not 2 <= len(classes) <= MOST:
        known = f"only one class, {classes[0]!r}" if len(classes) == 1 else f"{len(classes)} different values"
        raise CatalogueError(
            f"{path}: the column {column!r} has {known}; classes are two or more, and at most {MOST}. Empty "
            "cells, and in CSV such as nan, NA and null, are taken as missing."
        )
    return class_tree(column, classes)


def votes_of_classes(
    table: pa.Table, column: str, ids: tuple[str, ...], tree: DecisionTree, path: Path
) -> Votes:
    """Take classes (names, texts or labels of answers) for votes of one person; NaN where there is none."""
    places = {word: i for i, one in enumerate(tree.answers) for word in (one.label, one.text, one.name)}
    values = _texts(table, column, path).to_pylist()
    if strange := sorted({value for value in values if value is not None} - places.keys()):
        near = difflib.get_close_matches(strange[0], places, n=1)
        raise CatalogueError(
            f"{path}: {list_names([repr(word) for word in strange], 3)} in the column {column!r} is no "
            f"answer of the tree {tree.name!r}"
            + (f"; did you mean {near[0]!r}?" if near else ".")
            + f" Its answers are {list_names([answer.name for answer in tree.answers])}."
        )
    votes = np.full((len(ids), len(tree)), np.nan)
    for row, value in enumerate(values):
        if value is not None:
            votes[row] = np.arange(len(tree)) == places[value]
    return Votes(tree, ids, votes, votes.copy(), "class")


def _texts(table: pa.Table, column: str, path: Path) -> pa.ChunkedArray:
    return pc.utf8_trim_whitespace(cast_to_text(table[column], f"`{column}`", path))
