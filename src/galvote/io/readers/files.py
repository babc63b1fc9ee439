"""Images that are files of their own, alone or three bands together: listing them by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.sources import TEXT, Listing, Read, join_texts, to_values

FITS = (".fits.gz", ".fits", ".fit")
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", *FITS)
"""Endings of images, in lower case."""

_BAND_BREAK = "\0"  # no path has one
_SEPARATORS = f"[{re.escape(os.sep + (os.altsep or ''))}]"
_FOLDERS = f"(?s)^.*{_SEPARATORS}"
_ENDING = r"(?is)(.)(?:\.fits\.gz|\.[^.]*)$"  # of .fits.gz both; a leading dot begins a name
_ONE_BAND = r"(?s)^(?P<galaxy>.+[_-])(?P<band>[gri])(?P<ending>\.fits\.gz|\.fits|\.fit)$"
_FROM_ROOT = r"^([/\\]|[A-Za-z]:)" if os.name == "nt" else "^/"


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
    with FileIO(path) as file:  # a third faster than by a `Path`, whose file has a buffer
        return file.readall()


def list_files(paths: pa.Array) -> Listing:
    """List files by their names; the three bands of one galaxy are one image, in the place of the g band.

    Parameters
    ----------
    paths
        Of images; ``ID_g.fits``, ``ID_r.fits``, ``ID_i.fits`` (or with ``-``) are bands if all are there.
    """
    ids = name_without_ending(pc.replace_substring_regex(paths, _FOLDERS, ""))
    is_band = pc.match_substring_regex(paths, _ONE_BAND)
    if not pc.any(is_band).as_py():
        return Listing(ids, paths, Files())

    g, r, i = _find_bands(paths, pc.indices_nonzero(is_band))
    stands_for_all = np.zeros(len(paths), dtype=bool)
    stands_for_all[g] = True
    kept = np.ones(len(paths), dtype=bool)
    kept[r] = kept[i] = False
    galaxies = pc.utf8_slice_codeunits(ids.take(g), 0, -len("_g"))
    files = join_texts(paths.take(g), paths.take(r), paths.take(i), by=_BAND_BREAK)
    ids = pc.replace_with_mask(ids, pa.array(stands_for_all), galaxies)
    paths = pc.replace_with_mask(paths, pa.array(stands_for_all), files)
    return Listing(ids.filter(pa.array(kept)), paths.filter(pa.array(kept)), Files())


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
            is_file = entry.name.lower().endswith(IMAGES) or not entry.is_dir()
            (files if is_file else folders).append(entry.name)
    return sorted(files), sorted(folders)


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
