"""Read votes: whatever form a table publishes them in, they become cumulative fractions of a tree."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from galvote.errors import CatalogueError, FractionError, GalvoteError
from galvote.io.columns import list_names, one_has, read_numbers, say_count
from galvote.io.matching import with_ids
from galvote.io.positions import Positions
from galvote.io.tables import read_table
from galvote.labels.classes import class_columns, tree_of_classes, votes_of_classes
from galvote.labels.conversion import (
    ROUNDING,
    forget_unanswered,
    known_to_cumulative,
    published_to_conditional,
    sum_tolerance,
)
from galvote.labels.numbers import holds_numbers, only_column, tree_of_numbers, votes_of_numbers
from galvote.labels.votes import Votes
from galvote.trees import DecisionTree, Form, find_tree, find_violations, near_columns

PREFERRED: tuple[Form, ...] = ("cumulative", "weighted", "fraction", "count", "debiased")
"""Of several forms in a table, the first is read. Debiased fractions are those of an image nobody has."""

_LOG = logging.getLogger(__name__)
_SKIP = "Or leave them out with --skip-invalid (skip_invalid=True)."


def read_votes(
    paths: str | Path | Sequence[str | Path],
    tree: DecisionTree | None = None,
    *,
    form: Form | None = None,
    column: str | None = None,
    unit: str | None = None,
    id_column: str | None = None,
    reference: Positions | None = None,
    skip_invalid: bool = False,
    report: Callable[[str], None] | None = None,
) -> Votes:
    """Read the votes of one or several tables and return them stacked.

    A table has a column of ids and the columns of a tree in one of its published forms, all or some (those
    absent are unknown, not zero). Or it has one column of words: then the classes are the answers to one
    question, and each is the vote of one person. Or a column of numbers: then the answers are some numbers,
    and each number is shared between the two next to it.

    Parameters
    ----------
    paths
        CSV, Parquet, FITS or VOTable files.
    tree
        The tree whose columns to read; by default the shipped tree of which the tables have most columns, or
        one of the classes in the only column of words.
    form
        One of `galvote.trees.FORMS`; by default the first of `PREFERRED` that the table has, and counts where
        that has nothing.
    column
        Name of a column of classes, or of numbers: those with a fraction, or more than 20 different whole
        ones. Up to five different whole numbers are classes; between, `unit` tells. By default the only one
        of words, or with a unit the only one of numbers.
    unit
        Unit of the numbers, as astropy writes it (``kpc``); empty for a pure number. With it, a column of
        numbers never holds classes.
    id_column
        Column of ids; by default the first of `galvote.io.columns.ID_COLUMNS` that is there.
    reference
        Galaxies with ids and positions, by which rows of tables without ids are known.
    skip_invalid
        Leave out galaxies whose fractions cannot be true, and all but the first row of an id, instead of
        raising an error.
    report
        Is told in a sentence which tree and form was chosen, and how many galaxies were left out; by default
        that is logged.

    Raises
    ------
    CatalogueError
        If a file cannot be read, has no column of ids or votes, or an id occurs twice, in one file or in two;
        if numbers are infinite, the same for all galaxies, or may be classes, too.
    FractionError
        If fractions are out of range, break the tree by more than 1e-4, or, as shares of those who were
        asked, do not sum to 1 within 0.005.
    """
    files = table_paths(paths)
    if not files:
        raise CatalogueError("No files of votes were given; name at least one.")
    tables = list[_Table]()
    with one_has(id_column):
        for file in files:
            rows, ids = with_ids(read_table(file), file, id_column, reference, report or _LOG.info)
            tables.append(_Table(file, rows, ids, class_columns(rows, file, id_column, column)))
    tell = report or _LOG.info
    if tree is None and column is None and unit is not None:
        column = only_column([table.table for table in tables], files[0], id_column)
        tables = [replace(table, classes=(column,)) for table in tables if column is not None]
    if tree is None and column is not None:
        tree = _tree_of_column(tables, column, unit, tell)
    elif unit is not None:
        raise CatalogueError(
            "A unit is that of a column of numbers; name it with --column (column=), and give no tree."
        )
    chosen = _choose_tree(tables) if tree is None else tree

    def keep(votes: Votes, wrong: Bool[np.ndarray, " galaxy"], error: GalvoteError) -> Votes:
        if not wrong.any():
            return votes
        if not skip_invalid:
            raise error
        message = str(error).partition("\n")[0]
        (report or _LOG.warning)(f"Left out {wrong.sum():,} of {say_count(len(votes), 'row')}. {message}")
        return votes.select(~wrong)

    votes = Votes.stack([_read(table, chosen, form, column and table.classes[0], keep) for table in tables])
    others = [other for other in tables[0].forms(chosen) if other not in votes.form.split(", ")]
    if (tree is None and not chosen.numbers) or (others and form is None):
        also = f" (it has {', '.join(map(_say_form, others))}, too)" if others and form is None else ""
        kinds = ", ".join(map(_say_form, votes.form.split(", ")))
        tell(f"Votes are those of the tree {chosen.name!r}, read from its {kinds}{also}.")
    return _keep_first(votes, files, keep)


def table_paths(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the paths of tables; `CatalogueError` if something else is given, as a table in memory."""
    if not isinstance(paths, str | Path | Sequence):
        raise CatalogueError(
            f"Votes and labels are read from files, and this is a {type(paths).__name__}: write it to a "
            "file, such as votes.parquet, and give its path."
        )
    return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def _say_form(form: str) -> str:
    return {"fraction": "fractions", "count": "counts", "class": "class"}.get(form, f"{form} fractions")


