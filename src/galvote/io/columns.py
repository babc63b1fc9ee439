"""Columns of tables: which one holds ids, what a column means, and what a message says of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

from galvote.errors import CatalogueError

ID_COLUMNS = ("GalaxyID", "id", "id_str", "objid", "dr7objid", "dr8objid", "iauname")
"""Names of a column of ids, in order of preference; upper and lower case are the same."""

NO_NUMBER = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "-", "--", "None", "masked")
"""What text says where there is no number."""

_SPOILT = r"^[+-]?\d([.,]\d+[eE]\+?|[eE]\+)\d+$|^\d{17,}\.0*$"
"""An id that has been a floating-point number. Without point and sign, ``1E18``, it may be hexadecimal."""

_READ = ContextVar[list[str] | None]("read", default=None)
"""Columns of ids of the tables that were read within `one_has`."""

_ABOUT = ("description", "unit", "ucd")


def about(field: pa.Field) -> dict[str, str]:
    """Return a column's ``description``, ``unit`` (empty: a pure number) and ``ucd``, those that it has."""
    metadata = field.metadata or {}
    return {
        key: metadata[key.encode()].decode(errors="replace") for key in _ABOUT if key.encode() in metadata
    }


def describe(
    field: pa.Field, description: str | None, unit: str | None = None, ucd: str | None = None
) -> pa.Field:
    """Return a column's field with what `about` returns."""
    said = zip(_ABOUT, (description, unit, ucd), strict=True)
    return field.with_metadata({key: text for key, text in said if text is not None})


def find_column(columns: Sequence[str], names: Sequence[str], path: Path, what: str, advice: str = "") -> str:
    """Return the first of these columns that a table has; a `CatalogueError` says what it would hold."""
    if (found := first_column(columns, names, path)) is not None:
        return found
    raise CatalogueError(
        f"{path} has no column of {what}: it has {list_names(columns)}; {list_names(names)} was looked for. "
        + (advice or f"Rename its column to `{names[0]}`.")
    )


def first_column(
    columns: Sequence[str], names: Sequence[str], path: Path, named: str | None = None
) -> str | None:
    """Return the first of these columns, whatever their case, after the one that a user named; or None."""
    if named in columns:
        return named
    for name in filter(None, (named, *names)):
        alike = [column for column in columns if column.lower() == name.lower()]
        if len(alike) > 1:
            raise CatalogueError(
                f"{path} has the columns {list_names(alike)}, which differ only in case; rename all but one, "
                "or name the right one as it is spelt (--id-column, --size-column)."
            )
        if alike:
            return alike[0]
    return None


def find_id_column(columns: Sequence[str], path: Path, id_column: str | None = None) -> str:
    """Return a table's column of ids: the named one (within `one_has`, if there), or one of `ID_COLUMNS`."""
    read = _READ.get()
    names = ID_COLUMNS if id_column is None or read is not None else (id_column,)
    found = first_column(columns, (), path, id_column) or find_column(
        columns, names, path, "ids", "Name it with --id-column (id_column=)."
    )
    if read is not None:
        read.append(found)
    return found


@contextmanager
def one_has(id_column: str | None) -> Iterator[None]:
    """Let tables that are read within lack the named column of ids; `CatalogueError` if none has it."""
    if _READ.get() is not None:
        yield
        return
    before = _READ.set(read := list[str]())
    try:
        yield
    finally:
        _READ.reset(before)
    if id_column and read and id_column.lower() not in (name.lower() for name in read):
        raise CatalogueError(
            f"No table has a column {id_column!r}; their columns of ids are {list_names(sorted(set(read)))}. "
            "Correct --id-column (id_column=), or leave it out."
        )


def ids_as_text(column: pa.ChunkedArray, path: Path) -> pa.Array:
    """Return ids as text: whole numbers as digits, text stripped; a row without one is a `CatalogueError`."""
    if pa.types.is_floating(column.type):
        # FITS and pandas turn whole numbers into floats; large ones become their neighbours.
        numbers = column.fill_null(np.nan).to_numpy()
        most = 2.0 ** (np.finfo(numbers.dtype).nmant + 1)
        wrong = ~np.isnan(numbers) & ~((np.abs(numbers) < most) & (numbers == np.floor(numbers)))
        if wrong.any():
            row = int(wrong.argmax())
            raise CatalogueError(
                f"{path} has ids that are floating-point numbers and no whole numbers below {most:.0f}, "
                f"first in row {row + 1}: {numbers[row]}. Digits may be lost: take the ids from where they "
                "came, as text or int64."
            )
        known = np.where(np.isnan(numbers), 0, numbers).astype(np.int64)
        column = pa.chunked_array([pa.array(known, mask=np.isnan(numbers))])
    texts = pc.fill_null(cast_to_text(column, "of ids", path), "").combine_chunks()
    ids = pc.utf8_trim_whitespace(texts)
    if missing := pc.sum(pc.equal(pc.utf8_length(ids), 0)).as_py():
        raise CatalogueError(
            f"{path} has {missing} rows without an id; give each galaxy one or remove these rows."
        )
    _refuse_spoilt(ids, path)
    return whole(ids)


