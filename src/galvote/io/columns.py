"""Columns of tables: which one holds ids, what a column means, and what a message says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

from galvote.errors import CatalogueError

ID_COLUMNS = ("GalaxyID", "id", "id_str", "objid", "dr7objid", "dr8objid", "iauname")
"""Names of a column of ids, in order of preference; upper and lower case are the same."""

_ABOUT = ("description", "unit", "ucd")


def about(field: pa.Field) -> dict[str, str]:
    """Return what is known of a column: ``description``, ``unit`` (empty if it has none) and ``ucd``.

    A UCD is a word of the Virtual Observatory for what a column means (ivoa.net/documents/UCD1+).
    """
    metadata = field.metadata or {}
    return {
        key: metadata[key.encode()].decode(errors="replace") for key in _ABOUT if key.encode() in metadata
    }


def describe(field: pa.Field, description: str, unit: str | None = None, ucd: str | None = None) -> pa.Field:
    """Return a column's field with what `about` returns."""
    said = zip(_ABOUT, (description, unit, ucd), strict=True)
    return field.with_metadata({key: text for key, text in said if text is not None})


def find_column(columns: Sequence[str], names: Sequence[str], path: Path, what: str, advice: str = "") -> str:
    """Return the name of the first of these columns that a table has, or raise `CatalogueError`.

    Upper and lower case are the same. The message says what the column would hold, and what to do.
    """
    if (found := first_column(columns, names)) is not None:
        return found
    raise CatalogueError(
        f"{path} has no column of {what}: it has {list_names(columns)}; {list_names(names)} was looked for. "
        + (advice or f"Rename its column to `{names[0]}`.")
    )


def first_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the name of the first of these columns that a table has; None if it has none."""
    by_name = {column.lower(): column for column in reversed(columns)}
    return next((by_name[name.lower()] for name in names if name.lower() in by_name), None)


def find_id_column(columns: Sequence[str], path: Path, id_column: str | None = None) -> str:
    """Return the name of a table's column of ids: the one that is named, or the first of `ID_COLUMNS`."""
    names = (id_column,) if id_column else ID_COLUMNS
    return find_column(columns, names, path, "ids", "Name it with --id-column (id_column=).")


def ids_as_text(column: pa.ChunkedArray, path: Path) -> pa.Array:
    """Return ids as text: whole numbers as digits, text stripped; a row without one is a `CatalogueError`."""
    if pa.types.is_floating(column.type):
        # FITS and pandas turn whole numbers into floats; beyond 2**53 neighbours would become one.
        numbers = column.to_numpy()
        if not (np.isfinite(numbers) & (np.abs(numbers) < 2**53) & (numbers == np.floor(numbers))).all():
            raise CatalogueError(
                f"{path} has ids that are no whole numbers below 2**53; store them as text or int64."
            )
        column = pa.chunked_array([numbers.astype(np.int64)])
    texts = pc.fill_null(cast_to_text(column, "of ids", path), "").combine_chunks()
    ids = pc.utf8_trim_whitespace(texts)
    if missing := pc.sum(pc.equal(pc.utf8_length(ids), 0)).as_py():
        raise CatalogueError(
            f"{path} has {missing} rows without an id; give each galaxy one or remove these rows."
        )
    return ids


def to_ids(column: pa.ChunkedArray, path: Path) -> tuple[str, ...]:
    """Return a column of ids as `ids_as_text` does."""
    return tuple(ids_as_text(column, path).to_pylist())


def read_numbers(table: pa.Table, names: Sequence[str | None], path: Path) -> Float64[np.ndarray, "row name"]:
    """Return columns of a table as numbers, NaN where null or absent."""
    numbers = np.full((table.num_rows, len(names)), np.nan)
    for place, name in enumerate(names):
        if name in table.column_names:
            try:
                numbers[:, place] = table[name].cast(pa.float64()).to_numpy()
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise CatalogueError(
                    f"{path}: column {name!r} must hold numbers ({error}); correct it."
                ) from error
    return numbers


def refuse_repeated_ids(ids: Sequence[str], path: Path) -> None:
    """Raise `CatalogueError` if an id occurs twice."""
    if twice := [id_ for id_, times in Counter(ids).items() if times > 1]:
        raise CatalogueError(
            f"{path} has {len(twice):,} ids more than once: {list_names(twice, 5)}; keep one row of each."
        )


def cast_to_text(column: pa.ChunkedArray, which: str, path: Path) -> pa.ChunkedArray:
    """Return a column as text, or raise a `CatalogueError` that says which column has none, as "of ids"."""
    try:
        return column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CatalogueError(
            f"{path}: the column {which} holds {column.type}, which is no text; store it as text."
        ) from error


def refuse_repeated(columns: Sequence[str], path: Path) -> None:
    """Raise `CatalogueError` if two columns have the same name."""
    if twice := [name for name, times in Counter(columns).items() if times > 1]:
        raise CatalogueError(
            f"{path} has more than one column named {list_names(twice)}; remove or rename all but one."
        )


def list_names(names: Sequence[str], most: int = 8) -> str:
    """Return the first few names for a message: ``a, b, c and 4 more``."""
    said = ", ".join(names[:most]) or "none"
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return kind in (pa.string(), pa.large_string(), pa.string_view())
