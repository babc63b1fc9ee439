"""Files that hold many pictures: Parquet, tar in the WebDataset layout, FITS tables.

Listing reads ids and positions only. Reading goes through the file once, from front to back, with a few
pictures in memory, and only where pictures are wanted.
"""

from __future__ import annotations

import tarfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import UInt8

from galvote.errors import CatalogueError
from galvote.io.columns import find_id_column, list_names, refuse_repeated, to_ids
from galvote.io.readers.files import IMAGES, name_without_ending, read_files, to_text
from galvote.io.sources import TEXT, Reader, Shelf, fill_up, join_texts, refuse, to_values

# A batch of pictures and the bytes read ahead are what a shard costs in memory, however large it is.
_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 20
_ROWS = 65_536

_CELL = {
    "bytes": (pa.binary(), pa.large_binary(), pa.binary_view(), pa.null()),
    "path": (pa.string(), pa.large_string(), pa.string_view(), pa.null()),
}
"""What a cell of pictures may hold."""


class DamagedShardError(CatalogueError):
    """A file of many pictures that is cut short or damaged."""


class NoImageColumnError(CatalogueError):
    """A FITS file of tables of which no column can be pictures."""


@dataclass(frozen=True)
class DamagedShard:
    """A file whose pictures nobody can list; a location is its path."""

    reason: str

    def readers(self, locations: pa.Array) -> Iterator[Reader]:
        """Yield what says that the file is damaged."""
        for _ in range(len(locations)):
            yield partial(refuse, "truncated", self.reason)

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return the path."""
        return locations


def shelve_damaged(path: Path, error: DamagedShardError) -> Shelf:
    """Put one row on a shelf for a damaged file, with its path as the id, which fails when it is read."""
    paths = to_text([str(path)], path.parent)
    return Shelf(paths, paths, DamagedShard(str(error)))


@dataclass(frozen=True)
class ParquetRows:
    """Pictures in a column ``image: {bytes, path}``; a location is the number of a row."""

    path: Path

    def readers(self, locations: pa.Array) -> Iterator[Reader]:
        """Yield each row's picture; row groups without a wanted row are passed over."""
        rows = locations.to_numpy()
        with pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                wanted = rows[slice(*np.searchsorted(rows, (start, stop)))] - start
                if len(wanted):
                    yield from fill_up(self._read_group(file, group, wanted), len(wanted))
                start = stop

    def _read_group(self, file: pq.ParquetFile, group: int, rows: np.ndarray) -> Iterator[Reader]:
        start = 0
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=["image"], use_threads=False):
            images = batch.column(0)
            for row in rows[slice(*np.searchsorted(rows, (start, start + len(batch))))]:
                yield partial(_read_cell, self.path, images[int(row) - start].as_py() or {})
            start += len(batch)

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return the file's name with the number of the row."""
        return _number(self.path, locations)


def list_parquet(path: Path) -> Shelf:
    """List the rows of a Parquet file that has a column `image`."""
    schema = read_schema(path)
    kind = schema.field("image").type
    if not pa.types.is_struct(kind) or any(
        field.type not in _CELL.get(field.name, [field.type]) for field in kind
    ):
        raise CatalogueError(
            f"{path}: column `image` must be a struct of `bytes` and `path`, a text; it is {kind}."
        )
    column = find_id_column(schema.names, path)
    try:
        values = pq.read_table(path, columns=[column], partitioning=None)[column]
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, "as Parquet", error) from error
    ids = ids_as_text(values, path)
    return Shelf(ids, pa.array(np.arange(len(ids))), ParquetRows(path))


