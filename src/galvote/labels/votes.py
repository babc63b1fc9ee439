"""What volunteers said about galaxies, and other columns by id."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from galvote.errors import CatalogueError, FractionError, GalvoteError
from galvote.io.columns import (
    ID_COLUMNS,
    cast_to_text,
    first_column,
    list_names,
    read_numbers,
    refuse_repeated_ids,
)
from galvote.io.matching import with_ids
from galvote.io.positions import Positions
from galvote.io.tables import read_table
from galvote.labels.survey import ROUNDING, known_to_cumulative, survey_to_conditional
from galvote.trees import DecisionTree, find_tree, find_violations

_LOG = logging.getLogger(__name__)
_SKIP = "Or leave them out with --skip-invalid (skip_invalid=True)."


@dataclass(frozen=True, eq=False)
class Votes:
    """Vote fractions of galaxies.

    Parameters
    ----------
    ids
        One per galaxy, each once.
    fractions
        Cumulative, in [0, 1], in ``tree.columns`` order; NaN where unknown.
    counts
        Number of volunteers who gave each answer; NaN where unknown. None if no file had counts.
    """

    tree: DecisionTree
    ids: tuple[str, ...]
    fractions: Float[np.ndarray, "galaxy answer"]
    counts: Float[np.ndarray, "galaxy answer"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def complete(self) -> Bool[np.ndarray, " galaxy"]:
        """True for each galaxy whose fractions are all known."""
        return np.asarray(np.isfinite(self.fractions).all(axis=1))

    def digest(self) -> str:
        """Return a SHA-256 of ids and fractions, the same in whatever order the galaxies are."""
        order = np.argsort(self.ids)
        found = sha256("\n".join(self.ids[row] for row in order).encode())
        found.update(self.fractions[order].tobytes())
        return found.hexdigest()

    def select(self, rows: Int[np.ndarray, " row"] | Bool[np.ndarray, " galaxy"]) -> Votes:
        """Return the votes of some galaxies: by row numbers, in that order, or by a truth value for each."""
        rows = np.arange(len(self))[rows]
        return Votes(
            tree=self.tree,
            ids=tuple(self.ids[row] for row in rows),
            fractions=self.fractions[rows],
            counts=None if self.counts is None else self.counts[rows],
        )


def read_votes(
    paths: str | Path | Sequence[str | Path],
    tree: DecisionTree | None = None,
    *,
    skip_invalid: bool = False,
    id_column: str | None = None,
    reference: Positions | None = None,
    report: Callable[[str], None] = _LOG.warning,
) -> Votes:
    """Read vote fractions from one or several tables, and stack them.

    A table has a column of ids and either the challenge's columns of
    cumulative fractions, all or some (those absent are unknown, not zero), or the survey's columns of
    conditional fractions or counts (``<stem>_fraction``, ``<stem>_count``), which are converted down the
    tree. Where a question was put to somebody and nobody's answer is recorded, it is unknown.

    Parameters
    ----------
    paths
        CSV, Parquet, FITS or VOTable files.
    tree
        Whose columns to read; the tree whose columns the tables have if not given.
    skip_invalid
        Leave out galaxies whose fractions cannot be true, and all but the first row of an id that occurs
        again, instead of raising an error.
    id_column
        Name of the column of ids; by default the first of `galvote.io.columns.ID_COLUMNS` that is there.
    reference
        Galaxies with ids and positions, by which rows of tables without ids are known
        (`galvote.io.matching.row_ids`).
    report
        Is told, in one sentence per kind, how many galaxies were left out.

    Raises
    ------
    CatalogueError
        If a file cannot be read, has no column of ids or votes, or an id occurs twice, in one file or in two.
    FractionError
        If fractions are out of range, break the tree by more than 1e-4, or, as the survey publishes them,
        do not sum to 1 within 0.005.
    """
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not files:
        raise CatalogueError("No files of votes were given; name at least one.")

    def keep(votes: Votes, wrong: Bool[np.ndarray, " galaxy"], error: GalvoteError) -> Votes:
        if not wrong.any():
            return votes
        if not skip_invalid:
            raise error
        report(f"Left out {wrong.sum():,} of {len(votes):,} galaxies. {str(error).partition(chr(10))[0]}")
        return votes.select(~wrong)

    tables = [read_table(file, id_column=id_column) for file in files]
    tree = tree or find_tree([name for table in tables for name in table.column_names], files[0])
    votes = _stack(
        [
            _read_file(file, *with_ids(table, file, id_column, reference, report), tree, keep)
            for file, table in zip(files, tables, strict=True)
        ]
    )
    first_rows = {id_: row for row, id_ in reversed(list(enumerate(votes.ids)))}
    repeated = np.ones(len(votes), dtype=bool)
    repeated[list(first_rows.values())] = False
    named = [f"{id_} ({times} times)" for id_, times in Counter(votes.ids).items() if times > 1]
    return keep(
        votes,
        repeated,
        CatalogueError(
            f"{len(named):,} ids occur more than once in {list_names([str(file) for file in files])}:\n"
            f"  {list_names(named, 5)}\nRemove the rows that repeat an id. {_SKIP}"
        ),
    )


def read_labels(
    path: str | Path,
    column: str | None = None,
    *,
    id_column: str | None = None,
    reference: Positions | None = None,
) -> dict[str, str]:
    """Read one column of a table by id: a hard class, or the split a galaxy belongs to.

    Parameters
    ----------
    path
        A table of any format.
    column
        Its name; not needed if the table has just one beside the ids.
    id_column, reference
        As for `read_votes`.

    Returns
    -------
    The column's value as text by id, without the galaxies that have none.

    Raises
    ------
    CatalogueError
        If the file cannot be read, there is no such column, or an id occurs twice.
    """
    path = Path(path)
    table, ids = with_ids(read_table(path, id_column=id_column), path, id_column, reference)
    named = first_column(table.column_names, (id_column,) if id_column else ID_COLUMNS)
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


_Keep = Callable[[Votes, Bool[np.ndarray, " galaxy"], GalvoteError], Votes]


def _read_file(path: Path, table: pa.Table, ids: tuple[str, ...], tree: DecisionTree, keep: _Keep) -> Votes:
    cumulative = _read_columns(table, tree.columns, path)
    conditional = _read_columns(table, tree.published_columns("fraction"), path)
    counts = _read_columns(table, tree.published_columns("count"), path)
    if cumulative is not None:
        votes = Votes(tree, ids, cumulative, counts)
    elif conditional is not None or counts is not None:
        votes = _convert(Votes(tree, ids, _or_unknown(conditional, ids, tree), counts), path, keep)
    else:
        raise CatalogueError(
            f"{path} has no column of votes: it has {list_names(table.column_names)}; looked for were "
            f"{tree.columns[0]} … {tree.columns[-1]}, and "
            f"{' or '.join(tree.answers[0].columns.values())} and so on."
        )
    violations = find_violations(tree, votes.fractions)
    return keep(
        votes,
        violations.galaxies,
        FractionError(
            _describe(
                path,
                votes.ids,
                violations.galaxies,
                "have fractions that cannot be true",
                violations.describe,
            )
            + f"\nThe columns {tree.columns[0]} … are cumulative: each question sums to the fraction of the "
            f"answers that lead to it. Correct these rows. {_SKIP}"
        ),
    )


def _convert(votes: Votes, path: Path, keep: _Keep) -> Votes:
    """Turn what the survey publishes, in ``votes.fractions`` for now, into cumulative fractions."""
    tree = votes.tree
    conditional, wrong = survey_to_conditional(
        tree, votes.fractions, _or_unknown(votes.counts, votes.ids, tree)
    )

    invalid = np.asarray(wrong.any(axis=1))

    def describe(row: int) -> str:
        names = [tree.questions[i].name for i in np.flatnonzero(wrong[row])]
        return f"question {list_names(names)}"

    sound = keep(
        replace(votes, fractions=conditional),
        invalid,
        FractionError(
            _describe(
                path,
                votes.ids,
                invalid,
                f"have conditional fractions that do not sum to 1 within {ROUNDING}, or negative votes",
                describe,
            )
            + f"\nCorrect these rows. {_SKIP}"
        ),
    )
    return replace(sound, fractions=known_to_cumulative(tree, sound.fractions))


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


def _read_columns(
    table: pa.Table, names: Sequence[str], path: Path
) -> Float[np.ndarray, "galaxy answer"] | None:
    """Return these columns as numbers, NaN where null or absent; None if the table has none of them."""
    there = set(filter(None, names)) & set(table.column_names)
    return read_numbers(table, names, path) if there else None


def _or_unknown(
    values: Float[np.ndarray, "galaxy answer"] | None, ids: Sequence[str], tree: DecisionTree
) -> Float[np.ndarray, "galaxy answer"]:
    return np.full((len(ids), len(tree)), np.nan) if values is None else values


def _stack(parts: Sequence[Votes]) -> Votes:
    tree = parts[0].tree
    counted = any(part.counts is not None for part in parts)
    return Votes(
        tree=tree,
        ids=tuple(id_ for part in parts for id_ in part.ids),
        fractions=np.concatenate([part.fractions for part in parts]),
        counts=np.concatenate([_or_unknown(part.counts, part.ids, tree) for part in parts])
        if counted
        else None,
    )