_Keep = Callable[[Votes, Bool[np.ndarray, " galaxy"], GalvoteError], Votes]


@dataclass(frozen=True, eq=False)
class _Table:
    path: Path
    table: pa.Table
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    """Columns of words."""

    def forms(self, tree: DecisionTree) -> list[Form]:
        """Return the forms in which the table has some of a tree's columns, the preferred first."""
        there = set(self.table.column_names)
        return [form for form in PREFERRED if there & set(tree.published_columns(form))]

    def numbers(self, form: Form, tree: DecisionTree) -> Float[np.ndarray, "galaxy answer"]:
        """Return a form's columns as numbers, NaN where null or absent."""
        return read_numbers(self.table, tree.published_columns(form), self.path)


def _choose_tree(tables: Sequence[_Table]) -> DecisionTree:
    names = [name for table in tables for name in table.table.column_names]
    try:
        return find_tree(names, tables[0].path)
    except CatalogueError:
        classes = tables[0].classes
        if near_columns(names) or len(classes) != 1 or names.count(classes[0]) < len(tables):
            raise
    return tree_of_classes([table.table for table in tables], classes[0], tables[0].path)


def _tree_of_column(
    tables: Sequence[_Table], column: str, unit: str | None, tell: Callable[[str], None]
) -> DecisionTree:
    """Return the tree of a column of classes or numbers, and say which it is taken for."""
    rows, path = [table.table for table in tables], tables[0].path
    if unit is None and not holds_numbers(rows, column, path):
        tree = tree_of_classes(rows, column, path)
        classes = list_names([answer.name for answer in tree.answers], 4)
        tell(f"The column {column!r} holds {len(tree)} classes: {classes}.")
        return tree
    tree = tree_of_numbers(rows, column, unit, path)
    low, *_, high = (answer.text for answer in tree.answers)
    tell(f"The column {column!r} holds numbers, from {low} to {high}.")
    return tree


def _read(table: _Table, tree: DecisionTree, form: Form | None, named: str | None, keep: _Keep) -> Votes:
    forms = table.forms(tree)
    if tree.numbers and (named or not forms) and len(tree.questions) == 1:
        name = named or tree.questions[0].name
        if name in table.table.column_names:
            return keep(*votes_of_numbers(table.table, name, table.ids, tree, table.path))
    elif (
        (named or not forms) and len(tree.questions) == 1 and (column := named or _find_classes(table, tree))
    ):
        return votes_of_classes(table.table, column, table.ids, tree, table.path)
    if not forms or (form is not None and form not in forms):
        raise _nothing_to_read(table, tree, form)
    chosen = form or forms[0]
    values = table.numbers(chosen, tree)
    counts = table.numbers("count", tree) if "count" in forms else None
    votes = Votes(tree, table.ids, values, counts, chosen)
    if chosen != "cumulative":
        return _convert(votes, chosen, counts if form is None else None, table.path, keep)
    tolerance = sum_tolerance(tree, values)
    votes = replace(votes, fractions=forget_unanswered(tree, values, tolerance))
    violations = find_violations(tree, votes.fractions, tolerance)
    what = "have fractions that cannot be true"
    return keep(
        votes,
        violations.galaxies,
        FractionError(
            _describe(table.path, votes.ids, violations.galaxies, what, violations.describe)
            + f"\nThe columns {tree.columns[0]} … are cumulative: each question sums to the fraction of the "
            f"answers that lead to it. Correct these rows. {_SKIP}"
        ),
    )