def read_schema(path: Path) -> pa.Schema:
    """Return what columns a Parquet file has, each once."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, "as Parquet", error) from error
    refuse_repeated(schema.names, path)
    return schema


def _damaged(path: Path, format_: str, error: Exception) -> DamagedShardError:
    reason = str(error).rstrip(".")
    return DamagedShardError(f"{path} cannot be read {format_}: {reason}. Check that the file is whole.")


def _read_cell(parquet: Path, image: dict[str, Any]) -> tuple[bytes, ...]:
    if image.get("bytes") is not None:
        return (image["bytes"],)
    if image.get("path"):
        return read_files((str(parquet.parent / image["path"]),))
    raise FileNotFoundError(f"{parquet} has neither bytes nor a path for this image")


@dataclass(frozen=True)
class TarMembers:
    """Pictures in a tar file; a location is a member's name, and offset and size if the file holds it."""

    path: Path

    def readers(self, locations: pa.Array) -> Iterator[Reader]:
        """Yield each member's bytes, read in order."""
        with self.path.open("rb", buffering=_BUFFER_BYTES) as file:
            end = file.seek(0, 2)
            for member in to_values(locations):
                name, offset, size = member["name"], member["offset"], member["size"]
                if offset is None or offset + size > end:
                    reason = f"{self.path} does not hold all of {name}; fetch or pack the tar file again."
                    yield partial(refuse, "truncated", reason)
                else:
                    file.seek(offset)
                    yield partial(_only, file.read(size))

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return the file's name with the member's."""
        return join_texts(str(self.path), locations.field("name"), by=" ")


def _only(data: bytes) -> tuple[bytes, ...]:
    return (data,)


_MEMBER = pa.struct([("name", TEXT), ("offset", pa.int64()), ("size", pa.int64())])
_NOT_HELD = (None, None)


def list_tar(path: Path) -> Shelf:
    """List the pictures of a tar file by their names, from its headers alone.

    A sample of the WebDataset layout is the members that share a key, the name up to its first dot. Its
    picture is the member ``KEY.jpg``, or with another ending of a picture, and its id the last part of the
    key. Other members are passed over. Names with more dots are no trouble unless a part is a key itself.
    Members of the same name are pictures of their own, though unpacking would keep the last alone.

    A tar file that is cut short or damaged has one more row, with its own path as the id, which fails when it
    is read: nobody knows what is lost.

    Raises
    ------
    CatalogueError
        If the name of a picture is not UTF-8.
    """
    members = list[tuple[str, int | None, int | None]]()
    places = dict[str, tuple[int | None, int | None]]()  # by name, for links
    with path.open("rb") as file:
        try:
            # Names that are not UTF-8 stay different from one another.
            with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
                while member := tar.next():
                    tar.members.clear()  # type: ignore[attr-defined]  # it would remember each
                    if member.name.lower().endswith(IMAGES) and not member.isdir():
                        place = (member.offset_data, member.size)
                        linked = places.get(member.linkname, _NOT_HELD)
                        places[member.name] = place if member.isreg() else linked
                        members.append((member.name, *places[member.name]))
                file.seek(tar.offset)
                whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
        except tarfile.TarError:
            whole = False
    names = to_text([name for name, *_ in members], path)
    keys = name_without_ending(names)
    samples = pc.replace_substring_regex(keys, r"(?s)^((?:.*/)?[^/.]+)\.[^/]*$", r"\1")
    further = pc.and_(pc.not_equal(keys, samples), pc.is_in(samples, keys))  # KEY.mask.png beside KEY.jpg
    ids = pc.replace_substring_regex(keys, "(?s)^.*/", "").filter(pc.invert(further))
    locations = pa.array(members, _MEMBER).filter(pc.invert(further))
    if not whole:
        ids = pa.concat_arrays([ids, pa.array([str(path)], TEXT)])
        lost = pa.array([("what follows the last picture", *_NOT_HELD)], _MEMBER)
        locations = pa.concat_arrays([locations, lost])
    return Shelf(ids, locations, TarMembers(path))


@dataclass(frozen=True)
class FitsRows:
    """Pictures in a column of a FITS table; a location is the number of a row.

    Parameters
    ----------
    unit
        Number of the table in the file.
    """

    path: Path
    unit: int
    column: str

    def readers(self, locations: pa.Array) -> Iterator[Reader]:
        """Yield each row's picture from the file mapped into memory."""
        from astropy.io import fits

        for start in range(0, len(locations), _BATCH_ROWS):
            # Opened anew for each batch, so that the part of the file that was mapped can be forgotten.
            with fits.open(self.path, memmap=True) as units:
                table = units[self.unit].data
                for row in locations[start : start + _BATCH_ROWS].to_pylist():
                    # A slice first: of a column with a zero point astropy would convert all rows.
                    yield partial(_as_image, np.array(table[row : row + 1][self.column][0]))

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return the file's name with the number of the row."""
        return _number(self.path, locations)


