"""Cutouts decoded once, in one file that training maps into memory.

A store is a directory of three files:

- ``cutouts.bin``: the pixels of one cutout after another, uint8, ``(galaxy, y, x, RGB)`` in C order;
- ``sources.jsonl``: how the store is made, then one line for each source in the listing's order, with the
  status and the reason if it failed;
- ``store.json``: written last, so its presence means that the store is whole.

The first two only ever grow, and a line is written when its pixels are on the disk, so a run that was killed
goes on where the lines end.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from galvote.errors import CatalogueError, ImageError
from galvote.images.geometry import Geometry, try_cutout
from galvote.io.atomic import atomic_file

_FORMAT = 1
_CUTOUTS, _SOURCES, _STORE = "cutouts.bin", "sources.jsonl", "store.json"
_FLUSH_EVERY = 256


@runtime_checkable
class Readable(Protocol):
    """A picture that has an id and can be read: a `galvote.io.Source`."""

    @property
    def id(self) -> str:
        """The galaxy's id."""

    @property
    def read(self) -> Callable[[], tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]]:
        """Return the bytes of the picture's file or files, or its RGB pixels; raises OSError."""


@runtime_checkable
class Listing(Protocol):
    """Pictures that tell themselves apart from others: `galvote.io.Sources`."""

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of which pictures they are."""


@dataclass(frozen=True, eq=False)
class PackedStore:
    """Cutouts of one geometry, in the order of their sources; read-only.

    Parameters
    ----------
    ids
        Ids of the galaxies that could be decoded.
    cutouts
        Their cutouts, mapped into memory: what is not looked at is not read.
    failures
        ``(id, status, reason)`` of the sources that could not, as in `galvote.errors.ImageError`.
    field_of_view
        Field of view of the images that it was packed with, in r90; ``None`` if none was given.
    sources_sha256
        `Listing.digest` of the sources; ``None`` if they have none, or an earlier version packed them.
    """

    ids: tuple[str, ...]
    cutouts: UInt8[np.ndarray, "galaxy p p 3"]
    geometry: Geometry
    failures: tuple[tuple[str, str, str], ...] = ()
    field_of_view: float | None = None
    sources_sha256: str | None = None

    def __len__(self) -> int:
        """Return the number of cutouts."""
        return len(self.ids)

    @classmethod
    def open(cls, directory: str | Path) -> PackedStore:
        """Open a finished store.

        Raises
        ------
        CatalogueError
            If there is no store, or it is unfinished or damaged.
        """
        directory = Path(directory)
        if not (directory / _STORE).is_file():
            unfinished = (directory / _SOURCES).is_file()
            raise CatalogueError(
                f"{directory} holds an unfinished store: run the same `galvote pack` again, it goes on."
                if unfinished
                else f"{directory} is no packed store: make one with `galvote pack PICTURES --out …`."
            )
        ids, failures = list[str](), list[tuple[str, str, str]]()
        try:
            summary = json.loads((directory / _STORE).read_bytes())
            if summary["format"] != _FORMAT:
                raise CatalogueError(f"{directory} was packed by another version of galvote: pack it again.")
            geometry = Geometry.model_validate(summary["geometry"])
            for line in islice(_read_lines(directory / _SOURCES), 1, None):
                if "status" in line:
                    failures.append((line["id"], line["status"], line["reason"]))
                else:
                    ids.append(line["id"])
            shape = (len(ids), geometry.pixels, geometry.pixels, 3)
            size = (directory / _CUTOUTS).stat().st_size
            whole = len(ids) == summary["galaxies"] and size == np.prod(shape)
        except (FileNotFoundError, LookupError, TypeError, ValueError) as error:
            raise _damaged(directory) from error
        if not whole:
            raise _damaged(directory)
        cutouts = (
            np.memmap(directory / _CUTOUTS, dtype=np.uint8, mode="r", shape=shape)
            if ids
            else np.zeros(shape, dtype=np.uint8)
        )
        return cls(
            tuple(ids),
            cutouts,
            geometry,
            tuple(failures),
            field_of_view=summary.get("field_of_view"),
            sources_sha256=summary.get("sources_sha256"),
        )


def is_store(directory: str | Path) -> bool:
    """Whether a finished store is there."""
    return (Path(directory) / _STORE).is_file()


def pack(
    sources: Iterable[Readable],
    directory: str | Path,
    geometry: Geometry,
    *,
    field_of_view: float | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> PackedStore:
    """Decode every source once into a store, or go on with a run that was stopped.

    Parameters
    ----------
    sources
        Read once, in order; only a few are held at a time. To resume, the same as before. Of a `Listing` the
        finished store keeps the digest.
    directory
        Made if it does not exist.
    field_of_view
        Extent of the pictures (`galvote.images.to_cutout`).
    workers
        Decoding threads; by default one for each core this process may use.
    on_progress
        Called with the numbers of sources done and failed so far.
    overwrite
        Start anew instead of resuming or refusing.

    Raises
    ------
    CatalogueError
        If the directory holds a finished store, or an unfinished one of another geometry or other sources.

    Notes
    -----
    A source that cannot be read or decoded is recorded in `PackedStore.failures` and never ends the run.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for name in (_STORE, _SOURCES, _CUTOUTS):
            (directory / name).unlink(missing_ok=True)
    if (directory / _STORE).exists():
        raise CatalogueError(f"{directory} holds a finished store: choose another directory, or --overwrite.")
    plan = {"format": _FORMAT, "geometry": geometry.model_dump(), "field_of_view": field_of_view}
    remaining = iter(sources)
    done, packed = _resume(directory, plan, remaining, geometry, field_of_view)

    with (
        (directory / _CUTOUTS).open("ab") as pixels,
        (directory / _SOURCES).open("a", encoding="utf-8") as lines,
    ):
        waiting = [] if lines.tell() else [plan]

        def flush() -> None:
            _to_disk(pixels)  # first: a line promises that its pixels are there
            lines.writelines(json.dumps(line) + "\n" for line in waiting)
            _to_disk(lines)
            waiting.clear()

        for source_id, result in _decode_all(remaining, geometry, field_of_view, workers):
            line: dict[str, Any] = {"id": source_id}
            if isinstance(result, ImageError):
                line |= {"status": result.status, "reason": result.reason}
            else:
                pixels.write(result.data)
                packed += 1
            waiting.append(line)
            done += 1
            if on_progress:
                on_progress(done, done - packed)
            if len(waiting) >= _FLUSH_EVERY:
                flush()
        flush()
    summary = plan | {"galaxies": packed, "failures": done - packed}
    if isinstance(sources, Listing):
        summary["sources_sha256"] = sources.digest()
    with atomic_file(directory / _STORE) as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n")
    return PackedStore.open(directory)


