"""From places to sources: the formats that are registered list them; here they become one listing."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

import galvote.io.readers  # each format registers itself  # noqa: F401
from galvote.errors import CatalogueError
from galvote.io.bands import Look
from galvote.io.columns import list_names, one_has
from galvote.io.readers.files import (
    IMAGES,
    count_passed_over,
    is_fork,
    is_image,
    join_paths,
    list_files,
    list_names_in,
    say_passed_over,
    show,
    to_text,
)
from galvote.io.readers.registry import (
    DamagedFileError,
    NoImagesError,
    formats_of,
    list_damaged,
    list_file,
    list_marked,
)
from galvote.io.remote import is_remote, list_remote, to_address
from galvote.io.sources import Listing, Sources


class _Wanted(NamedTuple):
    """What is asked for besides places; see `list_sources`."""

    id_column: str | None
    dataset: str | None
    recursive: bool

    def list_file(self, path: Path, *, in_folder: bool = True) -> Listing | None:
        return list_file(path, self.id_column, self.dataset, in_folder=in_folder)


def list_sources(
    places: str | Path | Sequence[str | Path],
    *,
    id_column: str | None = None,
    dataset: str | None = None,
    recursive: bool = False,
    look: Look | None = None,
) -> Sources:
    """List the images in these places without opening them.

    Parameters
    ----------
    places
        Each one of

        - an image; its id is the file's name without the ending;
        - a folder of images, by their endings;
        - an address of one or of a folder, as ``https://`` or ``s3://``, which fsspec reads;
        - a text file (.txt) with one path of an image per line;
        - a CSV, Parquet, FITS or VOTable catalogue with columns of ids and ``source``, paths; a row
          without one fails when it is read, with the row's ``status`` and ``reason``, or as ``missing``;
        - a Parquet file, or a folder of them, with a column of ids and ``image: {bytes, path}``, as Hugging
          Face `datasets` writes it;
        - a tar file, or a folder of them, in the WebDataset layout;
        - a FITS table, or a folder of them, with a column of ids and one of images: planes ``(3, y, x)``
          from blue to red or ``(y, x)``, or RGB ``(y, x, 3)`` as uint8 with the first row at the top;
        - a packed store;
        - a place of another format that was registered with `register`.

        Paths in a file are relative to its folder. FITS files ``ID_g``, ``ID_r``, ``ID_i`` or other three of
        ugrizy side by side (also ``ID-g``, ``ID.g``, ``ID_G``) are one galaxy's bands.
    id_column
        Column of ids in tables; by default the first of `ID_COLUMNS` that is there.
    dataset
        Array of the images in HDF5 and ``.npz``; by default ``images``, or the only one.
    recursive
        Look into the folders inside a folder, too; ids are then paths from that folder.
    look
        How the planes of FITS files are shown.

    Returns
    -------
    In the order of the places; those of a folder sorted by name. Of a file that is cut short, what is lost is
    one row that fails when it is read.

    Raises
    ------
    CatalogueError
        If a place cannot be read or has no images, a folder has images and also files that hold many, a
        catalogue has not the columns, or an id occurs twice.
    """
    asked = [places] if isinstance(places, str | os.PathLike) else list(places)
    if others := {type(place).__name__ for place in asked if not isinstance(place, str | os.PathLike)}:
        raise CatalogueError(f"Images are listed from paths, not from {list_names(sorted(others))}.")
    paths = [to_address(place) for place in asked]
    if not paths:
        raise CatalogueError("No images were given; name a folder, a file or a catalogue.")
    wanted = _Wanted(id_column, dataset, recursive)
    with one_has(id_column):
        sources = Sources(tuple(listing for listing in _list_places(paths, wanted) if listing))
    if not sources:
        raise CatalogueError(f"There are no images in {list_names(paths)}; name another path.")
    _refuse_repeated(sources)
    return show(sources, look or Look())


def _list_places(places: Sequence[str], wanted: _Wanted) -> Iterator[Listing]:
    listed = ((place, _list_place(place, wanted)) for place in places)
    for are_images, group in groupby(listed, key=lambda each: each[1] is None):
        if are_images:  # named one after the other, three may be bands of one galaxy
            images = [place for place, _ in group]
            yield list_files(to_text(images, Path(images[0]).parent))
        else:
            yield from chain.from_iterable(listings or () for _, listings in group)


def _list_place(place: str, wanted: _Wanted) -> list[Listing] | None:
    """Return what a place holds; None if it is an image itself."""
    if is_remote(place):
        return _list_address(place)
    path = Path(place)
    try:
        if path.is_dir():
            return _list_folder(path, wanted)
        if not path.exists():
            raise CatalogueError(f"There is no file or folder {path}; check the path.")
        if not path.is_file():
            raise CatalogueError(f"{path} is no file or folder, but a pipe or a device; copy what it gives.")
        listing = wanted.list_file(path, in_folder=False)
    except OSError as error:
        raise CatalogueError(
            f"{error.filename or path} cannot be read ({error.strerror or error}); check the path, and that "
            "you may read there."
        ) from error
    return None if listing is None else [listing]


def _list_address(address: str) -> list[Listing] | None:
    if is_image(address):
        return None
    if files := list_remote(address):
        images = [file for file in files if is_image(file)]
        if not images:
            raise CatalogueError(f"{address} has no images ({' '.join(IMAGES)}); name another folder.")
        notes = say_passed_over(count_passed_over(file for file in files if not is_image(file)))
        listing = list_files(to_text(images, Path(address)))
        return [replace(listing, notes=(*notes, *listing.notes))]
    if any(formats_of(address)):
        raise CatalogueError(f"{address} holds many images; copy it here and name the copy.")
    return None


def _list_folder(top: Path, wanted: _Wanted) -> list[Listing]:
    """List a folder's images or, if it has none, its files that hold images."""
    listings, passed, within = list[Listing](), Counter[str](), list[str]()
    for path, folders, _ in os.walk(top, onerror=_raise):
        folder = Path(path)
        within = within or sorted(folders)
        folders[:] = sorted(name for name in folders if wanted.recursive and not name.startswith("."))
        if (marked := list_marked(folder, wanted.id_column)) is not None:
            listings.append(marked)
            folders.clear()
        else:
            inside = "" if folder == top else f"{folder.relative_to(top).as_posix()}/"
            listings += _list_one(folder, inside, wanted, passed)
    if listings:
        listings[0] = replace(listings[0], notes=(*say_passed_over(passed), *listings[0].notes))
        return listings
    said = "".join(f" Of it, {note}." for note in say_passed_over(passed))
    if within and not wanted.recursive:
        said += f" It has the folders {list_names(within)}: give one of these, or add --recursive."
    raise CatalogueError(
        f"The folder {top} has no images ({' '.join(IMAGES)}) and no Parquet files with a column "
        f"`image`, no tar files (.tar) and no FITS tables with a column of images; archives (.zip) and "
        f"arrays (.h5 .npz .npy) are named themselves.{said}"
    )


