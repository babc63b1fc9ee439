"""FITS and VOTable through astropy, and what astropy wants to know of Parquet: units, descriptions, gaps.

What astropy has no type for is an error that names the column.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.columns import about, describe, is_text, list_names, refuse_names, refuse_repeated

if TYPE_CHECKING:
    from astropy.table import Table

_FITS_KEYWORDS = {"description": "TCOMM", "unit": "TUNIT", "ucd": "TUCD"}
_LONGEST, _MOST = 68, 999
"""Letters of a column's name, and columns, in FITS."""

_FORBIDDEN = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
"""Characters that XML cannot hold; FITS loses a zero byte at the end."""

_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
"""Characters that no header of FITS can hold."""

_UNPRINTABLE = r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
"""Characters that JSON takes as they are, and YAML does not."""

_GAP = np.iinfo(np.int64).min


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
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*contains NULL")  # logicals, which are marked below
            try:
                table = _plain(Table.read(unit, unit_parse_strict="silent"))
            except UnicodeDecodeError as error:
                raise CatalogueError(
                    f"{path}: text of varying length must be ASCII; store it as UTF-8 of fixed length."
                ) from error
        for number, column in enumerate(unit.columns, start=1):
            if column.name not in table.colnames:
                continue  # a part of something
            if str(column.format).lstrip("0123456789") == "L":
                gone = unit.data.view(np.ndarray)[column.name] == 0  # of T, F and 0 astropy tells T only
                table[column.name] = MaskedColumn(table[column.name], mask=gone.reshape(gone.shape))
            known = table[column.name]
            known.description = known.description or unit.header.get(f"TCOMM{number}")
            known.meta["ucd"] = unit.header.get(f"TUCD{number}")
            if unit.header.get(f"TUNIT{number}") == "":
                known.unit = ""  # a pure number, which astropy takes for one whose unit is not known
    return _to_arrow(table, path)


def read_votable(path: Path) -> pa.Table:
    """Read a VOTable."""
    from astropy.table import Table

    # Ids have lost what XML forbids.
    return _to_arrow(Table.read(path, format="votable", use_names_over_ids=True), path)


def read_ecsv(path: Path) -> pa.Table:
    """Read an ECSV file."""
    from astropy.table import Table

    return _to_arrow(_plain(Table.read(path, format="ascii.ecsv")), path)


def _plain(table: Table) -> Table:
    """Return a table with a column for each part of those that have parts: ``coord.ra``, ``coord.dec``."""
    from astropy.coordinates import SkyCoord
    from astropy.table.serialize import represent_mixins_as_columns

    for name in table.colnames:
        if isinstance(table[name], SkyCoord):
            table[name] = table[name].icrs
            table[name].representation_type = "spherical"
    return represent_mixins_as_columns(table)


def _to_arrow(table: Any, path: Path) -> pa.Table:
    table.convert_bytestring_to_unicode()
    arrays, fields = list[pa.Array](), list[pa.Field]()
    for column in table.itercols():
        try:
            arrays.append(_to_array(column))
        except (pa.ArrowException, TypeError) as error:
            raise CatalogueError(
                f"{path}: the column {column.name} holds {column.dtype} that no column of galvote can hold "
                f"({error}); remove it from the table."
            ) from error
        description = " ".join((column.description or "").split()) or None
        unit = None if column.unit is None else _unit_text(column.unit)
        field = pa.field(column.name, arrays[-1].type)
        fields.append(describe(field, description, unit, column.meta.get("ucd")))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _to_array(column: Any) -> pa.Array:
    missing = np.ma.getmaskarray(column)
    values = np.ma.getdata(column)
    if values.ndim > 1 or values.dtype == object:
        whole = np.ma.array(values, mask=missing) if values.dtype in (bool, object) else values
        return pa.array([_to_row(row) for row in whole])
    if values.dtype.kind in "biuf":
        values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
        if values.dtype.kind == "f":
            missing = missing | np.isnan(values)
        return pa.array(values, mask=missing)
    texts = (str(text) if text and not gone else None for text, gone in zip(values, missing, strict=True))
    return pa.array(texts, pa.string())


def _to_row(row: Any) -> Any:
    if not isinstance(row, np.ndarray):
        return row
    return "".join(row) or None if row.dtype.kind == "U" else row.tolist()


def _unit_text(unit: Any) -> str:
    try:
        return str(unit.to_string("fits"))
    except ValueError:  # a unit that FITS does not know, or nobody does
        return str(unit)


