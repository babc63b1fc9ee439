"""Where the pictures are. Listing is cheap and opens no picture; reading is one picture at a time."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int, UInt8

from galvote.catalogue.tables import find_id_column, list_names, read_table, to_ids
from galvote.errors import CatalogueError

_FITS = (".fits.gz", ".fits", ".fit")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", *_FITS)
_TABLES = (".csv", ".csv.gz", ".vot", ".votable", ".xml")
_BANDS = "gri"
_ONE_BAND = re.compile(r"(?P<galaxy>.+[_-])(?P<band>[gri])(?P<ending>\.fits\.gz|\.fits|\.fit)")

# A batch of pictures and the bytes read ahead are what a Parquet file costs in memory, however large it is.
_BATCH_ROWS = 64
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """One galaxy's picture, not read yet.

    Parameters
    ----------
    origin
        The file it comes from, for messages.
    read
        Returns the file's bytes; three byte strings, of the bands g, r, i in this order, for three one-band
        FITS files; RGB pixels for a picture cut out of something larger. Raises `OSError` if they cannot be
        read.
    """

    id: str
    origin: str
    read: Callable[[], tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]]


@dataclass(frozen=True)
class Sources:
    """Galaxies' pictures in a fixed order; iterate as often as you like, nothing is kept in memory."""

    shelves: tuple[_Files | _Shard, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The galaxies' ids, in order."""
        return tuple(chain.from_iterable(shelf.ids for shelf in self.shelves))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Source]:
        return chain.from_iterable(self.shelves)

    def select(self, ids: Collection[str]) -> Sources:
        """Return the sources with these ids, in their order here; ids without a source are ignored."""
        wanted = frozenset(ids)
        return Sources(tuple(kept for shelf in self.shelves if (kept := shelf.select(wanted)).ids))


def list_sources(places: str | Path | Sequence[str | Path]) -> Sources:
    """List the pictures in these places without opening them.

    Parameters
    ----------
    places
        Each one of

        - a picture; its id is the file's name without the ending;
        - a folder of pictures, by the endings .jpg .jpeg .png .webp .tif .tiff .fits .fit .fits.gz; folders
          within it are not looked into;
        - a text file (.txt) with one path of a picture per line;
        - a CSV, Parquet, FITS or VOTable catalogue with a column of ids and a column ``source`` of paths;
        - a Parquet file, or a folder of them, with a column of ids and ``image: {bytes, path}``, as Hugging
          Face `datasets` writes it. An image without bytes is read from its path.

        Paths in a file are relative to that file's folder. FITS files ``ID_g``, ``ID_r``, ``ID_i``
        (or ``ID-g`` …) side by side, all three, are one galaxy's bands.

    Returns
    -------
    Single files in order of place, those of a folder sorted by name, then what Parquet files hold.

    Raises
    ------
    CatalogueError
        If a place does not exist or has no pictures, a catalogue has not the columns, or an id occurs twice.
    """
    paths = [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]
    if not paths:
        raise CatalogueError("No place with pictures was given; name a folder, a file or a catalogue.")
    pictures, named, shards = list[str](), list[tuple[str, tuple[str, ...]]](), list[_Shard]()
    for path in paths:
        if not path.exists():
            raise CatalogueError(f"There is no file or folder {path}; check the path.")
        kind = "folder" if path.is_dir() else _kind_of(path)
        if kind == "folder":
            found, tables = _list_folder(path)
            pictures += found
            shards += [_open_shard(table) for table in tables]
        elif kind == "pixels":
            shards.append(_open_shard(path))
        elif kind == "catalogue":
            named += _read_catalogue(path)
        elif kind == "list":
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            pictures += [str(path.parent / line) for line in lines if line]
        else:
            pictures.append(str(path))
    files = _group_bands(pictures) + named
    shelves: tuple[_Files | _Shard, ...] = (
        _Files(tuple(id_ for id_, _ in files), tuple(paths for _, paths in files)),
        *shards,
    )
    sources = Sources(tuple(shelf for shelf in shelves if shelf.ids))
    if not len(sources):
        raise CatalogueError(
            f"There are no pictures in {list_names([str(path) for path in paths])}; name another place."
        )
    _refuse_repeated(sources)
    return sources


@dataclass(frozen=True)
class _Files:
    """Pictures that are files: one path each, or three for three bands."""

    ids: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]

    def __iter__(self) -> Iterator[Source]:
        for id_, paths in zip(self.ids, self.paths, strict=True):
            yield Source(id_, paths[0], partial(_read_files, paths))

    def origin(self, place: int) -> str:
        return self.paths[place][0]

    def select(self, wanted: frozenset[str]) -> _Files:
        kept = [(id_, paths) for id_, paths in zip(self.ids, self.paths, strict=True) if id_ in wanted]
        return _Files(tuple(id_ for id_, _ in kept), tuple(paths for _, paths in kept))


