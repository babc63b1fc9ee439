"""From places to sources: what kind of place each one is, and whether they make one listing."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galvote.errors import CatalogueError
from galvote.io.columns import cast_to_text, find_id_column, is_text, list_names
from galvote.io.readers.containers import (
    DamagedShardError,
    NoImageColumnError,
    ids_as_text,
    list_fits,
    list_parquet,
    list_tar,
    read_schema,
    shelve_damaged,
)
from galvote.io.readers.files import (
    FITS,
    IMAGES,
    join_paths,
    list_names_in,
    read_list,
    shelve_files,
    shelve_named,
    to_text,
)
from galvote.io.sources import TEXT, Shelf, Sources
from galvote.io.tables import read_table

_TABLES = (".csv", ".csv.gz", ".vot", ".votable", ".xml")
_TAR = ".tar"
_COMPRESSED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_STORE = "store.json"  # by which `galvote.images.store`, unknown to this room, marks what it packed


def list_sources(places: str | Path | Sequence[str | Path]) -> Sources:
    """List the pictures in these places without opening them.

    Parameters
    ----------
    places
        Each one of

        - a picture; its id is the file's name without the ending;
        - a folder of pictures, by the endings .jpg .jpeg .png .webp .tif .tiff .gif .bmp .fits .fit .fits.gz;
          folders within it are not looked into;
        - a text file (.txt) with one path of a picture per line;
        - a CSV, Parquet, FITS or VOTable catalogue with a column of ids and a column ``source`` of paths;
        - a Parquet file, or a folder of them, with a column of ids and ``image: {bytes, path}``, as Hugging
          Face `datasets` writes it. An image without bytes is read from its path;
        - a tar file, or a folder of them, in the WebDataset layout: members that share the name up to the
          first dot are a sample, its picture is known by its ending, its id is that name without folders;
        - a FITS table, or a folder of them, with a column of ids and one of pictures: planes ``(3, y, x)``
          from blue to red or ``(y, x)``, or RGB ``(y, x, 3)`` as uint8 with the first row at the top.

        A row of a catalogue without a path is listed, and fails when it is read: with the ``status`` and
        ``reason`` of the catalogue's columns, or as ``missing``.

        Paths in a file are relative to that file's folder. FITS files ``ID_g``, ``ID_r``, ``ID_i``
        (or ``ID-g`` …) side by side, all three, are one galaxy's bands.

    Returns
    -------
    Single files in order of place, those of a folder sorted by name; then what catalogues name; then what
    Parquet, tar and FITS files hold.

    Raises
    ------
    CatalogueError
        If a place does not exist or has no pictures, a folder has pictures and also Parquet or tar files of
        them, a catalogue has not the columns, or an id occurs twice.

    Notes
    -----
    A million paths take some seconds and about 200 MB. A tar file has no table of contents: all its headers
    are read, some 25 µs each. One that is cut short has a row that fails when it is read; so has a Parquet or
    FITS file that is cut short in a folder of others.
    """
    paths = [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]
    if not paths:
        raise CatalogueError("No place with pictures was given; name a folder, a file or a catalogue.")
    files, catalogues, shards = list[pa.Array](), list[Shelf](), list[Shelf]()
    for path in paths:
        name = path.name.lower()
        if not path.exists():
            raise CatalogueError(f"There is no file or folder {path}; check the path.")
        if path.is_dir():
            images, found = _list_folder(path)
            files += images
            shards += found
        elif (shard := _list_shard(path)) is not None:
            shards.append(shard)
        elif name.endswith((*_TABLES, ".parquet")) or (name.endswith(FITS) and _has_sources(path)):
            catalogues.append(_list_catalogue(path))
        else:
            files.append(read_list(path) if name.endswith(".txt") else to_text([str(path)], path.parent))
    shelves = [shelve_files(pa.concat_arrays(files))] if files else []
    sources = Sources(tuple(shelf for shelf in (*shelves, *catalogues, *shards) if shelf))
    if not sources:
        raise CatalogueError(
            f"There are no pictures in {list_names([str(path) for path in paths])}; name another place."
        )
    _refuse_repeated(sources)
    return sources


def _list_shard(path: Path) -> Shelf | None:
    """List a file that holds many pictures; None if it is another kind of file."""
    name = path.name.lower()
    if name.endswith(_COMPRESSED_TAR):
        raise CatalogueError(
            f"{path} is compressed, so its members cannot be read one by one; unpack it to a .tar."
        )
    if name.endswith(_TAR):
        return list_tar(path)
    if name.endswith(".parquet") and "image" in read_schema(path).names:
        return list_parquet(path)
    return list_fits(path) if name.endswith(FITS) else None


def _list_folder(folder: Path) -> tuple[list[pa.Array], list[Shelf]]:
    """Return the paths of the folder's pictures or, if it has none, its files that hold pictures."""
    names, folders = list_names_in(folder)
    images = [name for name in names if name.lower().endswith(IMAGES)]
    if images:
        _refuse_shards_beside(folder, images[0], names)
    if images and not _are_tables(folder, images):
        return [join_paths(folder, to_text(images, folder))], []
    holders = images or [
        name for name in names if name.lower().endswith((".parquet", _TAR, *_COMPRESSED_TAR))
    ]
    listed = {name: _list_shard_in_folder(folder / name) for name in holders}
    if shards := [shard for shard in listed.values() if shard is not None]:
        others = [name for name in images if listed[name] is None]
        return [join_paths(folder, to_text(others, folder))], shards
    if _STORE in names:
        raise CatalogueError(
            f"The folder {folder} is a packed store. `galvote train`, `galvote sweep` and `galvote "
            "calibrate` take it, alone, as --images; here name the pictures that it was packed from."
        )
    within = f" It has the folders {list_names(folders)}: give one of these." if folders else ""
    raise CatalogueError(
        f"The folder {folder} has no pictures ({' '.join(IMAGES)}) and no Parquet files with a column "
        f"`image`, no tar files (.tar) and no FITS tables with a column of pictures.{within}"
    )