def write_fits(table: pa.Table, path: Path) -> None:
    """Write a FITS file of one table; raises Arrow's errors for columns that FITS cannot hold."""
    from astropy.io import fits

    names = table.column_names
    if wrong := [name for name in names if not name.isascii() or len(name) > _LONGEST]:
        raise pa.ArrowInvalid(f"{list_names(wrong)}: names must be ASCII, and of {_LONGEST} letters at most")
    if alike := [name for name in names if sum(name.lower() == other.lower() for other in names) > 1]:
        raise pa.ArrowInvalid(f"{list_names(alike)}: names must differ in more than case")
    if len(names) > _MOST:
        raise pa.ArrowInvalid(f"there are {len(names)}, and {_MOST} at most can be")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units that FITS does not know, which are written all the same
        to_astropy(table, for_fits=True).write(path, format="fits", overwrite=True)
    with fits.open(path, mode="update") as units:
        unit = units[1]
        raw = unit.data.view(np.ndarray)
        for number, (field, column) in enumerate(zip(table.schema, table.columns, strict=True), start=1):
            for key, text in _printable(field).items():
                unit.header[f"{_FITS_KEYWORDS[key]}{number}"] = text.encode("ascii", "replace").decode()
            if pa.types.is_boolean(field.type) and column.null_count:
                # A logical that is missing is a zero byte, which astropy has no way to ask for.
                raw[raw.dtype.names[number - 1]][column.is_null().to_numpy()] = 0


