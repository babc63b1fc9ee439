"""Images in a Parquet file, in a column ``image: {bytes, path}`` as Hugging Face `datasets` writes it.

Listing reads ids only. Reading goes through the file once, from front to back, with a few images in memory,
and only where images are wanted.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from galvote.errors import CatalogueError
from galvote.io.columns import ID_COLUMNS, find_id_column, first_column, ids_as_text, refuse_repeated
from galvote.io.readers.files import join_paths, name_without_ending, read_files
from galvote.io.readers.registry import damaged, register
from galvote.io.sources import TEXT, Listing, Read, fill_up, join_texts, say_width

# A batch of images and the bytes read ahead are what a file costs in memory, however large it is.
_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 20

COMPACT_PIXELS, COMPACT_WIDTH = 128, 5.12
"""GZ2's compact form: the central 5.12 r90 on so many pixels, in Parquet files of ids and images alone."""

_CELL = {
    "bytes": (pa.binary(), pa.large_binary(), pa.binary_view(), pa.null()),
    "path": (pa.string(), pa.large_string(), pa.string_view(), pa.null()),
}
"""What a cell of images may hold."""


@dataclass(frozen=True)
class _Rows:
    """Reads a column ``image: {bytes, path}`` of so wide images; a location is the number of a row."""

    path: Path
    width: float | None = None

    def reads(self, locations: pa.Array) -> Iterator[Read]:  # row groups without a wanted row are passed over
        rows = locations.to_numpy()
        with pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                wanted = rows[slice(*np.searchsorted(rows, (start, stop)))] - start
                if len(wanted):
                    yield from fill_up(self._read_group(file, group, wanted), len(wanted))
                start = stop

    def _read_group(self, file: pq.ParquetFile, group: int, rows: np.ndarray) -> Iterator[Read]:
        start = 0
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=["image"], use_threads=False):
            images = batch.column(0)
            for row in rows[slice(*np.searchsorted(rows, (start, start + len(batch))))]:
                yield partial(_read_cell, self.path, self.width, images[int(row) - start].as_py() or {})
            start += len(batch)

    def origins(self, locations: pa.Array) -> pa.Array:
        return join_texts(f"{self.path} row", locations, by=" ")


@register(".parquet")
def list_parquet(path: Path, id_column: str | None = None) -> Listing | None:
    """List the rows of a Parquet file that has a column `image`; None if it has none."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(path, "Parquet", error) from error
    refuse_repeated(schema.names, path)
    if "image" not in schema.names:
        return None
    kind = schema.field("image").type
    if not pa.types.is_struct(kind) or any(
        field.type not in _CELL.get(field.name, [field.type]) for field in kind
    ):
        raise CatalogueError(
            f"{path}: column `image` must be a struct of `bytes` and `path`, a text; it is {kind}."
        )
    looked_for = ([id_column] if id_column else []) + list(ID_COLUMNS)
    named = first_column(schema.names, looked_for, path) is None and any(each.name == "path" for each in kind)
    column = "image.path" if named else find_id_column(schema.names, path, id_column)
    try:
        table = pq.read_table(path, columns=[column], partitioning=None)
        # of a column without any path there is nothing
        values = table.column(0) if table.num_columns else pa.chunked_array([pa.nulls(len(table), TEXT)])
        width, note = _compact_width(path, schema)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "Parquet", error) from error
    if named:
        values = pc.struct_field(values, "path") if pa.types.is_struct(values.type) else values
        if values.null_count:
            find_id_column(schema.names, path, id_column)  # says that there is none
        values = pc.replace_substring_regex(values.cast(TEXT), "(?s)^.*/", "")
        values = pa.chunked_array([name_without_ending(values.combine_chunks())])
    ids = ids_as_text(values, path)
    notes = (*note, f"ids from `{column}`")
    return Listing(ids, pa.array(np.arange(len(ids))), _Rows(path, width), notes=notes)


def _compact_width(path: Path, schema: pa.Schema) -> tuple[float | None, tuple[str, ...]]:
    """Return the width of the images, if they are in GZ2's compact form, and what is to be said of it."""
    if len(schema.names) > 2 or b"huggingface" in (schema.metadata or {}):
        return None, ()
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(1, columns=["image"], use_threads=False), None)
    first = (batch.column(0)[0].as_py() or {}).get("bytes") if batch else None
    with suppress(Exception):  # what is damaged is told of when it is read
        if Image.open(BytesIO(first or b"")).size == (COMPACT_PIXELS, COMPACT_PIXELS):
            side = f"{COMPACT_PIXELS} × {COMPACT_PIXELS} pixels beside ids alone"
            width = f"{COMPACT_WIDTH:g} r90 wide (--field-of-view 8.48 if they show whole frames)"
            return COMPACT_WIDTH, (f"{side}, so taken for GZ2's compact form, {width}",)
    return None, ()


def _read_cell(parquet: Path, width: float | None, image: dict[str, Any]) -> tuple[bytes, ...]:
    if image.get("bytes") is not None:
        return (say_width(image["bytes"], width) if width else image["bytes"],)
    if image.get("path"):
        return read_files((join_paths(parquet.parent, pa.array([image["path"]], TEXT))[0].as_py(),))
    raise FileNotFoundError(f"{parquet} has neither bytes nor a path for this image")
