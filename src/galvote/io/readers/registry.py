"""The formats of places that hold images: a function for each, found by the ending of the place's name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from galvote.errors import CatalogueError
from galvote.io.sources import TEXT, Listing, Read, refuse

ListImages = Callable[..., Listing | None]
"""Lists the images of a place without opening them; None if the place is of another format after all.

Its arguments are the path and the name of the column of ids, or None to take the usual one (`ID_COLUMNS`); a
format of several arrays has a third, `dataset`, the name of the array.
"""


class DamagedFileError(CatalogueError):
    """A file of many images that is cut short or damaged."""


class NoImagesError(CatalogueError):
    """A file that could hold many images and holds none."""


class Format(NamedTuple):
    """A registered format; see `register`."""

    endings: tuple[str, ...]
    list_images: ListImages
    in_folders: bool
    of_arrays: bool


_FORMATS = list[Format]()


def register(
    *endings: str, in_folders: bool = True, of_arrays: bool = False
) -> Callable[[ListImages], ListImages]:
    """Return a decorator that registers a function as what lists the images of a format.

    Parameters
    ----------
    *endings
        Of its files' names, in lower case; of a folder, the name of a file that marks it. Of several formats
        with one ending the last registered is asked first.
    in_folders
        Whether its files are looked for in a folder, or listed only where they are named.
    of_arrays
        Whether the function takes `dataset`, too, the name of one of its arrays.
    """

    def add(list_images: ListImages) -> ListImages:
        _FORMATS.insert(0, Format(endings, list_images, in_folders, of_arrays))
        return list_images

    return add


def formats_of(name: str) -> Iterator[Format]:
    """Yield the formats that a file of this name may have."""
    lower = name.lower()
    return (
        format_
        for format_ in _FORMATS
        if any(
            lower.endswith(ending) if ending.startswith(".") else lower == ending
            for ending in format_.endings
        )
    )


def list_marked(folder: Path, id_column: str | None) -> Listing | None:
    """List the images of a folder by the file that marks it; None if it has no such file."""
    for format_ in _FORMATS:
        for name in format_.endings:
            if not name.startswith(".") and (folder / name).is_file():
                listing = format_.list_images(folder / name, id_column)
                if listing is not None:
                    return listing
    return None


def list_file(
    path: Path, id_column: str | None = None, dataset: str | None = None, *, in_folder: bool = False
) -> Listing | None:
    """List the images that a file holds or marks; None if no format (in a folder, none sought) has any."""
    if not path.is_file():
        return None  # a pipe would be waited for
    for format_ in formats_of(path.name):
        if format_.in_folders or not in_folder:
            which = {"dataset": dataset} if format_.of_arrays else {}
            listing = format_.list_images(path, id_column, **which)
            if listing is not None:
                return listing
    return None


@dataclass(frozen=True)
class _Damaged:
    """Reads a file whose images nobody can list; a location is its path."""

    reason: str

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        for _ in range(len(locations)):
            yield partial(refuse, "truncated", self.reason)

    def origins(self, locations: pa.Array) -> pa.Array:
        return locations


def list_damaged(path: Path, error: DamagedFileError) -> Listing:
    """Return one row for a damaged file, with its path as the id, which fails when it is read."""
    paths = pa.array([str(path)], TEXT)
    return Listing(paths, paths, _Damaged(str(error)))


def damaged(path: Path, format_: str, error: Exception) -> DamagedFileError:
    """Return the error that says that a file cannot be read as its format."""
    reason = str(error).rstrip(".")
    return DamagedFileError(f"{path} cannot be read as {format_}: {reason}. Check that the file is whole.")