def write_votable(table: pa.Table, path: Path) -> None:
    """Write a VOTable; raises Arrow's errors for columns that it cannot hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units that VOTable does not know, which are written all the same
        to_astropy(table).write(path, format="votable", overwrite=True)


def with_astropy_header(table: pa.Table) -> pa.Table:
    """Return a table whose schema says what `astropy.table.Table.read` reads of a Parquet file's columns.

    That is the header of ECSV (Astropy Proposal for Enhancement 6) in YAML, of which JSON is a part. astropy
    itself would take longer to import than a few galaxies take to predict.
    """
    if not any(about(field) for field in table.schema):
        return table
    header: dict[str, Any] = {"datatype": [_ecsv_column(field) for field in table.schema]}
    if comments := _comments(table.schema):
        header["meta"] = {"comments": comments}
    said = re.sub(
        _UNPRINTABLE, lambda found: f"\\u{ord(found[0]):04x}", json.dumps(header, ensure_ascii=False)
    )
    notes = {"table_meta_yaml": said}
    for field, column in zip(table.schema, table.columns, strict=True):
        if is_text(field.type):
            notes[f"table::len::{field.name}"] = str(pc.max(pc.utf8_length(column)).as_py() or 1)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **notes})


def from_astropy_header(table: pa.Table, path: Path) -> pa.Table:
    """Return a Parquet file's table with what astropy says of it beside: units, descriptions, and gaps.

    Of a masked column, the file has the values below the mask, and the mask as a column of its own.
    """
    notes = dict(table.schema.metadata or {})
    said = notes.pop(b"table_meta_yaml", b"{").decode()
    if said.startswith("{"):  # galvote's own, which Arrow's fields have, too
        return table
    from astropy.table.meta import YamlParseError, get_header_from_yaml

    try:
        header = get_header_from_yaml(said.splitlines())
        parts = (header.get("meta") or {}).get("__serialized_columns__") or {}
        columns = {column["name"]: column for column in header["datatype"]}
        masks = dict(_masks(parts))
        others = [name for name, part in parts.items() if "ra" in part and part.get("frame") != "icrs"]
    except (YamlParseError, LookupError, TypeError, AttributeError) as error:
        raise CatalogueError(
            f"{path}: what astropy says of the columns (table_meta_yaml) is damaged; write the file again."
        ) from error
    if others:
        raise CatalogueError(f"{path}: the coordinates {list_names(others)} are not ICRS; convert them.")
    arrays, fields = list[pa.ChunkedArray](), list[pa.Field]()
    for field, values in zip(table.schema, table.columns, strict=True):
        if field.name in masks.values():
            continue
        if masks.get(field.name) in table.column_names:
            values = _with_gaps(values, table[masks[field.name]])
        known = columns.get(field.name, {})
        ucd = (known.get("meta") or {}).get("ucd")
        arrays.append(values)
        fields.append(describe(field, known.get("description"), known.get("unit"), ucd))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, notes))


def _masks(part: Any) -> Iterator[tuple[str, str]]:
    """Yield the names of columns and of their masks, from how astropy has taken columns to pieces."""
    if isinstance(part, dict):
        if "data" in part and "mask" in part:
            yield part["data"]["name"], part["mask"]["name"]
        for piece in part.values():
            yield from _masks(piece)


def _with_gaps(values: Any, mask: Any) -> Any:
    """Return a column, or lists, with nulls where a mask of the same shape is true."""
    if not pa.types.is_fixed_size_list(mask.type):
        return pc.if_else(mask, pa.scalar(None, values.type), values)
    size = mask.type.list_size
    inner = _with_gaps(
        pa.concat_arrays(pc.list_flatten(values).chunks), pa.concat_arrays(pc.list_flatten(mask).chunks)
    )
    return pa.chunked_array([pa.FixedSizeListArray.from_arrays(inner, size)])


def _ecsv_column(field: pa.Field) -> dict[str, Any]:
    known = about(field)
    plain = pa.types.is_primitive(field.type) and not pa.types.is_temporal(field.type)
    kind = np.dtype(field.type.to_pandas_dtype()).name if plain else "string"
    column = {"name": field.name, "datatype": kind}
    column |= {key: known[key] for key in ("unit", "description") if key in known}
    return column | ({"meta": {"ucd": known["ucd"]}} if "ucd" in known else {})


def _comments(schema: pa.Schema) -> list[str]:
    """Return what a table says of itself."""
    notes = schema.metadata or {}
    return [notes[name].decode() for name in (b"computed_by", b"remark") if name in notes]


def to_astropy(table: pa.Table, *, for_fits: bool = False) -> Table:
    """Return an Arrow table as one of astropy's, with units and descriptions, or raise Arrow's errors.

    Missing numbers are NaN, or masked where there is no NaN. For FITS, texts become bytes in UTF-8.
    """
    from astropy.table import Table
    from astropy.units import Unit

    columns = Table()
    refuse_names(table.column_names)
    for field, column in zip(table.schema, table.columns, strict=True):
        columns[field.name] = _to_numpy(field.name, column, for_fits)
        known = _printable(field)
        columns[field.name].description = known.get("description")
        if "unit" in known:
            unit = Unit(known["unit"], parse_strict="silent")
            if for_fits and not str(unit).isascii():
                unit = Unit(known["unit"].encode("ascii", "replace").decode(), parse_strict="silent")
            columns[field.name].unit = unit
        if "ucd" in known:
            columns[field.name].meta["ucd"] = known["ucd"]
    if comments := _comments(table.schema):
        columns.meta["comments"] = comments
    return columns


def _printable(field: pa.Field) -> dict[str, str]:
    """Return what is known of a column, with blanks for line breaks and ? for other control characters."""
    return {
        key: re.sub(_CONTROL, lambda found: " " if found[0].isspace() else "?", text)
        for key, text in about(field).items()
    }


def _to_numpy(name: str, column: pa.ChunkedArray, for_fits: bool) -> Any:
    from astropy.table import MaskedColumn

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_temporal(kind):
        column = column.cast(pa.string())
    if is_text(column.type) or pa.types.is_null(kind):
        if pc.any(pc.match_substring_regex(column.cast(pa.string()), _FORBIDDEN)).as_py():
            raise pa.ArrowInvalid(f"{name}: its text has control characters")
        texts = np.array([text or "" for text in column.to_pylist()], dtype=str)
        return np.char.encode(texts, "utf-8") if for_fits else texts
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _widened(_to_vectors(name, column), for_fits)
    if pa.types.is_floating(kind):
        return _widened(column.to_numpy(), for_fits)  # null becomes NaN, which is missing in both formats
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        raise pa.ArrowNotImplementedError(f"{name}: {kind}")
    if not column.null_count:
        return _widened(column.to_numpy(), for_fits)
    missing = column.is_null().to_numpy()
    if pa.types.is_boolean(kind):
        return MaskedColumn(pc.fill_null(column, False).to_numpy(), mask=None if for_fits else missing)
    # astropy marks what is missing by a value; this one hardly ever occurs.
    values = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    return MaskedColumn(values, mask=missing, fill_value=_GAP)


def _to_vectors(name: str, column: pa.ChunkedArray) -> np.ndarray:
    """Return lists of equally many numbers as rows of an array; NaN where a list is missing."""
    kind = column.type.value_type
    width = set(pc.list_value_length(column).drop_null().to_pylist()) or {1}
    floating = pa.types.is_floating(kind)
    if (
        len(width) > 1
        or 0 in width
        or not (floating or (pa.types.is_integer(kind) and not column.null_count))
    ):
        raise pa.ArrowNotImplementedError(f"{name}: {column.type}")
    flat = pc.list_flatten(column).to_numpy()
    vectors = np.full((len(column), *width), np.nan if floating else 0, flat.dtype)
    vectors[column.is_valid().to_numpy()] = flat.reshape(-1, *width)
    return vectors


def _widened(numbers: np.ndarray, for_fits: bool) -> np.ndarray:
    """Return numbers in a type that the format has: no float16 or int8; in VOTable, only uint8 unsigned."""
    kind = numbers.dtype
    if kind == np.float16:
        return numbers.astype(np.float32)
    if kind == np.int8 or (kind.kind == "u" and kind.itemsize > 1 and not for_fits):
        whole = pa.array(numbers.ravel()).cast(pa.int64())  # or says that one is too large
        return np.asarray(whole).reshape(numbers.shape)
    return numbers
