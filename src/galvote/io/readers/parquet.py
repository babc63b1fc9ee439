"""Images in a Parquet file, in a column ``image: {bytes, path}`` as Hugging Face `datasets` writes it.

Listing reads ids only. Reading goes through the file once, from front to back, with a few images in memory,
and only where images are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galvote.errors import CatalogueError
from galvote.io.columns import find_id_column, ids_as_text, refuse_repeated
from galvote.io.readers.files import read_files
from galvote.io.readers.registry import damaged, register
from galvote.io.sources import Listing, Read, fill_up, join_texts

# A batch of images and the bytes read ahead are what a file costs in memory, however large it is.
_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 20

_CELL = {
    "bytes": (pa.binary(), pa.large_binary(), pa.binary_view(), pa.null()),
    "path": (pa.string(), pa.large_string(), pa.string_view(), pa.null()),
}
"""What a cell of images may hold."""


@dataclass(frozen=True)
class _Rows:
    """Reads a column ``image: {bytes, path}``; a location is the number of a row."""

    path: Path

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
                yield partial(_read_cell, self.path, images[int(row) - start].as_py() or {})
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
    column = find_id_column(schema.names, path, id_column)
    try:
        values = pq.read_table(path, columns=[column], partitioning=None)[column]
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "Parquet", error) from error
    ids = ids_as_text(values, path)
    return Listing(ids, pa.array(np.arange(len(ids))), _Rows(path))


def _read_cell(parquet: Path, image: dict[str, Any]) -> tuple[bytes, ...]:
    if image.get("bytes") is not None:
        return (image["bytes"],)
    if image.get("path"):
        return read_files((str(parquet.parent / image["path"]),))
    raise FileNotFoundError(f"{parquet} has neither bytes nor a path for this image")
