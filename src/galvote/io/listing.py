"""From places to sources: the formats that are registered list them; here they become one listing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import galvote.io.readers  # each format registers itself  # noqa: F401
from galvote.errors import CatalogueError
from galvote.io.columns import list_names, one_has
from galvote.io.readers.files import IMAGES, join_paths, list_files, list_names_in, to_text
from galvote.io.readers.registry import (
    DamagedFileError,
    NoImagesError,
    formats_of,
    list_damaged,
    list_file,
    markers,
)
from galvote.io.sources import Listing, Sources


def list_sources(places: str | Path | Sequence[str | Path], *, id_column: str | None = None) -> Sources:
    """List the images in these places without opening them.

    Parameters
    ----------
    places
        Each one of

        - an image; its id is the file's name without the ending;
        - a folder of images, by the endings .jpg .jpeg .png .webp .tif .tiff .gif .bmp .fits .fit .fits.gz;
          folders within it are not looked into;
        - a text file (.txt) with one path of an image per line;
        - a CSV, Parquet, FITS or VOTable catalogue with a column of ids and a column ``source`` of paths;
        - a Parquet file, or a folder of them, with a column of ids and ``image: {bytes, path}``, as Hugging
          Face `datasets` writes it. An image without bytes is read from its path;
        - a tar file, or a folder of them, in the WebDataset layout: members that share the name up to the
          first dot are a sample, its image is known by its ending, its id is that name without folders;
        - a FITS table, or a folder of them, with a column of ids and one of images: planes ``(3, y, x)``
          from blue to red or ``(y, x)``, or RGB ``(y, x, 3)`` as uint8 with the first row at the top;
        - a packed store;
        - a place of another format that was registered with `register`.

        A row of a catalogue without a path is listed, and fails when it is read: with the ``status`` and
        ``reason`` of the catalogue's columns, or as ``missing``.

        Paths in a file are relative to that file's folder. FITS files ``ID_g``, ``ID_r``, ``ID_i``
        (or ``ID-g`` …) side by side, all three, are one galaxy's bands.
    id_column
        Name of the column of ids in tables; by default the first of `ID_COLUMNS` that is there.

    Returns
    -------
    In the order of the places; those of a folder sorted by name.

    Raises
    ------
    CatalogueError
        If a place does not exist or has no images, a folder has images and also files that hold many, a
        catalogue has not the columns, or an id occurs twice.

    Notes
    -----
    A million paths take some seconds and about 200 MB. A tar file has no table of contents: all its headers
    are read, some 25 µs each. One that is cut short has a row that fails when it is read; so has a Parquet or
    FITS file that is cut short in a folder of others.
    """
    paths = [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]
    if not paths:
        raise CatalogueError("No place with pictures was given; name a folder, a file or a catalogue.")
    with one_has(id_column):
        sources = Sources(tuple(listing for listing in _list_places(paths, id_column) if listing))
    if not sources:
        raise CatalogueError(
            f"There are no pictures in {list_names([str(path) for path in paths])}; name another place."
        )
    _refuse_repeated(sources)
    return sources


def _list_places(paths: Sequence[Path], id_column: str | None) -> Iterator[Listing]:
    listed = ((path, _list_place(path, id_column)) for path in paths)
    for are_images, group in groupby(listed, key=lambda each: each[1] is None):
        if are_images:  # named one after the other, three may be bands of one galaxy
            images = [str(path) for path, _ in group]
            yield list_files(to_text(images, Path(images[0]).parent))
        else:
            yield from chain.from_iterable(listings or () for _, listings in group)


def _list_place(path: Path, id_column: str | None) -> list[Listing] | None:
    """Return what a place holds; None if it is an image itself."""
    if not path.exists():
        raise CatalogueError(f"There is no file or folder {path}; check the path.")
    if path.is_dir():
        return _list_folder(path, id_column)
    listing = list_file(path, id_column)
    return None if listing is None else [listing]


def _list_folder(folder: Path, id_column: str | None) -> list[Listing]:
    """List a folder's images or, if it has none, its files that hold images."""
    for name in markers():
        if (folder / name).is_file() and (listing := list_file(folder / name, id_column)) is not None:
            return [listing]
    names, folders = list_names_in(folder)
    images = [name for name in names if name.lower().endswith(IMAGES)]
    others = [name for name in names if not name.lower().endswith(IMAGES) and _is_looked_for(name)]
    if images:
        _refuse_beside(folder, images[0], others, id_column)
        others = images if _hold_many(folder, images, id_column) else []
    listings, plain = list[Listing](), list[str]()
    for name in others:
        try:
            listing = list_file(folder / name, id_column, in_folder=True)
        except DamagedFileError as error:
            listing = list_damaged(folder / name, error)
        except NoImagesError:
            listing = None
        if listing is not None:
            listings.append(listing)
        elif images:
            plain.append(name)  # a row, too, which fails when it is read
    if images and (plain or not listings):
        listings.insert(0, list_files(join_paths(folder, to_text(plain or images, folder))))
    if listings:
        return listings
    within = f" It has the folders {list_names(folders)}: give one of these." if folders else ""
    raise CatalogueError(
        f"The folder {folder} has no pictures ({' '.join(IMAGES)}) and no Parquet files with a column "
        f"`image`, no tar files (.tar) and no FITS tables with a column of pictures.{within}"
    )


def _is_looked_for(name: str) -> bool:
    return any(format_.in_folders for format_ in formats_of(name))


def _hold_many(folder: Path, names: list[str], id_column: str | None) -> bool:
    """Whether files with endings of images are tables of many (FITS).

    The last file is opened and then all in order, until one of them tells; so images are not opened, but for
    tables without images at the beginning. If all are those, the error says what one of them has.
    """
    if not all(_is_looked_for(name) for name in names):
        return False
    refused = list[NoImagesError]()
    for name in dict.fromkeys((names[-1], *names)):
        try:
            if list_file(folder / name, id_column, in_folder=True) is not None:
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


def _refuse_beside(folder: Path, image: str, others: list[str], id_column: str | None) -> None:
    """Raise `CatalogueError` if a folder of images has files that hold images, too."""
    for name in others:
        try:
            if list_file(folder / name, id_column, in_folder=True) is None:
                continue
        except DamagedFileError:
            continue  # a table of something else may be damaged
        raise CatalogueError(
            f"The folder {folder} holds pictures, as {image}, and also files that hold pictures, as "
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
        f"{len(repeated):,} ids have more than one picture, first of them:{named}\n"
        "Keep one picture of each galaxy, or rename the others."
    )