def _refuse_spoilt(ids: pa.Array, path: Path) -> None:
    """Raise `CatalogueError` if ids have been floating-point numbers, or have 15 digits and zeros behind."""
    spoilt = pc.match_substring_regex(ids, _SPOILT)
    if pc.any(spoilt).as_py():
        row = pc.index(spoilt, True).as_py()
        raise CatalogueError(
            f"{path}: the id in row {row + 1} is {ids[row]}. A spreadsheet, or another program, has made it "
            "a floating-point number, whose last digits are lost; take the ids from where they came, as text."
        )
    long = ids.filter(pc.match_substring_regex(ids, r"^\d{17,}$"))
    lost = (pc.sum(pc.utf8_length(long)).as_py() or 0) - 15 * len(long)
    if lost >= 4 and pc.all(pc.match_substring_regex(long, r"^\d{15}0+$")).as_py():  # too many for chance
        raise CatalogueError(
            f"{path}: all long ids have zeros after their 15th digit, as {long[0]}. A spreadsheet keeps 15 "
            "digits; take the ids from where they came, as text. If they are right, put a letter before each."
        )


def whole(ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return ids as text without the ``.0`` of numbers."""
    return pc.replace_substring_regex(ids, r"^([+-]?\d{1,16})\.0*$", r"\1")


def to_ids(column: pa.ChunkedArray, path: Path) -> tuple[str, ...]:
    """Return a column of ids as `ids_as_text` does."""
    return tuple(ids_as_text(column, path).to_pylist())


def read_numbers(table: pa.Table, names: Sequence[str | None], path: Path) -> Float64[np.ndarray, "row name"]:
    """Return columns of a table as numbers, NaN where null or absent."""
    numbers = np.full((table.num_rows, len(names)), np.nan)
    for place, name in enumerate(names):
        if name in table.column_names:
            numbers[:, place] = to_numbers(table[name], f"`{name}`", path)
    return numbers


def to_numbers(column: pa.ChunkedArray, name: str, path: Path) -> Float64[np.ndarray, " row"]:
    """Return a column as numbers, NaN where missing; a `CatalogueError` names the first row that is none."""
    if is_text(column.type):
        column = without_gaps(column)
    try:
        return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = f"{path}: the column {name} must hold numbers, and holds {column.type}"
        for row, value in enumerate(column if is_text(column.type) else (), start=1):
            try:
                value.cast(pa.float64())
            except pa.ArrowInvalid:
                message = f"{path}: row {row} of the column {name} is no number: {value.as_py()!r}"
                break
        raise CatalogueError(f"{message}; correct it.") from error


def without_gaps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of text without blanks at its ends, null where it says that there is no number."""
    text = pc.utf8_trim_whitespace(column)
    gaps = pc.is_in(text, value_set=pa.array(NO_NUMBER, text.type))
    return pc.if_else(gaps, pa.scalar(None, text.type), text)


def refuse_repeated_ids(ids: Sequence[str], path: Path) -> None:
    """Raise `CatalogueError` if an id occurs twice."""
    if twice := [id_ for id_, times in Counter(ids).items() if times > 1]:
        raise CatalogueError(
            f"{path} has {say_count(len(twice), 'id')} more than once: {list_names(twice, 5)}; keep one row "
            "of each."
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


def refuse_names(names: Sequence[str]) -> None:
    """Raise Arrow's error if a file of text cannot hold some names of columns, or there are none."""
    if not names:
        raise pa.ArrowInvalid("there are none")
    if wrong := [repr(name) for name in names if not name.isprintable() or name != name.strip() or not name]:
        raise pa.ArrowInvalid(
            f"{list_names(wrong)}: names must be printable, and not begin or end with a blank"
        )


def list_names(names: Sequence[str], most: int = 8) -> str:
    """Return the first few names for a message: ``a, b, c and 4 more``."""
    said = ", ".join(names[:most]) or "none"
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


def say_count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 galaxy``, ``2,000 galaxies``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return kind in (pa.string(), pa.large_string(), pa.string_view())
