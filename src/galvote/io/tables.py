"""Tables in and out: CSV, Parquet, FITS and VOTable by the ending of the file's name."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from galvote.errors import CatalogueError, OutputError
from galvote.io.astropy_tables import (
    read_fits,
    read_votable,
    with_astropy_header,
    write_fits,
    write_votable,
)
from galvote.io.atomic import atomic_file, refuse_existing, trial_file
from galvote.io.columns import ID_COLUMNS, find_id_column, is_text, refuse_repeated, to_ids

# What an unquoted CSV field without a value looks like. Text that looks so is quoted when written.
_NO_VALUE = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
_NEEDS_QUOTES = r'[",\r\n]|^(' + "|".join(_NO_VALUE) + ")$"


def read_table(path: str | Path, *, id_column: str | None = None) -> pa.Table:
    """Read a CSV, Parquet, FITS or VOTable file, or the shards that a prediction wrote to a folder.

    Parameters
    ----------
    path
        Ends in .csv, .csv.gz, .parquet, .fits, .fit, .fits.gz, .vot, .votable or .xml. Of a FITS file the
        first table is read, of a folder all Parquet files, which have the same columns.
    id_column
        Name of the column of ids, if it is none of `ID_COLUMNS`.

    Returns
    -------
    pyarrow.Table
        Null where a value is missing. CSV, FITS and VOTable cannot tell NaN from a missing number, and FITS
        and VOTable cannot tell an empty text from a missing one: both are null. Columns of ids in a CSV stay
        text, so that leading zeros and long numbers survive. What FITS and VOTable say about a column is
        metadata of its field, as `about` returns it.

    Raises
    ------
    CatalogueError
        If there is no such file, the ending is unknown, the file is not what its ending says, or two columns
        have the same name.
    """
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise CatalogueError(f"The folder {path} has no Parquet files; name a table, or a folder of shards.")
    format_ = _format_of(files[0], _FORMATS)
    if not files[0].is_file():
        raise CatalogueError(f"There is no file {path}; check the path.")
    try:
        match format_:
            case "csv":
                return _read_csv(path, id_column)
            case "parquet":
                refuse_repeated(pq.read_schema(files[0]).names, path)
                return pq.read_table(files, partitioning=None)  # folders named a=b hold no columns
            case "fits":
                return read_fits(path)
            case _:
                return read_votable(path)
    except (pa.ArrowException, OSError, ValueError, IndexError, TypeError) as error:
        raise CatalogueError(
            f"{path} cannot be read as {format_}: {error}. "
            "Check that the file is whole and that its ending says what it is."
        ) from error


def write_table(table: pa.Table, path: str | Path, overwrite: bool = False) -> None:
    """Write a table as CSV, Parquet, FITS or VOTable, whole or not at all.

    All but CSV say what the fields' metadata say of the columns (`about`), as astropy reads it; FITS also by
    ``TUNIT``, ``TCOMM`` and ``TUCD``, in ASCII.

    Parameters
    ----------
    table
        What is written.
    path
        Ends in .csv, .parquet, .fits, .fit, .vot, .votable or .xml. Its folder is made if need be.
    overwrite
        Replace a file that is already there.

    Raises
    ------
    CatalogueError
        If the ending is unknown, or the format has no way to say a column's type.
    OutputError
        If the file is there already, or the place cannot be written to: it is no folder, is full, or belongs
        to somebody else.
    """
    path = Path(path)
    refuse_unwritable(path, overwrite)
    with atomic_file(path) as place:
        _write(table, place, path)


def refuse_unwritable(path: str | Path, overwrite: bool = False, table: pa.Table | None = None) -> None:
    """Raise what `write_table` would raise, before long work begins.

    Parameters
    ----------
    path, overwrite
        As for `write_table`. The folder is made if need be, and a file beside the place is written and
        removed again.
    table
        One with the columns that are to be written, if they are known.
    """
    path = Path(path)
    _format_of(path, _WRITABLE)
    refuse_existing(path, overwrite=overwrite)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; choose another name for the file.")
    with trial_file(path) as place:
        if table is None:
            place.touch()
        else:
            _write(table, place, path)


def read_ids(path: str | Path, *, id_column: str | None = None) -> tuple[str, ...]:
    """Return a table's column of ids, in its order.

    Parameters
    ----------
    path, id_column
        As for `read_table`; by default, ids are the first of `ID_COLUMNS` that is there.
    """
    path = Path(path)
    table = read_table(path, id_column=id_column)
    return to_ids(table[find_id_column(table.column_names, path, id_column)], path)


_ASTROPY = {".fits": "fits", ".fit": "fits", ".vot": "votable", ".votable": "votable", ".xml": "votable"}
_WRITABLE = {".csv": "csv", ".parquet": "parquet", **_ASTROPY}
_FORMATS = {**_WRITABLE, ".csv.gz": "csv", ".fits.gz": "fits"}


def is_table(path: Path) -> bool:
    """Whether a file has the ending of a table; FITS may be an image."""
    return path.name.lower().endswith(tuple(_FORMATS))


def _format_of(path: Path, formats: dict[str, str]) -> str:
    for ending, format_ in formats.items():
        if path.name.lower().endswith(ending):
            return format_
    raise CatalogueError(f"{path} has none of the endings {', '.join(formats)}; choose the one that fits.")


def _write(table: pa.Table, place: Path, path: Path) -> None:
    """Write to a place what is to become the file at the path, which errors name."""
    format_ = _format_of(path, _WRITABLE)
    try:
        match format_:
            case "csv":
                _write_csv(table, place)
            case "parquet":
                pq.write_table(with_astropy_header(table), place)
            case "fits":
                write_fits(table, place)
            case _:
                write_votable(table, place)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CatalogueError(
            f"{path}: {format_} has no way to say one of these columns ({error}); write Parquet instead."
        ) from error


def _read_csv(path: Path, id_column: str | None) -> pa.Table:
    with pyarrow.csv.open_csv(path) as reader:
        names = reader.schema.names
    refuse_repeated(names, path)
    known = {name.lower() for name in (*ID_COLUMNS, id_column or "")}
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
    texts = [column for column in table.columns if is_text(column.type)]
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
