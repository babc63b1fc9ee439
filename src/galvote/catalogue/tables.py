"""Tables in and out: CSV, Parquet, FITS and VOTable by the ending of the file's name."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from galvote.atomic import atomic_file, trial_file
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

_ABOUT = ("description", "unit", "ucd")
_FITS_KEYWORDS = {"description": "TCOMM", "unit": "TUNIT", "ucd": "TUCD"}

# What an unquoted CSV field without a value looks like. Text that looks so is quoted when written.
_NO_VALUE = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
_NEEDS_QUOTES = r'[",\r\n]|^(' + "|".join(_NO_VALUE) + ")$"

_LARGEST = 2**63 - 1  # of int64


def read_table(path: str | Path) -> pa.Table:
    """Read a CSV, Parquet, FITS or VOTable file, or the parts that a prediction wrote to a folder.

    Parameters
    ----------
    path
        Ends in .csv, .csv.gz, .parquet, .fits, .fit, .fits.gz, .vot, .votable or .xml. Of a FITS file the
        first table is read, of a folder all Parquet files, which have the same columns.

    Returns
    -------
    The table, with null where a value is missing. CSV, FITS and VOTable cannot tell NaN from a missing
    number, and FITS and VOTable cannot tell an empty text from a missing one: both are null. Columns of ids
    (`ID_COLUMNS`) in a CSV stay text, so that leading zeros and long numbers survive. What FITS and VOTable
    say about a column is metadata of its field, as `about` returns it.

    Raises
    ------
    CatalogueError
        If there is no such file, the ending is unknown, the file is not what its ending says, or two columns
        have the same name.
    """
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise CatalogueError(f"The folder {path} has no Parquet files; name a table, or a folder of parts.")
    format_ = _format_of(files[0], _READABLE)
    if not files[0].is_file():
        raise CatalogueError(f"There is no file {path}; check the path.")
    try:
        if format_ == "csv":
            return _read_csv(path)
        if format_ == "parquet":
            refuse_repeated(pq.read_schema(files[0]).names, path)
            return pq.read_table(files, partitioning=None)  # folders named a=b hold no columns
        return _read_fits(path) if format_ == "fits" else _read_votable(path)
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

    The file is written beside its place and renamed, so that it is whole or not there. All but CSV say what
    the fields' metadata say of the columns (`about`): Parquet as it is, FITS by ``TUNIT``, ``TCOMM`` and
    ``TUCD``, in ASCII.

    Parameters
    ----------
    path
        Ends in .csv, .parquet, .fits, .fit, .vot, .votable or .xml. Its folder is made if need be.
    overwrite
        Replace a file that is already there.

    Raises
    ------
    CatalogueError
        If the file is there already, the ending is unknown, the format has no way to say a column's type, or
        the place cannot be written to: it is no folder, is full, or belongs to somebody else.
    """
    path = Path(path)
    format_ = _format_of(path, _WRITABLE)
    refuse_unwritable(path, overwrite)
    with _explained(path), atomic_file(path) as partial:
        _write(table, partial, path, format_)


def refuse_unwritable(path: str | Path, overwrite: bool = False, table: pa.Table | None = None) -> None:
    """Raise `CatalogueError` if `write_table` could not write there, or not such a table.

    Long work asks before it begins. The folder is made if need be, and a file beside the place is written and
    removed again.
    """
    path = Path(path)
    format_ = _format_of(path, _WRITABLE)
    if path.exists() and not overwrite:
        raise CatalogueError(
            f"{path} is there already; choose another name or pass --overwrite (overwrite=True)."
        )
    if path.is_dir():
        raise CatalogueError(f"{path} is a folder; choose another name for the file.")
    with _explained(path), trial_file(path) as partial:
        if table is None:
            partial.touch()
        else:
            _write(table, partial, path, format_)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CatalogueError(
            f"{path} cannot be written ({error}). Make room there, see that you may write there, or choose "
            "another place."
        ) from error


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
    ids = tuple((text or "").strip() for text in cast_to_text(column, "of ids", path).to_pylist())
    if missing := sum(not text for text in ids):
        raise CatalogueError(
            f"{path} has {missing} rows without an id; give each galaxy one or remove these rows."
        )
    return ids


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


def _format_of(path: Path, formats: dict[str, str]) -> str:
    for ending, format_ in formats.items():
        if path.name.lower().endswith(ending):
            return format_
    raise CatalogueError(f"{path} has none of the endings {', '.join(formats)}; choose the one that fits.")


def _write(table: pa.Table, place: Path, path: Path, format_: str) -> None:
    """Write to a place what is to become the file at the path, which errors name."""
    try:
        if format_ == "csv":
            _write_csv(table, place)
        elif format_ == "parquet":
            pq.write_table(table, place)
        elif format_ == "fits":
            _write_fits(table, place)
        else:
            _write_votable(table, place)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CatalogueError(
            f"{path}: {format_} has no way to say one of these columns ({error}); write Parquet instead."
        ) from error


