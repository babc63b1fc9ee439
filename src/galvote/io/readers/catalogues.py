"""Images that a table names in its column ``source``."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galvote.errors import CatalogueError
from galvote.io.astropy_tables import from_astropy_header
from galvote.io.columns import cast_to_text, find_id_column, ids_as_text, is_text, list_names
from galvote.io.readers.files import FITS, Files, join_paths, read_files
from galvote.io.readers.fits_tables import opened
from galvote.io.readers.registry import register
from galvote.io.sources import TEXT, Listing, Read, refuse, to_values
from galvote.io.tables import read_table

_TEXTS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".ecsv", ".ecsv.gz")


@dataclass(frozen=True)
class _NamedFiles:
    """Reads files that a catalogue names, or not; a location is a path or else a status and a reason."""

    catalogue: Path

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        for row in to_values(locations):
            if row["path"] is None:
                yield partial(refuse, row["status"], row["reason"])
            else:
                yield partial(read_files, (row["path"],))

    def origins(self, locations: pa.Array) -> pa.Array:
        return pc.fill_null(locations.field("path"), pa.scalar(str(self.catalogue), TEXT))


@register(*_TEXTS, ".vot", ".votable", ".xml", ".parquet", *FITS, in_folders=False)
def list_catalogue(path: Path, id_column: str | None = None) -> Listing | None:
    """List the paths in a table's column `source`; None if it is a FITS file without one."""
    if path.name.lower().endswith(FITS) and not _has_sources(path):
        return None
    of_parquet = path.name.lower().endswith(".parquet")
    table = pq.ParquetFile(path) if of_parquet else read_table(path)
    names = table.schema_arrow.names if of_parquet else table.column_names
    column = find_id_column(names, path, id_column)
    if "source" not in names:
        raise CatalogueError(
            f"{path} has no column `source` (nor, in Parquet, `image`): it has {list_names(names)}. Name the "
            "column of image paths `source`."
        )
    if of_parquet:
        wanted = dict.fromkeys((column, "source", "status", "reason"))
        kept = [name for name in names if name.removesuffix(".mask") in wanted]  # catalogues may be wide
        table = from_astropy_header(table.read(kept), path)
    sources = cast_to_text(table["source"], "`source`", path).combine_chunks()
    named = pc.not_equal(pc.utf8_trim_whitespace(sources), pa.scalar("", TEXT))
    paths = join_paths(path.parent, pc.if_else(pc.fill_null(named, False), sources, pa.scalar(None, TEXT)))
    ids = ids_as_text(table[column], path)
    if not paths.null_count:
        return Listing(ids, paths, Files())
    locations = pa.StructArray.from_arrays([paths, *_why(table, path)], ["path", "status", "reason"])
    return Listing(ids, locations, _NamedFiles(path))


def _why(table: pa.Table, path: Path) -> tuple[pa.Array, pa.Array]:
    """Return what to say of each row that names no image: the table's status and reason, or our own."""
    given = [
        name for name in ("status", "reason") if name in table.column_names and is_text(table[name].type)
    ]
    none = pa.nulls(len(table), TEXT)
    status, reason = (
        [table[name].cast(TEXT).combine_chunks() for name in given] if given[1:] else [none, none]
    )
    told = pc.fill_null(pc.and_(pc.greater(pc.utf8_length(status), 0), pc.not_equal(status, "ok")), False)
    no_reason = pa.scalar(f"The catalogue {path} names no image.", TEXT)
    return (
        pc.if_else(told, status, pa.scalar("missing", TEXT)),
        pc.if_else(pc.and_(told, pc.is_valid(reason)), reason, no_reason),
    )


def _has_sources(path: Path) -> bool:
    """Whether the first table of a FITS file has a column of paths."""
    from astropy.io import fits

    try:
        with opened(path) as units:
            tables = [unit for unit in units[1:2] if isinstance(unit, fits.BinTableHDU)]
            return any("source" in table.columns.names for table in tables)
    except (OSError, ValueError, TypeError, KeyError):
        return False
