"""Columns of numbers that are measured of galaxies: told from classes, and read as answers to a question."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64

from galvote.errors import CatalogueError, TreeError
from galvote.io.columns import ID_COLUMNS, first_column, is_text, list_names, to_numbers, without_gaps
from galvote.labels.classes import CLASS_COLUMNS
from galvote.labels.votes import Votes
from galvote.trees import DecisionTree, expected_numbers, number_tree, share_numbers

FEW, MANY = 5, 20
"""So many different whole numbers are classes at most, and with more than so many they are numbers."""

_PLACEHOLDERS = (-99.0, -999.0, -9999.0)
"""What catalogues write where nothing was measured."""


def holds_numbers(tables: Sequence[pa.Table], column: str, path: Path) -> bool:
    """Whether a column that each table has holds numbers that are measured, rather than classes.

    If it has more than `FEW` and at most `MANY` different whole numbers, it may be either: a `CatalogueError`
    that names the first table's path.
    """
    parts = [table[column] for table in tables]
    if any(is_text(part.type) for part in parts):
        texts = [pc.unique(without_gaps(part)).drop_null() for part in parts if is_text(part.type)]
        numeric = [
            pc.match_substring_regex(each, r"^[+-]?(\d+\.?|\d*\.\d+)([eE][+-]?\d+)?$") for each in texts
        ]
        share = sum(pc.sum(each).as_py() or 0 for each in numeric) / max(sum(map(len, texts)), 1)
        return share > 0.5 and sum(map(len, texts)) > MANY  # which of them are no numbers is said on reading
    if not all(pa.types.is_integer(part.type) or pa.types.is_floating(part.type) for part in parts):
        return False
    values = np.unique(np.concatenate([to_numbers(part, column, path) for part in parts]))
    values = values[np.isfinite(values)]
    if (values != np.floor(values)).any() or len(values) > MANY:
        return True
    if len(values) > FEW and column.lower() not in CLASS_COLUMNS:
        raise CatalogueError(
            f"{path}: the column {column!r} has {len(values)} different whole numbers, from {values[0]:g} to "
            f"{values[-1]:g}, which may be measured or stand for classes. If they are measured, give their "
            f'unit: --unit UNIT (unit=), or --unit "" for a pure number. If they stand for classes, write '
            f"words in their place, or name the column {CLASS_COLUMNS[0]!r}."
        )
    return False


def only_column(tables: Sequence[pa.Table], path: Path, id_column: str | None) -> str | None:
    """Return the column of numbers that all tables have beside the ids, if it is the only one."""
    names = set[str]()
    for table in tables:
        names |= {*table.column_names} - {first_column(table.column_names, ID_COLUMNS, path, id_column)}
    if len(names) != 1 or not all(names <= {*table.column_names} for table in tables):
        return None
    kinds = [table[name].type for table in tables for name in names]
    return (
        names.pop()
        if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        else None
    )


def tree_of_numbers(tables: Sequence[pa.Table], column: str, unit: str | None, path: Path) -> DecisionTree:
    """Return the tree whose answers are numbers between which those of a column lie."""
    parts = [_read(table, column, path) for table in tables]
    known = np.concatenate([values[np.isfinite(values) & ~wrong] for values, wrong in parts])
    if not len(known):
        raise CatalogueError(f"{path}: the column {column!r} holds no numbers.")
    try:
        return number_tree(column, known, unit)
    except TreeError as error:
        raise CatalogueError(f"{path}: {error} Nothing can be learned of them.") from error


def votes_of_numbers(
    table: pa.Table, column: str, ids: tuple[str, ...], tree: DecisionTree, path: Path
) -> tuple[Votes, Bool[np.ndarray, " galaxy"], CatalogueError]:
    """Share numbers between the answers next to them; NaN where there is none.

    Returns
    -------
    The votes; which of them cannot be true, and the error that says so.
    """
    numbers, wrong = _read(table, column, path)
    low, *_, high = (answer.text for answer in tree.answers)
    ends = np.array(tree.questions[0].values)[[0, -1]]
    with np.errstate(invalid="ignore"):
        wrong |= np.abs(numbers - ends.mean()) > np.ptp(ends) / 2 * (1 + 1e-9)
    named = [f"row {row + 1} ({ids[row]}): {numbers[row]:g}" for row in np.flatnonzero(wrong)]
    return (
        Votes(tree, ids, share_numbers(tree.questions[0], np.where(wrong, np.nan, numbers)), None, "number"),
        wrong,
        CatalogueError(
            f"{path}: {len(named):,} numbers of the column {column!r} cannot be, or lie beyond those that "
            f"are known, {low} to {high}: {list_names(named, 5)}. Leave these cells empty, or these galaxies "
            "out with --skip-invalid (skip_invalid=True)."
        ),
    )


def on_own_bins(votes: Votes) -> Votes:
    """Return numbers shared between answers that lie as these numbers do, not those of more galaxies."""
    numbers = expected_numbers(votes.tree, votes.fractions)[:, 0]
    question = votes.tree.numbers[0]
    tree = number_tree(question.name, numbers[np.isfinite(numbers)], question.unit)
    return Votes(tree, votes.ids, share_numbers(tree.numbers[0], numbers), None, votes.form)


def _read(
    table: pa.Table, column: str, path: Path
) -> tuple[Float64[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    """Return numbers, and which of them are infinite, or stand for one that was not measured."""
    numbers = to_numbers(table[column], f"`{column}`", path)
    wrong = np.isinf(numbers)
    for placeholder in _PLACEHOLDERS:
        these = numbers == placeholder
        others = numbers[~these & np.isfinite(numbers)]
        if these.any() and len(others) and others.min() - placeholder > 2 * np.ptp(others) + 1:
            wrong |= these
    return numbers, wrong
