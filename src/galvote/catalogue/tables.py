"""Tables in and out: CSV, Parquet, FITS and VOTable by the ending of the file's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from galvote.errors import CatalogueError

ID_COLUMNS = ("GalaxyID", "id", "id_str", "objid", "dr7objid", "dr8objid", "iauname")
"""Names of a column of ids, in order of preference; upper and lower case are the same."""

_READABLE = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
    ".fits": "fits",
    ".fit": "fits",
    ".fits.gz": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
}
_WRITABLE = {ending: format_ for ending, format_ in _READABLE.items() if not ending.endswith(".gz")}

# What an unquoted CSV field without a value looks like. Text that looks so is quoted when written.
_NO_VALUE = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
_NEEDS_QUOTES = r'[",\r\n]|^(' + "|".join(_NO_VALUE) + ")$"


def read_table(path: str | Path) -> pa.Table:
    """Read a CSV, Parquet, FITS or VOTable file.

    Parameters
    ----------
    path
        Ends in .csv, .csv.gz, .parquet, .fits, .fit, .fits.gz, .vot, .votable or .xml. Of a FITS file the
        first table is read.

    Returns
    -------
    The table, with null where a value is missing. CSV, FITS and VOTable cannot tell NaN from a missing
    number, and FITS and VOTable cannot tell an empty text from a missing one: both are null. Columns of ids
    (`ID_COLUMNS`) in a CSV stay text, so that leading zeros and long numbers survive.

    Raises
    ------
    CatalogueError
        If there is no such file, the ending is unknown, or the file is not what its ending says.
    """
    path = Path(path)
    format_ = _format_of(path, _READABLE)
    if not path.is_file():
        raise CatalogueError(f"There is no file {path}; check the path.")
    try:
        if format_ == "csv":
            return _read_csv(path)
        if format_ == "parquet":
            return pq.read_table(path)
        return _read_with_astropy(path, format_)
    except (
        pa.ArrowInvalid,
        pa.ArrowNotImplementedError,
        OSError,
        ValueError,
        IndexError,
        TypeError,
    ) as error:
        raise CatalogueError(
            f"{path} cannot be read as {format_}: {error}. "
            "Check that the file is whole and that its ending says what it is."
        ) from error


def write_table(table: pa.Table, path: str | Path, overwrite: bool = False) -> None:
    """Write a table as CSV, Parquet, FITS or VOTable.

    The file is written beside its place and renamed, so that it is whole or not there.

    Parameters
    ----------
    path
        Ends in .csv, .parquet, .fits, .fit, .vot, .votable or .xml. Its folder is made if need be.
    overwrite
        Replace a file that is already there.

    Raises
    ------
    CatalogueError
        If the file is there already, the ending is unknown, or the format has no way to say a column's type.
    """
    path = Path(path)
    format_ = _format_of(path, _WRITABLE)
    refuse_unwritable(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        if format_ == "csv":
            _write_csv(table, partial)
        elif format_ == "parquet":
            pq.write_table(table, partial)
        else:
            _to_astropy(table, format_).write(partial, format=format_, overwrite=True)
        partial.replace(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CatalogueError(
            f"{path}: {format_} has no way to say one of these columns ({error}); write Parquet instead."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def refuse_unwritable(path: str | Path, overwrite: bool = False) -> None:
    """Raise `CatalogueError` if `write_table` could not write there; long work asks before it begins."""
    _format_of(Path(path), _WRITABLE)
    if Path(path).exists() and not overwrite:
        raise CatalogueError(
            f"{path} is there already; choose another name or pass --overwrite (overwrite=True)."
        )


def read_ids(path: str | Path) -> tuple[str, ...]:
    """Return a table's column of ids, in its order, or raise `CatalogueError`."""
    table = read_table(path)
    return to_ids(table[find_id_column(table.column_names, Path(path))], Path(path))


def find_id_column(columns: Sequence[str], path: Path) -> str:
    """Return the name of the column of ids, or raise a `CatalogueError` that lists what was looked for."""
    by_name = {name.lower(): name for name in reversed(columns)}
    for name in ID_COLUMNS:
        if name.lower() in by_name:
            return by_name[name.lower()]
    raise CatalogueError(
        f"{path} has no column of ids: it has {list_names(columns)}; one of "
        f"{list_names(ID_COLUMNS)} was looked for. Rename its column of ids to `id`."
    )


