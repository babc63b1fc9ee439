"""FITS and VOTable, through astropy: tables with units, descriptions and missing values, in and out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.columns import about, is_text, list_names, refuse_repeated

_FITS_KEYWORDS = {"description": "TCOMM", "unit": "TUNIT", "ucd": "TUCD"}

_LARGEST = 2**63 - 1  # of int64


def read_fits(path: Path) -> pa.Table:
    """Read the first table of a FITS file; astropy raises all sorts at damaged ones."""
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


def read_votable(path: Path) -> pa.Table:
    """Read a VOTable."""
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


def write_fits(table: pa.Table, path: Path) -> None:
    """Write a FITS file of one table; raises Arrow's errors for columns that FITS cannot hold."""
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


def write_votable(table: pa.Table, path: Path) -> None:
    """Write a VOTable; raises Arrow's errors for columns that it cannot hold."""
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
        if is_text(column.type) or pa.types.is_null(column.type):
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
