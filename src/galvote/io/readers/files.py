"""Images that are files of their own, alone or three bands together: listing them by their names."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import FileIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError, ImageError
from galvote.io.bands import BANDS, Look, choose_bands
from galvote.io.columns import say_count
from galvote.io.remote import is_remote, read_remote
from galvote.io.sources import (
    TEXT,
    FitsFiles,
    Listing,
    Read,
    Shown,
    Sources,
    join_texts,
    read_shown,
    to_values,
)

_PACKED_BY = ("", ".gz", ".bz2", ".xz", ".fz")
FITS = tuple(f".{name}{packed}" for name in ("fits", "fit", "fts") for packed in _PACKED_BY)
IMAGES = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp"),
    *(".avif", ".jp2", ".j2k", ".jxl", *FITS),
)
"""Endings of images, in lower case."""

_FORK = "._"
"""How the names of files begin that macOS puts beside others, with what is no part of them."""

_BAND_BREAK = "\0"  # no path has one
_SEPARATORS = f"[{re.escape(os.sep + (os.altsep or ''))}]"
_FOLDERS = f"(?s)^.*{_SEPARATORS}"
_FITS = r"\.(?:fits|fit|fts)"
_PACKED = r"\.(?:gz|bz2|xz|fz)"
_ENDING = rf"(?is)(.)(?:{_FITS}{_PACKED}|\.[^.]*)$"  # of .fits.gz both; a leading dot begins a name
_ONE_BAND = rf"(?s)^(?P<galaxy>.+[_.-])(?P<band>[ugrizyUGRIZY])(?P<ending>(?i:{_FITS}(?:{_PACKED})?))$"
_LETTERS = "ugrizy"
_FROM_ROOT = r"^([/\\]|[A-Za-z]:|\w+://)" if os.name == "nt" else r"^(/|[A-Za-z][\w+.-]*://)"


@dataclass(frozen=True)
class Files:
    """Reads files of their own; a location is a path, or the paths of bands with NUL between them."""

    look: Look = field(default_factory=Look)

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        """Yield what reads each image's files."""
        for location in to_values(locations):
            paths = tuple(location.split(_BAND_BREAK))
            if len(paths) > 1:
                yield partial(_read_bands, paths, self.look)
            elif self.look == Look():
                yield partial(read_files, paths)
            else:
                yield partial(read_shown, partial(read_files, paths), self.look)

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return the paths."""
        return pc.replace_substring(locations, _BAND_BREAK, " ")


def read_files(paths: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the bytes of each file, or raise `OSError`."""
    try:
        return tuple(_read_whole(path) for path in paths)
    except ValueError as error:
        raise FileNotFoundError(f"no file can have such a name: {error}") from error


def _read_bands(paths: tuple[str, ...], look: Look) -> tuple[bytes, ...]:
    """Return the bytes of the files whose bands are shown, from blue to red."""
    names = [band for path in paths for _, band, _ in re.findall(_ONE_BAND, path)]
    places = choose_bands(names, [band for band in look.bands if band in BANDS])
    if places is None:
        raise ImageError(
            "unsupported",
            f"There are files of the bands {', '.join(names)}; say which are shown, as in --bands g,r,z (in "
            "Python, bands=).",
        )
    within = tuple(band for band in look.bands if band not in BANDS)
    return FitsFiles(read_files(tuple(paths[place] for place in places)), Look(within, look.stretch))


def _read_whole(path: str) -> bytes:
    if is_remote(path):
        return read_remote(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # a pipe would be waited for
        raise ImageError("not-an-image", f"{path} is no file, but a folder, a pipe or a device.")
    with FileIO(path) as file:  # a third faster than by a `Path`, whose file has a buffer
        return file.readall()


def list_files(paths: pa.Array, *, folder: str = "") -> Listing:
    """List files by their names (`folder` before them); the bands of one galaxy are one image."""
    ids = name_without_ending(pc.replace_substring_regex(paths, _FOLDERS, folder.replace("\\", r"\\")))
    notes = ("ids from file names",)
    is_band = pc.match_substring_regex(paths, _ONE_BAND)
    if not pc.any(is_band).as_py():
        return Listing(ids, paths, Files(), notes=notes)

    places = np.asarray(pc.indices_nonzero(is_band), dtype=np.int64)
    order, starts, said = _group_bands(paths.take(pa.array(places)))
    grouped, first = places[order], places[order[starts[:-1]]]
    groups = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), paths.take(pa.array(grouped)))
    kept, stands_for_all = np.ones(len(paths), dtype=bool), np.zeros(len(paths), dtype=bool)
    kept[grouped] = False
    # In the place of the first by name, which need not be the bluest.
    at = np.minimum.reduceat(grouped, starts[:-1]) if len(first) else first
    kept[at] = stands_for_all[at] = True
    by_place = pa.array(np.argsort(at))
    galaxies = pc.utf8_slice_codeunits(ids.take(pa.array(first)), 0, -len("_g"))
    files = pc.binary_join(groups, pa.scalar(_BAND_BREAK, TEXT))
    ids = pc.replace_with_mask(ids, pa.array(stands_for_all), galaxies.take(by_place))
    paths = pc.replace_with_mask(paths, pa.array(stands_for_all), files.take(by_place))
    kept = pa.array(kept)
    return Listing(ids.filter(kept), paths.filter(kept), Files(), notes=(*said, *notes))