def _read_csv(path: Path) -> pa.Table:
    with pyarrow.csv.open_csv(path) as reader:
        names = reader.schema.names
    refuse_repeated(names, path)
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


def _read_fits(path: Path) -> pa.Table:
    from astropy.io import fits
    from astropy.table import MaskedColumn, Table

    # As bytes, because astropy would take the text of a FITS table for ASCII.
    with fits.open(path, character_as_bytes=True) as units:
        unit = next((unit for unit in units if isinstance(unit, fits.BinTableHDU | fits.TableHDU)), None)
        if unit is None:
            raise ValueError("it has no table")
        refuse_repeated(unit.columns.names, path)
        # Of a text of varying length (PA) astropy makes an array of characters, in ASCII only.
        letters = [column.name for column in unit.columns if _fits_kind(column) == "PA"]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*contains NULL")  # logicals, which are marked below
                table = Table.read(unit, unit_parse_strict="silent")
            for name in letters:
                table[name] = np.array(["".join(row) for row in table[name]], dtype=str)
        except UnicodeDecodeError as error:
            if not letters:
                raise
            raise CatalogueError(
                f"{path}: text of varying length must be ASCII, and that of {list_names(letters)} is not; "
                "store it as text of fixed length (TFORM 20A, say) in UTF-8."
            ) from error
        for name in [column.name for column in unit.columns if _fits_kind(column) == "L"]:
            missing = unit.data.view(np.ndarray)[name] == 0  # of its bytes T, F and 0 astropy tells T only
            table[name] = MaskedColumn(table[name], mask=missing.reshape(table[name].shape))
        said = [
            {key: unit.header.get(f"{word}{number}") for key, word in _FITS_KEYWORDS.items()}
            for number in range(1, len(table.colnames) + 1)
        ]
    for column, texts in zip(table.itercols(), said, strict=True):
        texts["description"] = column.description or texts["description"]  # astropy's own way to keep it
    return _from_astropy(table, said, path)


def _fits_kind(column: Any) -> str:
    """Return the letter of a FITS column's type; that of a column of varying length follows a P."""
    kind = column.format
    return "P" + kind.p_format if kind.format in ("P", "Q") else str(kind.format)


def _read_votable(path: Path) -> pa.Table:
    from astropy.table import Table

    table = Table.read(path, format="votable", use_names_over_ids=True)  # ids have lost what XML forbids
    said = [
        {
            "description": " ".join(column.description.split()) if column.description else None,
            "unit": None if column.unit is None else _unit_text(column.unit),
            "ucd": column.meta.get("ucd"),
        }
        for column in table.itercols()
    ]
    return _from_astropy(table, said, path)


def _unit_text(unit: Any) -> str:
    try:
        return str(unit.to_string("fits"))
    except ValueError:  # a unit that FITS does not know, or nobody does
        return str(unit)