def list_fits(path: Path) -> Shelf | None:
    """List the rows of a FITS table that has a column of pictures; None if the file is no such table.

    A column holds pictures if its cells have two or three axes. Of several, in whichever tables of the file,
    the one named ``image`` is taken. A file that begins with an image is a picture, whatever tables follow; a
    table with a column ``source`` and none named ``image`` is a catalogue.

    Raises
    ------
    DamagedShardError
        If the table is cut short.
    NoPictureColumnError
        If the file has tables but no picture, neither in a column nor otherwise, and is no catalogue.
    CatalogueError
        If several columns may be meant, there are no ids, or the file is compressed.
    """
    from astropy.io import fits

    columns = list[tuple[int, str]]()  # that hold pictures: number of the table, name
    names = dict[int, list[str]]()  # of each table's columns
    described = list[str]()
    otherwise = False  # a picture, or a catalogue of paths
    try:
        with warnings.catch_warnings(), fits.open(path, memmap=True) as units:
            warnings.simplefilter("ignore")  # a damaged picture is told of when it is read
            for number, unit in enumerate(units):
                if isinstance(unit, fits.CompImageHDU) or not isinstance(unit, fits.BinTableHDU):
                    if unit.is_image and unit.header.get("NAXIS", 0) >= 2:
                        otherwise = True
                        if not names:
                            return None
                    continue
                kinds = {name: unit.columns.dtype[name] for name in unit.columns.names}
                names[number] = list(kinds)
                described += [
                    _describe_column(unit.columns[name].format, name, kinds[name]) for name in kinds
                ]
                found = [
                    name for name, kind in kinds.items() if kind.ndim in (2, 3) and kind.base.kind in "iuf"
                ]
                if "source" in kinds and not any(name.lower() == "image" for name in found):
                    otherwise = True
                else:
                    columns += [(number, name) for name in found]
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError):
        return None
    if not columns and (otherwise or not names):
        return None
    if not columns:
        raise NoImageColumnError(
            f"{path} has no column of pictures: it has {list_names(described)}. The cells of such a column "
            "have axes, which TDIM says: planes (3, y, x) or (y, x) of numbers, or RGB (y, x, 3) as uint8. "
            "Write the pictures so, all of one size, or each as a file of its own."
        )
    chosen = [column for column in columns if column[1].lower() == "image"] or columns
    if len(chosen) > 1:
        said = list_names([f"{name} (HDU {unit})" for unit, name in columns])
        raise CatalogueError(
            f"{path} has several columns with pictures, {said}; name the one to use `image`, and no other."
        )
    if path.name.lower().endswith(".gz"):
        raise CatalogueError(
            f"{path} is compressed, so its rows cannot be read one by one; run `gunzip` on it."
        )
    ((number, name),) = chosen
    id_column = find_id_column(names[number], path)
    try:
        with warnings.catch_warnings(), fits.open(path, memmap=True) as units:
            warnings.simplefilter("ignore")  # of a file cut short: what is raised says it
            values = np.array(units[number].data[id_column])
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, "as a FITS table", error) from error
    values = values.astype(values.dtype.newbyteorder("="))
    ids = ids_as_text(pa.chunked_array([pa.array(values)]), path)
    return Shelf(ids, pa.array(np.arange(len(ids))), FitsRows(path, number, name))


def _describe_column(format_: str, name: str, kind: np.dtype) -> str:
    """Say what cells a column of a FITS table has: ``flux float32 (9216,)``."""
    if "P" in format_ or "Q" in format_:
        return f"{name} of variable length"
    return f"{name} {kind.base.name}" + (f" {kind.shape}" if kind.shape else "")


def _as_image(cell: np.ndarray) -> tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]:
    """Return RGB pixels as they are, and planes as a FITS file of them."""
    if cell.dtype == np.uint8 and cell.shape[2:] == (3,):
        return cell
    from astropy.io import fits

    file = BytesIO()
    fits.PrimaryHDU(cell).writeto(file)
    return (file.getvalue(),)


def ids_as_text(column: pa.ChunkedArray, path: Path) -> pa.Array:
    """Return a column of ids as `galvote.io.columns.to_ids` does, in Arrow."""
    parts = (column[start : start + _ROWS] for start in range(0, len(column), _ROWS))
    return pa.concat_arrays([pa.array([], TEXT), *(pa.array(to_ids(part, path), TEXT) for part in parts)])


def _number(path: Path, numbers: pa.Array) -> pa.Array:
    return join_texts(f"{path} row", numbers, by=" ")