@dataclass(frozen=True, eq=False)
class _Shard:
    """Rows of a Parquet file that holds pictures; `rows` ascends and goes with `ids`."""

    path: Path
    ids: tuple[str, ...]
    rows: Int[np.ndarray, " row"]

    def __iter__(self) -> Iterator[Source]:
        with pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            start = 0
            for group in range(file.num_row_groups):
                group_stop = start + file.metadata.row_group(group).num_rows
                if not self._between(start, group_stop):
                    start = group_stop
                    continue
                for batch in file.iter_batches(
                    _BATCH_ROWS, row_groups=[group], columns=["image"], use_threads=False
                ):
                    images = batch.column(0)
                    for place in self._between(start, start + len(batch)):
                        image = images[int(self.rows[place]) - start].as_py() or {}
                        yield Source(self.ids[place], str(self.path), partial(_read_cell, self.path, image))
                    start += len(batch)

    def _between(self, start: int, stop: int) -> range:
        """Return the places of the wanted rows from `start` to before `stop`."""
        return range(*np.searchsorted(self.rows, (start, stop)).tolist())

    def origin(self, place: int) -> str:
        return f"{self.path} row {self.rows[place]}"

    def select(self, wanted: frozenset[str]) -> _Shard:
        kept = [place for place, id_ in enumerate(self.ids) if id_ in wanted]
        return _Shard(self.path, tuple(self.ids[place] for place in kept), self.rows[kept])


def _read_files(paths: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(Path(path).read_bytes() for path in paths)


def _read_cell(parquet: Path, image: dict[str, Any]) -> tuple[bytes, ...]:
    if image.get("bytes") is not None:
        return (image["bytes"],)
    if image.get("path"):
        return _read_files((str(parquet.parent / image["path"]),))
    raise FileNotFoundError(f"{parquet} has neither bytes nor a path for this image")


def _kind_of(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "pixels" if "image" in _read_schema(path).names else "catalogue"
    if name.endswith(_TABLES) or (name.endswith(_FITS) and _is_fits_catalogue(path)):
        return "catalogue"
    return "list" if name.endswith(".txt") else "picture"


def _is_fits_catalogue(path: Path) -> bool:
    from astropy.io import fits

    try:
        with warnings.catch_warnings(), fits.open(path) as units:
            warnings.simplefilter("ignore")  # a damaged picture is told of when it is read
            return (
                len(units) > 1
                and isinstance(units[1], fits.BinTableHDU)
                and "source" in units[1].columns.names
            )
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _list_folder(folder: Path) -> tuple[list[str], list[Path]]:
    """Return the folder's pictures or, if it has none, its Parquet files that hold pictures."""
    names, folders = list[str](), list[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            (folders if entry.is_dir() else names).append(entry.name)
    if pictures := sorted(name for name in names if name.lower().endswith(_PICTURES)):
        return [f"{folder}{os.sep}{name}" for name in pictures], []
    tables = [folder / name for name in sorted(names) if name.lower().endswith(".parquet")]
    if shards := [table for table in tables if "image" in _read_schema(table).names]:
        return [], shards
    within = f" It has the folders {list_names(sorted(folders))}: give one of these." if folders else ""
    raise CatalogueError(
        f"The folder {folder} has no pictures ({' '.join(_PICTURES)}) and no Parquet files "
        f"with a column `image`.{within}"
    )


def _group_bands(paths: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return ids and paths; the three bands of one galaxy become one, in the place of the first band."""
    # The pattern is slow, and nearly all of a million names are no FITS.
    matches = [_ONE_BAND.fullmatch(path) if path.endswith(_FITS) else None for path in paths]
    found = defaultdict[tuple[str, str], dict[str, str]](dict)
    for path, match in zip(paths, matches, strict=True):
        if match:
            found[match["galaxy"], match["ending"]][match["band"]] = path
    listed = list[tuple[str, tuple[str, ...]]]()
    for path, match in zip(paths, matches, strict=True):
        bands = found[match["galaxy"], match["ending"]] if match else {}
        if not match or len(bands) < len(_BANDS):
            listed.append((_stem(path), (path,)))
        elif match["band"] == _BANDS[0]:
            listed.append((Path(match["galaxy"]).name[:-1], tuple(bands[band] for band in _BANDS)))
    return listed


def _stem(path: str) -> str:
    name = path.rpartition(os.sep)[2]
    for ending in _FITS:  # .fits.gz has two dots
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name.rpartition(".")[0] or name


def _read_catalogue(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    table = read_table(path)
    ids = to_ids(table[find_id_column(table.column_names, path)], path)
    if "source" not in table.column_names:
        raise CatalogueError(
            f"{path} has no column `source` (nor, in Parquet, `image`): it has "
            f"{list_names(table.column_names)}. Name the column of picture paths `source`."
        )
    sources = table["source"].cast(pa.string()).to_pylist()
    # A row without a path is listed all the same: it fails when it is read, as a vanished file does.
    return ((id_, (str(path.parent / (source or "")),)) for id_, source in zip(ids, sources, strict=True))


def _open_shard(path: Path) -> _Shard:
    schema = _read_schema(path)
    if not pa.types.is_struct(kind := schema.field("image").type):
        raise CatalogueError(f"{path}: column `image` must be a struct of `bytes` and `path`; it is {kind}.")
    column = find_id_column(schema.names, path)
    ids = to_ids(pq.read_table(path, columns=[column])[column], path)
    return _Shard(path, ids, np.arange(len(ids)))


def _read_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CatalogueError(
            f"{path} cannot be read as Parquet: {error}. Check that the file is whole."
        ) from error


def _refuse_repeated(sources: Sources) -> None:
    repeated = {id_ for id_, times in Counter(sources.ids).items() if times > 1}
    if not repeated:
        return
    origins = defaultdict[str, list[str]](list)
    for shelf in sources.shelves:
        for place, id_ in enumerate(shelf.ids):
            if id_ in repeated:
                origins[id_].append(shelf.origin(place))
    named = "".join(f"\n  {id_}: {list_names(origins[id_])}" for id_ in list(origins)[:5])
    raise CatalogueError(
        f"{len(repeated):,} ids have more than one picture, first of them:{named}\n"
        "Keep one picture of each galaxy, or rename the others."
    )