def _resume(
    directory: Path,
    plan: dict[str, Any],
    sources: Iterator[Readable],
    geometry: Geometry,
    field_of_view: float | None,
) -> tuple[int, int]:
    """Cut both files back to the last whole line, and pass over the sources that are done.

    Returns how many sources are done and how many of them have a cutout.
    """
    path = directory / _SOURCES
    path.touch()
    with path.open("rb+") as file:
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)
    lines = _read_lines(path)
    before = next(lines, plan)
    if before != plan:
        raise CatalogueError(
            f"{directory} holds an unfinished store of {before.get('geometry')}, shown "
            f"{before.get('field_of_view')}; this run wants {plan['geometry']}, "
            f"shown {plan['field_of_view']}. Resume with the same, or --overwrite."
        )
    done, packed = 0, 0
    last: Readable | None = None
    for line in lines:
        source = next(sources, None)
        if source is None or source.id != line.get("id"):
            raise CatalogueError(
                f"{directory} holds an unfinished store of other sources: its number {done + 1} is "
                f"{line.get('id')}, this run's is {source.id if source else 'missing'}. Resume with the "
                "same, or --overwrite."
            )
        done += 1
        if "status" not in line:
            packed, last = packed + 1, source
    size = geometry.pixels**2 * 3
    with (directory / _CUTOUTS).open("ab") as file:
        if file.tell() < packed * size:
            raise _damaged(directory)
        file.truncate(packed * size)
    if last is not None:
        stored = np.fromfile(directory / _CUTOUTS, np.uint8, size, offset=(packed - 1) * size)
        again = _decode(last, geometry, field_of_view)
        if isinstance(again, ImageError) or not np.array_equal(again.ravel(), stored):
            raise CatalogueError(
                f"{directory} holds an unfinished store of other sources: the picture of {last.id} has "
                "changed. Resume with the same, or --overwrite."
            )
    return done, packed


def _decode_all(
    sources: Iterator[Readable], geometry: Geometry, field_of_view: float | None, workers: int | None
) -> Iterator[tuple[str, UInt8[np.ndarray, "p p 3"] | ImageError]]:
    """Decode in threads (the decoders release the interpreter lock), in order, with few in flight."""
    workers = workers or available_cores()
    waiting = deque[tuple[str, Future[UInt8[np.ndarray, "p p 3"] | ImageError]]]()
    with ThreadPoolExecutor(workers) as pool:
        for source in sources:
            waiting.append((source.id, pool.submit(_decode, source, geometry, field_of_view)))
            if len(waiting) >= 4 * workers:
                source_id, result = waiting.popleft()
                yield source_id, result.result()
        for source_id, result in waiting:
            yield source_id, result.result()


def _decode(
    source: Readable, geometry: Geometry, field_of_view: float | None
) -> UInt8[np.ndarray, "p p 3"] | ImageError:
    return try_cutout(source.read, geometry, field_of_view)


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError as error:
                raise _damaged(path.parent) from error
            if not isinstance(line, dict):
                raise _damaged(path.parent)
            yield line


def _damaged(directory: Path) -> CatalogueError:
    return CatalogueError(f"{directory} is damaged: pack it again with --overwrite.")


def available_cores() -> int:
    """Return how many cores this process may use."""
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