def _from_astropy(table: Any, said: Sequence[Mapping[str, str | None]], path: Path) -> pa.Table:
    table.convert_bytestring_to_unicode()
    columns = [_to_arrow(table[name], path) for name in table.colnames]
    fields = [
        pa.field(
            name, column.type, metadata={key: str(text) for key, text in texts.items() if text is not None}
        )
        for name, column, texts in zip(table.colnames, columns, said, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _to_arrow(column: Any, path: Path) -> pa.Array:
    missing = np.ma.getmaskarray(column)
    values = np.ma.getdata(column)
    if values.ndim > 1:
        return pa.array((np.ma.array(values, mask=missing) if values.dtype == bool else values).tolist())
    if values.dtype == object and any(isinstance(row, np.ndarray) for row in values):
        return _to_lists(column.name, values, missing, path)
    if values.dtype.kind in "biuf":
        values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
        if values.dtype.kind == "f":
            missing = missing | np.isnan(values)
        return pa.array(values, mask=missing)
    return pa.array(
        [str(text) if text and not gone else None for text, gone in zip(values, missing, strict=True)],
        pa.string(),
    )


def _to_lists(name: str, rows: np.ndarray, missing: np.ndarray, path: Path) -> pa.Array:
    """Return arrays of varying length as lists."""
    kinds = {row.dtype for row in rows if row.size} or {row.dtype for row in rows}  # empty rows: float64
    try:
        kind = np.result_type(*kinds).newbyteorder("=")
        lists = [row.tolist() if np.ma.is_masked(row) else np.ma.getdata(row).astype(kind) for row in rows]
        return pa.array(
            [None if gone else row for row, gone in zip(lists, missing, strict=True)],
            pa.list_(pa.from_numpy_dtype(kind)),
        )
    except (pa.ArrowException, TypeError) as error:
        raise CatalogueError(
            f"{path}: the column {name} holds arrays of varying length that cannot be lists of numbers "
            f"({error}); remove it from the table."
        ) from error


def _write_fits(table: pa.Table, path: Path) -> None:
    from astropy.io import fits

    if foreign := [name for name in table.column_names if not name.isascii()]:
        raise pa.ArrowInvalid(f"{list_names(foreign)}: names must be ASCII")
    unit = fits.table_to_hdu(_to_astropy(table, encoded=True), character_as_bytes=True)
    for number, field in enumerate(table.schema, start=1):
        for key, text in about(field).items():
            unit.header[f"{_FITS_KEYWORDS[key]}{number}"] = text.encode("ascii", "replace").decode()
    unit.writeto(path, overwrite=True)
    gaps = [number for number, column in enumerate(unit.columns) if _fits_kind(column) == "L"]
    if gaps := [number for number in gaps if table.column(number).null_count]:
        # A logical that is missing is a zero byte, which astropy has no way to ask for.
        with fits.open(path, mode="update") as units:
            raw = units[1].data.view(np.ndarray)
            for number in gaps:
                raw[raw.dtype.names[number]][table.column(number).is_null().to_numpy()] = 0


def _write_votable(table: pa.Table, path: Path) -> None:
    from astropy.units import Unit

    columns = _to_astropy(table, encoded=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units that VOTable does not know, which are written all the same
        for field in table.schema:
            said, column = about(field), columns[field.name]
            column.description = said.get("description")
            if "unit" in said:
                column.unit = Unit(said["unit"], parse_strict="silent")
            if "ucd" in said:
                column.meta["ucd"] = said["ucd"]
        columns.write(path, format="votable", overwrite=True)


def _to_astropy(table: pa.Table, encoded: bool) -> Any:
    """Return an astropy table: for FITS, whose texts are bytes (UTF-8), if `encoded`; else for VOTable."""
    from astropy.table import MaskedColumn, Table

    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        missing = column.is_null().to_numpy()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.string())
        if _is_text(column.type) or pa.types.is_null(column.type):
            texts = np.array([text or "" for text in column.to_pylist()], dtype=str)
            columns[name] = np.char.encode(texts, "utf-8") if encoded else texts
        elif pa.types.is_floating(column.type):
            # Null becomes NaN, which is missing in both formats.
            columns[name] = _widened(name, column.to_numpy(), encoded)
        elif pa.types.is_boolean(column.type):
            values = pc.fill_null(column, False).to_numpy()
            columns[name] = values if encoded else MaskedColumn(values, mask=missing)
        elif pa.types.is_integer(column.type):
            values = pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy()
            values = _widened(name, values, encoded, bool(missing.any()))
            # astropy marks what is missing by a value of the same type; such extremes hardly ever occur.
            mark = np.iinfo(values.dtype).min if values.dtype.kind == "i" else _LARGEST
            columns[name] = MaskedColumn(values, mask=missing, fill_value=mark) if missing.any() else values
        elif pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            columns[name] = _to_vectors(name, column, encoded)
        else:
            raise pa.ArrowNotImplementedError(f"{name}: {column.type}")
    return Table(columns)


def _to_vectors(name: str, column: pa.ChunkedArray, encoded: bool) -> Any:
    """Return lists of equally many numbers as rows of an array; NaN where a list is missing."""
    lengths = pc.list_value_length(column).to_numpy()
    present = np.isfinite(lengths.astype(float))
    width = {int(length) for length in lengths[present]}
    kind = column.type.value_type
    if not (pa.types.is_floating(kind) or (pa.types.is_integer(kind) and present.all())) or len(width) > 1:
        raise pa.ArrowNotImplementedError(f"{name}: {column.type}")
    values = pc.list_flatten(column).to_numpy()
    vectors = np.zeros((len(column), *(width or {1})), values.dtype)
    vectors[present] = values.reshape(-1, vectors.shape[1])
    if not present.all():
        vectors[~present] = np.nan
    return _widened(name, vectors, encoded)


def _widened(name: str, numbers: np.ndarray, for_fits: bool, gaps: bool = False) -> np.ndarray:
    """Return numbers in a type that the format has: neither has float16 or int8, VOTable only uint8 unsigned.

    With gaps, unsigned numbers become signed ones, whose smallest value is free to mark a gap.
    """
    kind = numbers.dtype
    if kind == np.float16:
        return numbers.astype(np.float32)
    if kind == np.int8:
        return numbers.astype(np.int16)
    if kind.kind != "u" or (not gaps and (for_fits or kind == np.uint8)):
        return numbers
    if kind == np.uint64 and numbers.size and numbers.max() > _LARGEST:
        if for_fits:
            return numbers
        raise pa.ArrowInvalid(f"{name}: {numbers.max()} is beyond int64")
    return numbers.astype(f"i{min(8, 2 * kind.itemsize)}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
