"""Images that are files of their own, alone or three bands together: listing them by their names."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError, ImageError
from galvote.io.remote import is_remote, read_remote
from galvote.io.sources import TEXT, Listing, Read, join_texts, to_values

FITS = (".fits.gz", ".fits", ".fit")
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
_ENDING = r"(?is)(.)(?:\.fits\.gz|\.[^.]*)$"  # of .fits.gz both; a leading dot begins a name
_ONE_BAND = r"(?s)^(?P<galaxy>.+[_-])(?P<band>[gri])(?P<ending>\.fits\.gz|\.fits|\.fit)$"
_FROM_ROOT = r"^([/\\]|[A-Za-z]:|\w+://)" if os.name == "nt" else r"^(/|[A-Za-z][\w+.-]*://)"


@dataclass(frozen=True)
class Files:
    """Reads files of their own; a location is a path, or the paths of three bands with NUL between them."""

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        """Yield what reads each image's files."""
        for location in to_values(locations):
            yield partial(read_files, tuple(location.split(_BAND_BREAK)))

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return the paths."""
        return pc.replace_substring(locations, _BAND_BREAK, " ")


def read_files(paths: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the bytes of each file, or raise `OSError`."""
    try:
        return tuple(_read_whole(path) for path in paths)
    except ValueError as error:
        raise FileNotFoundError(f"no file can have such a name: {error}") from error


def _read_whole(path: str) -> bytes:
    if is_remote(path):
        return read_remote(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # a pipe would be waited for
        raise ImageError("not-an-image", f"{path} is no file, but a folder, a pipe or a device.")
    with FileIO(path) as file:  # a third faster than by a `Path`, whose file has a buffer
        return file.readall()


def list_files(paths: pa.Array, *, folder: str = "") -> Listing:
    """List files by their names; the three bands of one galaxy are one image, in the place of the g band.

    Parameters
    ----------
    paths
        Of images; ``ID_g.fits``, ``ID_r.fits``, ``ID_i.fits`` (or with ``-``) are bands if all are there.
    folder
        Put before the names, if they are in a folder inside the one that was named.
    """
    ids = name_without_ending(pc.replace_substring_regex(paths, _FOLDERS, folder.replace("\\", r"\\")))
    note = ("ids from file names",)
    is_band = pc.match_substring_regex(paths, _ONE_BAND)
    if not pc.any(is_band).as_py():
        return Listing(ids, paths, Files(), notes=note)

    g, r, i = _find_bands(paths, pc.indices_nonzero(is_band))
    stands_for_all = np.zeros(len(paths), dtype=bool)
    stands_for_all[g] = True
    kept = np.ones(len(paths), dtype=bool)
    kept[r] = kept[i] = False
    galaxies = pc.utf8_slice_codeunits(ids.take(g), 0, -len("_g"))
    files = join_texts(paths.take(g), paths.take(r), paths.take(i), by=_BAND_BREAK)
    ids = pc.replace_with_mask(ids, pa.array(stands_for_all), galaxies)
    paths = pc.replace_with_mask(paths, pa.array(stands_for_all), files)
    return Listing(ids.filter(pa.array(kept)), paths.filter(pa.array(kept)), Files(), notes=note)


def _find_bands(paths: pa.Array, places: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return where the bands g, r, i of each galaxy are that has all three, of the one-band files there."""
    names = pc.extract_regex(paths.take(places), _ONE_BAND)
    galaxies = join_texts(names.field("galaxy"), names.field("ending"), by=_BAND_BREAK)
    of_band = {band: pc.equal(names.field("band"), pa.scalar(band, TEXT)) for band in "gri"}
    galaxies_of = {band: galaxies.filter(chosen) for band, chosen in of_band.items()}
    places_of = {band: places.filter(chosen) for band, chosen in of_band.items()}
    in_r, in_i = (pc.index_in(galaxies_of["g"], value_set=galaxies_of[band]) for band in "ri")
    complete = pc.and_(pc.is_valid(in_r), pc.is_valid(in_i))
    found = (places_of["g"], places_of["r"].take(in_r), places_of["i"].take(in_i))
    g, r, i = (at.filter(complete) for at in found)
    return g, r, i


def name_without_ending(names: pa.Array) -> pa.Array:
    """Return names of files without their endings."""
    return pc.replace_substring_regex(names, _ENDING, r"\1")


def list_names_in(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files and of the folders in a folder, each sorted.

    What has the ending of an image is a file: to ask of a million links what they lead to takes long.
    """
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


def say_passed_over(kinds: Counter[str], what: str = "files") -> tuple[str, ...]:
    """Return the note of a `Listing` on what was passed over, if anything was."""
    if not kinds:
        return ()
    said = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common(5))
    return (f"{kinds.total():,} {what} passed over ({said}{', …' if len(kinds) > 5 else ''})",)


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
