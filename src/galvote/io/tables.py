"""Tables in and out: CSV, Parquet, FITS and VOTable by the ending of the file's name."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from galvote.errors import CatalogueError, OutputError
from galvote.io.astropy_tables import (
    from_astropy_header,
    read_ecsv,
    read_fits,
    read_votable,
    with_astropy_header,
    write_fits,
    write_votable,
)
from galvote.io.atomic import atomic_file, refuse_existing, trial_file
from galvote.io.columns import find_id_column, refuse_repeated, to_ids
from galvote.io.csv_tables import read_csv, write_csv

Read = Callable[[Path], pa.Table]
Write = Callable[[pa.Table, Path], None]


class _Format(NamedTuple):
    name: str
    endings: tuple[str, ...]
    read: Read
    write: Write | None


_FORMATS = list[_Format]()


def register_table(name: str, *endings: str, read: Read, write: Write | None = None) -> None:
    """Register a format of tables.

    Parameters
    ----------
    name
        For messages.
    *endings
        Of the names of its files, in lower case.
    read
        Returns the table in a file.
    write
        Writes a table to a place; raises Arrow's errors for columns that the format cannot hold.
    """
    _FORMATS.append(_Format(name, endings, read, write))


def read_table(path: str | Path) -> pa.Table:
    """Read a CSV, ECSV, Parquet, FITS or VOTable file, or the shards that a prediction wrote to a folder.

    Parameters
    ----------
    path
        Ends in .csv, .csv.gz, .tsv, .ecsv, .parquet, .fits, .fit, .fits.gz, .vot, .votable or .xml. Of a FITS
        file the first table is read. In CSV, other delimiters, decimal commas, UTF-16, and lines above or a
        row of units below the names are found.

    Returns
    -------
    pyarrow.Table
        Null where a value is missing: all but Parquet cannot tell that from NaN, nor FITS and VOTable from an
        empty text. In CSV, columns of ids stay text, and whole numbers with leading zeros or beyond int64.
        What is said about a column is metadata of its field.

    Raises
    ------
    CatalogueError
        If there is no such file, the ending is unknown, the file is not what its ending says, or two columns
        have the same name.
    """
    path = Path(path)
    format_ = _format_of(Path("shards.parquet") if path.is_dir() else path)
    if not path.exists():
        raise CatalogueError(f"There is no file {path}; check the path.")
    try:
        return format_.read(path)
    except (pa.ArrowException, OSError, ValueError, IndexError, TypeError, csv.Error) as error:
        raise CatalogueError(
            f"{path} cannot be read as {format_.name}: {error}. "
            "Check that the file is whole and that its ending says what it is."
        ) from error


def write_table(table: pa.Table, path: str | Path, overwrite: bool = False) -> None:
    """Write a table as CSV, Parquet, FITS or VOTable, whole or not at all.

    Parameters
    ----------
    table
        What is written; all but CSV keep what the fields' metadata say of the columns.
    path
        Ends in .csv, .parquet, .fits, .fit, .vot, .votable or .xml. Its folder is made if need be.
    overwrite
        Replace a file that is already there.

    Raises
    ------
    CatalogueError
        If the ending is unknown, or the format has no way to say a column's type.
    OutputError
        If the file is there already, or cannot be written.
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
        As for `write_table`.
    table
        One with the columns that are to be written, if they are known.
    """
    path = Path(path)
    _format_of(path, writable=True)
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
        The file; by default, ids are the first of `ID_COLUMNS` that is there.
    """
    path = Path(path)
    table = read_table(path)
    return to_ids(table[find_id_column(table.column_names, path, id_column)], path)


def is_table(path: Path) -> bool:
    """Whether a file has the ending of a table; FITS may be an image."""
    return any(path.name.lower().endswith(format_.endings) for format_ in _FORMATS)


def _format_of(path: Path, *, writable: bool = False) -> _Format:
    formats = [format_ for format_ in _FORMATS if format_.write or not writable]
    for format_ in formats:
        if path.name.lower().endswith(format_.endings):
            return format_
    endings = ", ".join(ending for format_ in formats for ending in format_.endings)
    raise CatalogueError(f"{path} has none of the endings {endings}; choose the one that fits.")


def _write(table: pa.Table, place: Path, path: Path) -> None:
    """Write to a place what is to become the file at the path, which errors name."""
    format_ = _format_of(path, writable=True)
    assert format_.write is not None
    try:
        format_.write(table, place)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CatalogueError(
            f"{path}: {format_.name} has no way to say one of these columns ({error}); write Parquet instead."
        ) from error


def _read_parquet(path: Path) -> pa.Table:
    """Read a file, or the shards in a folder."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise CatalogueError(f"The folder {path} has no Parquet files; name a table, or a folder of shards.")
    refuse_repeated(pq.read_schema(files[0]).names, path)
    # One by one, because each may have masks of its own; folders named a=b hold no columns.
    parts = [from_astropy_header(pq.read_table(file, partitioning=None), path) for file in files]
    return pa.concat_tables(parts, promote_options="permissive")


register_table("csv", ".csv", read=read_csv, write=write_csv)
register_table("csv", ".csv.gz", ".tsv", ".tsv.gz", read=read_csv)
register_table("ecsv", ".ecsv", ".ecsv.gz", read=read_ecsv)
register_table(
    "parquet",
    ".parquet",
    read=_read_parquet,
    write=lambda table, path: pq.write_table(with_astropy_header(table), path),
)
register_table("fits", ".fits", ".fit", read=read_fits, write=write_fits)
register_table("fits", ".fits.gz", read=read_fits)
register_table("votable", ".vot", ".votable", ".xml", read=read_votable, write=write_votable)