def to_ids(column: pa.ChunkedArray, path: Path) -> tuple[str, ...]:
    """Return a column of ids as text: whole numbers as their digits, text without blanks around it."""
    if pa.types.is_floating(column.type):
        # FITS and pandas turn whole numbers into floats; beyond 2**53 neighbours would become one.
        numbers = column.to_numpy()
        if not (np.isfinite(numbers) & (np.abs(numbers) < 2**53) & (numbers == np.floor(numbers))).all():
            raise CatalogueError(
                f"{path} has ids that are no whole numbers below 2**53; store them as text or int64."
            )
        column = pa.chunked_array([numbers.astype(np.int64)])
    ids = tuple((text or "").strip() for text in column.cast(pa.string()).to_pylist())
    if missing := sum(not text for text in ids):
        raise CatalogueError(
            f"{path} has {missing} rows without an id; give each galaxy one or remove these rows."
        )
    return ids


def list_names(names: Sequence[str], most: int = 8) -> str:
    """Return the first few names for a message: ``a, b, c and 4 more``."""
    said = ", ".join(names[:most]) or "none"
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


def _format_of(path: Path, formats: dict[str, str]) -> str:
    for ending, format_ in formats.items():
        if path.name.lower().endswith(ending):
            return format_
    raise CatalogueError(f"{path} has none of the endings {', '.join(formats)}; choose the one that fits.")


def _read_csv(path: Path) -> pa.Table:
    with pyarrow.csv.open_csv(path) as reader:
        names = reader.schema.names
    known = {name.lower() for name in ID_COLUMNS}
    return pyarrow.csv.read_csv(
        path,
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names if name.lower() in known},
            null_values=list(_NO_VALUE),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _write_csv(table: pa.Table, path: Path) -> None:
    # Arrow quotes every text or none. Ids without quotes are what the challenge's readers expect.
    texts = [column for column in table.columns if _is_text(column.type)]
    quoted = any(pc.any(pc.match_substring_regex(text, _NEEDS_QUOTES)).as_py() for text in texts)
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(table.column_names)
    with path.open("wb") as file:
        file.write(header.getvalue().encode())
        pyarrow.csv.write_csv(
            table.combine_chunks(),  # of an empty first chunk pyarrow 26 writes stale memory
            file,
            pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed" if quoted else "none"),
        )


def _read_with_astropy(path: Path, format_: str) -> pa.Table:
    from astropy.table import Table

    if format_ == "fits":
        # As bytes, because astropy would take the text of a FITS table for ASCII.
        table = Table.read(path, format="fits", character_as_bytes=True)
    else:
        table = Table.read(path, format="votable")
    table.convert_bytestring_to_unicode()
    return pa.table({name: _to_arrow(table[name]) for name in table.colnames})


def _to_arrow(column: Any) -> pa.Array:
    missing = np.ma.getmaskarray(column)
    values = np.ma.getdata(column)
    if values.ndim > 1:
        return pa.array(values.tolist())
    if values.dtype.kind in "biuf":
        values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
        if values.dtype.kind == "f":
            missing = missing | np.isnan(values)
        return pa.array(values, mask=missing)
    return pa.array(
        [str(text) if text and not gone else None for text, gone in zip(values, missing, strict=True)],
        pa.string(),
    )


def _to_astropy(table: pa.Table, format_: str) -> Any:
    from astropy.table import MaskedColumn, Table

    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        missing = column.is_null().to_numpy()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if _is_text(column.type) or pa.types.is_null(column.type):
            texts = np.array([text or "" for text in column.to_pylist()], dtype=str)
            # FITS holds bytes; UTF-8 lets ids and reasons in any alphabet through.
            columns[name] = np.char.encode(texts, "utf-8") if format_ == "fits" else texts
        elif pa.types.is_floating(column.type):
            columns[name] = column.to_numpy()  # null becomes NaN, which both formats read as missing
        elif pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
            values = pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy()
            # astropy marks what is missing by a value of the same type; the smallest hardly ever occurs.
            mark = np.iinfo(values.dtype).min if values.dtype.kind == "i" else None
            columns[name] = MaskedColumn(values, mask=missing, fill_value=mark) if missing.any() else values
        else:
            raise pa.ArrowNotImplementedError(f"{name}: {column.type}")
    return Table(columns)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