def _raise(error: OSError) -> NoReturn:
    raise error


def _list_one(folder: Path, inside: str, wanted: _Wanted, passed: Counter[str]) -> list[Listing]:
    """List what lies in a folder itself, and count what is passed over."""
    names, _ = list_names_in(folder)
    images = [name for name in names if is_image(name)]
    rest = [name for name in names if not is_image(name)]
    others = [name for name in rest if _is_looked_for(name) and not is_fork(name)]
    if images:
        _refuse_beside(folder, images[0], others, wanted)
        others = images if _hold_many(folder, images, wanted) else []
    listings, listed, plain = list[Listing](), set[str](), list[str]()
    for name in others:
        try:
            listing = wanted.list_file(folder / name)
        except DamagedFileError as error:
            listing = list_damaged(folder / name, error)
        except NoImagesError:
            listing = None
        if listing is not None:
            listings.append(listing)
            listed.add(name)
        elif images:
            plain.append(name)  # a row, too, which fails when it is read
    if images and (plain or not listings):
        listings.insert(0, list_files(join_paths(folder, to_text(plain or images, folder)), folder=inside))
    passed.update(count_passed_over(name for name in rest if name not in listed))
    return listings


def _is_looked_for(name: str) -> bool:
    return any(format_.in_folders for format_ in formats_of(name))


def _hold_many(folder: Path, names: list[str], wanted: _Wanted) -> bool:
    """Whether files with endings of images are tables of many (FITS), by the first or last that tells."""
    if not all(_is_looked_for(name) for name in names):
        return False
    refused = list[NoImagesError]()
    for name in dict.fromkeys((names[-1], *names)):
        try:
            if wanted.list_file(folder / name) is not None:
                return True
            if name != names[-1]:
                return False
        except DamagedFileError:
            return True
        except NoImagesError as error:
            refused.append(error)
    if len(refused) == len(names):
        raise refused[0]
    return False


def _refuse_beside(folder: Path, image: str, others: list[str], wanted: _Wanted) -> None:
    """Raise `CatalogueError` if a folder of images has files that hold images, too."""
    for name in others:
        try:
            if wanted.list_file(folder / name) is None:
                continue
        except DamagedFileError:
            continue  # a table of something else may be damaged
        raise CatalogueError(
            f"The folder {folder} holds images, as {image}, and also files that hold images, as "
            f"{name}. Move one kind to another folder and name both folders, or name the files one by one."
        )


def _refuse_repeated(sources: Sources) -> None:
    ids = pa.chunked_array([listing.ids for listing in sources.listings])
    if len(ids.unique()) == len(ids):
        return
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    first = repeated[:5].to_pylist()
    origins = defaultdict[str, list[str]](list)
    for listing in sources.select(first).listings:
        for id_, origin in listing.names():
            origins[id_].append(origin)
    named = "".join(f"\n  {id_}: {list_names(origins[id_])}" for id_ in first)
    raise CatalogueError(
        f"{len(repeated):,} ids have more than one image, first of them:{named}\n"
        "Keep one image of each galaxy, or rename the others."
    )