def _find_classes(table: _Table, tree: DecisionTree) -> str | None:
    if (name := tree.questions[0].name) in table.table.column_names:
        return name
    return table.classes[0] if len(table.classes) == 1 else None


def _nothing_to_read(table: _Table, tree: DecisionTree, form: Form | None) -> CatalogueError:
    names = table.table.column_names
    if forms := table.forms(tree):
        return CatalogueError(
            f"{table.path} has no column of the form {form!r} of the tree {tree.name!r}; it has "
            f"{', '.join(forms)}."
        )
    wanted = [columns for one in PREFERRED if any(columns := tree.published_columns(one))]
    message = (
        f"{table.path} has no column of votes of the tree {tree.name!r}: it has {list_names(names)}; looked "
        f"for were {', or '.join(f'{columns[0]} … {columns[-1]}' for columns in wanted)}."
    )
    try:
        other = find_tree(names, table.path)
        return CatalogueError(f"{message} Its columns are those of the tree {other.name!r}.")
    except CatalogueError:
        near = near_columns(names, tree)
        return CatalogueError(
            message + "".join(f" {name!r} is nearly {like!r}." for name, like in near.items())
        )


def _convert(
    votes: Votes, form: Form, counts: Float[np.ndarray, "galaxy answer"] | None, path: Path, keep: _Keep
) -> Votes:
    """Make cumulative fractions of what is published, and of counts for questions that lack it."""
    tree = votes.tree
    conditional, wrong = published_to_conditional(tree, votes.fractions, form)
    if counts is not None:
        instead, wrong_counts = published_to_conditional(tree, counts, "count")
        for i, columns in enumerate(tree.slices.values()):
            absent = np.isnan(votes.fractions[:, columns]).any(axis=1)
            conditional[absent, columns] = instead[absent, columns]
            wrong[absent, i] |= wrong_counts[absent, i]
    invalid = np.asarray(wrong.any(axis=1))

    def describe(row: int) -> str:
        return f"question {list_names([tree.questions[i].name for i in np.flatnonzero(wrong[row])])}"

    what = f"have conditional fractions that do not sum to 1 within {ROUNDING}, or negative votes"
    sound = keep(
        replace(votes, fractions=conditional),
        invalid,
        FractionError(_describe(path, votes.ids, invalid, what, describe) + f"\nCorrect these rows. {_SKIP}"),
    )
    return replace(sound, fractions=known_to_cumulative(tree, sound.fractions))


def _keep_first(votes: Votes, files: Sequence[Path], keep: _Keep) -> Votes:
    """Refuse ids that occur again, or keep the first row of each."""
    first_rows = {id_: row for row, id_ in reversed(list(enumerate(votes.ids)))}
    repeated = np.ones(len(votes), dtype=bool)
    repeated[list(first_rows.values())] = False
    named = [f"{id_} ({times} times)" for id_, times in Counter(votes.ids).items() if times > 1]
    return keep(
        votes,
        repeated,
        CatalogueError(
            f"{say_count(len(named), 'id')} occur{'s' * (len(named) == 1)} more than once in "
            f"{list_names([str(file) for file in files])}:\n"
            f"  {list_names(named, 5)}\nRemove the rows that repeat an id. {_SKIP}"
        ),
    )


def _describe(
    path: Path,
    ids: Sequence[str],
    wrong: Bool[np.ndarray, " galaxy"],
    what: str,
    describe: Callable[[int], str],
) -> str:
    rows = np.flatnonzero(wrong)
    offenders = "".join(f"\n  {ids[row]}: {describe(int(row))}" for row in rows[:5])
    return f"{path}: {len(rows):,} of {len(ids):,} galaxies {what}, first of them:{offenders}"