def _group_bands(paths: pa.Array) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return bands in order, galaxy by galaxy, from blue to red; where each galaxy begins; what to say."""
    names = pc.extract_regex(paths, _ONE_BAND)
    lower = pc.utf8_lower(names.field("band"))
    band = np.asarray(pc.index_in(lower, value_set=pa.array(list(_LETTERS), lower.type)), dtype=np.int64)
    upper = pc.cast(pc.equal(lower, names.field("band")), TEXT)
    keys = join_texts(names.field("galaxy"), names.field("ending"), upper, by=_BAND_BREAK)
    galaxy = np.asarray(keys.dictionary_encode().indices, dtype=np.int64)
    sets = np.zeros(galaxy.max() + 1, np.int64)
    np.bitwise_or.at(sets, galaxy, 1 << band)
    sizes = np.array([number.bit_count() for number in sets.tolist()])
    whole = (sizes >= 3) & (np.bincount(galaxy) == sizes)
    order = np.lexsort((band, galaxy))
    order = order[whole[galaxy[order]]]
    starts = np.concatenate([[0], np.cumsum(sizes[whole])])
    notes = [_say_bands(kind, number) for kind, number in Counter(sets[whole].tolist()).most_common()]
    if lone := len(galaxy) - len(order):
        notes.append(say_count(lone, "lone band"))
    return order, starts, tuple(notes)


def _say_bands(bits: int, number: int) -> str:
    """Return the note on so many galaxies with files of the bands that these bits stand for."""
    names = [letter for bit, letter in enumerate(_LETTERS) if bits >> bit & 1]
    shown = choose_bands(names)
    chosen = ", ".join(names[place] for place in shown or ())
    said = f" ({chosen} shown)" if chosen and len(names) > 3 else ""
    return f"{len(names)} bands {', '.join(names)}{said} for {say_count(number, 'galaxy')}"


def name_without_ending(names: pa.Array) -> pa.Array:
    """Return names of files without their endings."""
    return pc.replace_substring_regex(names, _ENDING, r"\1")


def list_names_in(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files and folders in a folder; what ends as images do is a file unasked."""
    files, folders = list[str](), list[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            is_file = is_image(entry.name) or not entry.is_dir()
            (files if is_file else folders).append(entry.name)
    return sorted(files), sorted(folders)


def is_image(name: str) -> bool:
    """Whether a name is that of an image."""
    return name.lower().endswith(IMAGES) and not is_fork(name)


def is_fork(name: str) -> bool:
    """Whether a name is one that macOS gives to what it keeps beside a file."""
    return name.rpartition("/")[2].startswith(_FORK)


def count_passed_over(names: Iterable[str]) -> Counter[str]:
    """Count files that are passed over by the endings of their names."""
    return Counter(
        _FORK + "*" if is_fork(name) else Path(name).suffix.lower() or "without ending" for name in names
    )


def say_passed_over(kinds: Counter[str], what: str = "file", of: str = "") -> tuple[str, ...]:
    """Return the note of a `Listing` on what was passed over, if anything was."""
    if not kinds:
        return ()
    said = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common(5))
    return (f"{say_count(kinds.total(), what)}{of} passed over ({said}{', …' if len(kinds) > 5 else ''})",)


def show(sources: Sources, look: Look) -> Sources:
    """Return sources whose FITS files are shown as is asked for."""
    if look == Look():
        return sources
    return Sources(
        tuple(
            replace(each, reader=Files(look) if isinstance(each.reader, Files) else Shown(each.reader, look))
            for each in sources.listings
        )
    )


def join_paths(folder: str | Path, names: pa.Array) -> pa.Array:
    """Return the paths of files by their names, which may be whole paths."""
    if str(folder) == os.curdir:
        return names
    within = join_texts(str(folder), names, by=os.sep)
    return pc.if_else(pc.match_substring_regex(names, _FROM_ROOT), names, within)


def to_text(names: Sequence[str], place: Path) -> pa.Array:
    """Return names in a place as Arrow has them, or raise `CatalogueError` if they are not UTF-8."""
    try:
        return pa.array(names, TEXT)
    except UnicodeEncodeError as error:
        raise CatalogueError(
            f"A name in {place} has bytes that are no UTF-8: {error.object!r}; rename the file."
        ) from error
