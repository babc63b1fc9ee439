"""A packed store: cutouts decoded once, in one file that is mapped into memory.

A store is a folder of three files:

- ``cutouts.bin``: the pixels of one cutout after another, uint8, ``(galaxy, y, x, RGB)`` in C order;
- ``sources.jsonl``: how the store is made, then one line for each source in the listing's order, with the
  status and the reason if it failed;
- ``store.json``: written last, so its presence means that the store is whole.

`galvote.images.pack` writes it; this is how it is read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from galvote.errors import CatalogueError
from galvote.io.readers.registry import register
from galvote.io.sources import TEXT, Listing, Read, join_texts, refuse, to_values

FORMAT = 1
CUTOUTS, SOURCES, STORE = "cutouts.bin", "sources.jsonl", "store.json"


class StoreFiles(NamedTuple):
    """What the files say: ``store.json``; ``sources.jsonl`` but its first line; the cutouts, not read yet."""

    summary: dict[str, Any]
    lines: list[dict[str, str]]
    cutouts: UInt8[np.ndarray, "galaxy p p 3"]


def open_store(directory: Path) -> StoreFiles:
    """Open a finished store, or raise `CatalogueError` if it is unfinished, damaged or none."""
    if not (directory / STORE).is_file():
        unfinished = (directory / SOURCES).is_file()
        raise CatalogueError(
            f"The packed store {directory} is unfinished: run the same `galvote pack` again."
            if unfinished
            else f"{directory} is no packed store: make one with `galvote pack IMAGES --out …`."
        )
    try:
        summary = json.loads((directory / STORE).read_bytes())
        if summary["format"] != FORMAT:
            raise CatalogueError(f"{directory} was packed by another version of galvote: pack it again.")
        lines = list(islice(read_lines(directory / SOURCES), 1, None))
        packed = sum("status" not in line for line in lines)
        pixels = int(summary["geometry"]["pixels"])
        shape = (packed, pixels, pixels, 3)
        size = (directory / CUTOUTS).stat().st_size
        whole = (
            packed == summary["galaxies"] and size == np.prod(shape) and all("id" in line for line in lines)
        )
    except (FileNotFoundError, LookupError, TypeError, ValueError) as error:
        raise damaged_store(directory) from error
    if not whole:
        raise damaged_store(directory)
    return StoreFiles(summary, lines, _map_cutouts(directory, shape))


def _map_cutouts(directory: Path, shape: tuple[int, ...]) -> np.ndarray:
    if not shape[0]:
        return np.zeros(shape, dtype=np.uint8)
    return np.memmap(directory / CUTOUTS, dtype=np.uint8, mode="r", shape=shape)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what each line of ``sources.jsonl`` says, or raise `CatalogueError` at one that is damaged."""
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError as error:
                raise damaged_store(path.parent) from error
            if not isinstance(line, dict):
                raise damaged_store(path.parent)
            yield line


def damaged_store(directory: Path) -> CatalogueError:
    """Return the error that says that a store is damaged."""
    return CatalogueError(f"{directory} is damaged: pack it again with --overwrite.")


@dataclass(frozen=True)
class _Cutouts:
    """Reads cutouts of a store; a location is its number, or else a status and a reason."""

    directory: Path
    shape: tuple[int, ...]

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        cutouts = _map_cutouts(self.directory, self.shape)
        for row in to_values(locations):
            if row["cutout"] is None:
                yield partial(refuse, row["status"], row["reason"])
            else:
                yield partial(np.array, cutouts[row["cutout"]])

    def origins(self, locations: pa.Array) -> pa.Array:
        numbers = locations.field("cutout").cast(TEXT).fill_null("without a cutout")
        return join_texts(str(self.directory), numbers, by=" ")


@register(STORE)
def list_store(marker: Path, id_column: str | None = None) -> Listing:
    """List a store's cutouts and, with status and reason, the sources that could not be packed."""
    directory = marker.parent
    files = open_store(directory)
    numbers = iter(range(len(files.cutouts)))
    rows = [
        (None, line["status"], line["reason"]) if "status" in line else (next(numbers), None, None)
        for line in files.lines
    ]
    width = float(files.summary["geometry"]["field_of_view"])
    pixels = files.cutouts.shape[1]
    return Listing(
        pa.array([line["id"] for line in files.lines], TEXT),
        pa.array(rows, pa.struct([("cutout", pa.int64()), ("status", TEXT), ("reason", TEXT)])),
        _Cutouts(directory, files.cutouts.shape),
        width,
        notes=(f"packed as {pixels} × {pixels} pixels of {width:g} r90",),
    )