def _list_shard_in_folder(path: Path) -> Shelf | None:
    """List a file as `_list_shard` does; a damaged one costs a row, and not the others."""
    try:
        return _list_shard(path)
    except DamagedShardError as error:
        return shelve_damaged(path, error)
    except NoImageColumnError:
        return None  # a row, too, which fails when it is read


def _are_tables(folder: Path, images: list[str]) -> bool:
    """Whether a folder's files with endings of pictures are FITS tables of pictures.

    The last and the first of them show it, so that pictures are not opened, but for tables without pictures
    at the beginning. If all are those, the error says what the first one has.
    """
    if not all(name.lower().endswith(FITS) for name in images):
        return False
    refused: NoImageColumnError | None = None
    for number, name in enumerate((images[-1], *images)):
        try:
            if list_fits(folder / name) is not None:
                return True
            if number:
                return False
        except DamagedShardError:
            return True
        except NoImageColumnError as error:
            refused = error if number < 2 else refused
    assert refused is not None  # the last file was looked at twice
    raise refused


def _refuse_shards_beside(folder: Path, image: str, names: list[str]) -> None:
    """Raise `CatalogueError` if a folder of pictures has Parquet or tar files with pictures, too."""
    for name in names:
        if name.lower().endswith(_TAR) or (name.lower().endswith(".parquet") and _has_images(folder / name)):
            raise CatalogueError(
                f"The folder {folder} holds pictures, as {image}, and also files that hold pictures, as "
                f"{name}. Move one kind to another folder and name both folders, or name the files one by "
                "one."
            )


def _has_images(path: Path) -> bool:
    """Whether a Parquet file has a column of pictures; tables of other things may be damaged or odd."""
    try:
        return "image" in read_schema(path).names
    except CatalogueError:
        return False


def _has_sources(path: Path) -> bool:
    """Whether a FITS file is a catalogue with a column of paths."""
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


def _list_catalogue(path: Path) -> Shelf:
    """List the paths in a catalogue's column `source`."""
    of_parquet = path.name.lower().endswith(".parquet")
    table = pq.ParquetFile(path) if of_parquet else read_table(path)
    names = table.schema_arrow.names if of_parquet else table.column_names
    column = find_id_column(names, path)
    if "source" not in names:
        raise CatalogueError(
            f"{path} has no column `source` (nor, in Parquet, `image`): it has {list_names(names)}. Name the "
            "column of picture paths `source`."
        )
    if of_parquet:
        wanted = dict.fromkeys((column, "source", "status", "reason"))
        table = table.read([name for name in wanted if name in names])  # catalogues may be wide
    # A row without a path is listed all the same: it fails when it is read, as a vanished file does.
    sources = cast_to_text(table["source"], "`source`", path).combine_chunks()
    named = pc.not_equal(pc.utf8_trim_whitespace(sources), pa.scalar("", TEXT))
    sources = pc.if_else(pc.fill_null(named, False), sources, pa.scalar(None, TEXT))
    why = [table[name] for name in ("status", "reason") if name in names and is_text(table[name].type)]
    none = pa.nulls(len(table), TEXT)
    status, reason = [text.cast(TEXT).combine_chunks() for text in why] if len(why) == 2 else [none, none]
    ids = ids_as_text(table[column], path)
    return shelve_named(ids, join_paths(path.parent, sources), (status, reason), path)


def _refuse_repeated(sources: Sources) -> None:
    ids = pa.chunked_array([shelf.ids for shelf in sources.shelves])
    if len(ids.unique()) == len(ids):
        return
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    first = repeated[:5].to_pylist()
    origins = defaultdict[str, list[str]](list)
    for shelf in sources.select(first).shelves:
        for id_, origin in zip(shelf.ids.to_pylist(), shelf.origins().to_pylist(), strict=True):
            origins[id_].append(origin)
    named = "".join(f"\n  {id_}: {list_names(origins[id_])}" for id_ in first)
    raise CatalogueError(
        f"{len(repeated):,} ids have more than one picture, first of them:{named}\n"
        "Keep one picture of each galaxy, or rename the others."
    )
