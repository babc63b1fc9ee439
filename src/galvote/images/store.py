"""Cutouts decoded once, in one file that training maps into memory.

`galvote.io.readers.store` says what a store's files are. Two of them only ever grow, and a line is written
when its pixels are on the disk, so a run that was killed goes on where the lines end.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt8

from galvote.errors import CatalogueError, ImageError
from galvote.images.geometry import Geometry, try_cutout
from galvote.io.atomic import refuse_existing, trial_file, write_whole, writing
from galvote.io.readers.store import CUTOUTS, FORMAT, SOURCES, STORE, damaged_store, open_store, read_lines
from galvote.io.sources import Source, Sources
from galvote.io.threads import map_in_threads

_FLUSH_EVERY = 256


@dataclass(frozen=True, eq=False)
class PackedStore:
    """Cutouts of one geometry, in the order of their sources; read-only.

    Parameters
    ----------
    ids
        Ids of the galaxies that could be decoded.
    cutouts
        Their cutouts, mapped into memory: what is not looked at is not read.
    geometry
        Of all cutouts.
    failures
        ``(id, status, reason)`` of the sources that could not, as in `galvote.errors.ImageError`.
    field_of_view
        Of the images that it was packed with, in r90; ``None`` if none was given.
    sources_sha256
        `Sources.digest` of the sources; ``None`` if they were not `Sources`.
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
    def open(cls, directory: str | Path) -> "PackedStore":
        """Open a finished store.

        Parameters
        ----------
        directory
            The store; `CatalogueError` if there is none, or it is unfinished or damaged.
        """
        files = open_store(Path(directory))
        try:
            geometry = Geometry.model_validate(files.summary["geometry"])
            failed = tuple(
                (line["id"], line["status"], line["reason"]) for line in files.lines if "status" in line
            )
        except (LookupError, ValueError) as error:
            raise damaged_store(Path(directory)) from error
        return cls(
            tuple(line["id"] for line in files.lines if "status" not in line),
            files.cutouts,
            geometry,
            failed,
            field_of_view=files.summary.get("field_of_view"),
            sources_sha256=files.summary.get("sources_sha256"),
        )


def is_store(directory: str | Path) -> bool:
    """Whether a finished store is there.

    Parameters
    ----------
    directory
        Of the store.
    """
    return (Path(directory) / STORE).is_file()


def pack(
    sources: Iterable[Source],
    directory: str | Path,
    geometry: Geometry,
    *,
    field_of_view: float | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> PackedStore:
    """Decode every source once into a store, or go on with a run that was stopped, and return the store.

    One that cannot be read or decoded is recorded in `PackedStore.failures` and never ends the run.

    Parameters
    ----------
    sources
        Read once, in order, a few at a time. To resume, the same as before.
    directory
        Made if it does not exist.
    geometry
        Of the cutouts.
    field_of_view
        Width of the images in r90, where their place does not say it.
    workers
        Decoding threads; by default one for each core this process may use.
    on_progress
        Called with the numbers of sources done and failed so far.
    overwrite
        Start anew instead of resuming or refusing.

    Raises
    ------
    CatalogueError
        If the directory holds an unfinished store of another geometry or other sources.
    OutputError
        If it holds a finished store, or cannot be written to; what is packed by then is gone on from.
    """
    directory = Path(directory)
    with trial_file(directory / STORE) as place:
        place.touch()
    if overwrite:
        for name in (STORE, SOURCES, CUTOUTS):
            (directory / name).unlink(missing_ok=True)
    refuse_existing(directory / STORE)
    plan = {"format": FORMAT, "geometry": geometry.model_dump(), "field_of_view": field_of_view}
    remaining = iter(sources)
    decode = partial(_decode, geometry=geometry, field_of_view=field_of_view)
    with writing(directory):
        counts = _resume(directory, plan, remaining, geometry, field_of_view)
        decoded = map_in_threads(decode, remaining, threads=workers)
        done, packed = _append(directory, plan, decoded, counts, on_progress)
    summary = plan | {"galaxies": packed, "failures": done - packed}
    if isinstance(sources, Sources):
        summary["sources_sha256"] = sources.digest()
    write_whole(directory / STORE, json.dumps(summary, indent=1) + "\n")
    return PackedStore.open(directory)


def _append(
    directory: Path,
    plan: dict[str, Any],
    decoded: Iterable[tuple[str, UInt8[np.ndarray, "p p 3"] | ImageError]],
    counts: tuple[int, int],
    on_progress: Callable[[int, int], None] | None,
) -> tuple[int, int]:
    """Write cutouts and lines; return how many sources are done and how many of them have a cutout."""
    done, packed = counts
    with (
        (directory / CUTOUTS).open("ab") as pixels,
        (directory / SOURCES).open("a", encoding="utf-8") as lines,
    ):
        waiting = [] if lines.tell() else [plan]

        def flush() -> None:
            _to_disk(pixels)  # first: a line promises that its pixels are there
            lines.writelines(json.dumps(line) + "\n" for line in waiting)
            _to_disk(lines)
            waiting.clear()

        for source_id, result in decoded:
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
    return done, packed


def _resume(
    directory: Path,
    plan: dict[str, Any],
    sources: Iterator[Source],
    geometry: Geometry,
    field_of_view: float | None,
) -> tuple[int, int]:
    """Cut both files back to the last whole line; return how many sources are done, and with a cutout."""
    path = directory / SOURCES
    path.touch()
    with path.open("rb+") as file:
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)
    lines = read_lines(path)
    before = next(lines, plan)
    if before != plan:
        there, wanted = (
            f"{one.get('geometry')} with {f'--field-of-view {width:g}' if width else 'no --field-of-view'}"
            for one, width in ((one, one.get("field_of_view")) for one in (before, plan))
        )
        raise CatalogueError(
            f"{directory} holds an unfinished store of {there}; this run wants {wanted}. Resume with the "
            "same, or --overwrite."
        )
    done, packed = 0, 0
    last: Source | None = None
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
    with (directory / CUTOUTS).open("ab") as file:
        if file.tell() < packed * size:
            raise damaged_store(directory)
        file.truncate(packed * size)
    if last is not None:
        stored = np.fromfile(directory / CUTOUTS, np.uint8, size, offset=(packed - 1) * size)
        _, again = _decode(last, geometry, field_of_view)
        if isinstance(again, ImageError) or not np.array_equal(again.ravel(), stored):
            raise CatalogueError(
                f"{directory} holds an unfinished store of other sources: the image of {last.id} has "
                "changed. Resume with the same, or --overwrite."
            )
    return done, packed


def _decode(
    source: Source, geometry: Geometry, field_of_view: float | None
) -> tuple[str, UInt8[np.ndarray, "p p 3"] | ImageError]:
    return source.id, try_cutout(source.read, geometry, source.field_of_view or field_of_view)


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
