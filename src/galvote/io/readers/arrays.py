"""Images in arrays: an HDF5 file, as those of Galaxy10, a ``.npz`` or a ``.npy``."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from galvote.errors import CatalogueError
from galvote.io.columns import ID_COLUMNS, find_id_column, first_column, ids_as_text, list_names
from galvote.io.readers.files import name_without_ending
from galvote.io.readers.fits_tables import as_image
from galvote.io.readers.registry import NoImagesError, damaged, register
from galvote.io.sources import TEXT, Listing, Read, join_texts
from galvote.io.tables import register_table

_HDF5 = (".h5", ".hdf5", ".hdf")
_AT_A_TIME = 64


class _Array(NamedTuple):
    """What is known of an array without reading it."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def is_one(self) -> bool:
        """Whether it is one image, not several."""
        return len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[2] == 3)

    @property
    def is_rgb(self) -> bool:
        """Whether its last axis has the colours of images."""
        return len(self.shape) in (3, 4) and self.shape[-1] == 3

    @property
    def may_be_images(self) -> bool:
        """Whether it has images that are shown: RGB or grey of 8 bits, or planes as in a FITS table."""
        cell = self.shape if self.is_one else self.shape[1:]
        if self.dtype == np.uint8:
            return len(cell) == 2 or (len(cell) == 3 and cell[2] in (1, 3))
        return self.dtype.kind in "iuf" and (len(cell) == 2 or (len(cell) == 3 and cell[0] == 3))


@dataclass(frozen=True)
class _Images:
    """Reads an array of images, or one image; a location is the number of a row."""

    path: Path
    name: str
    one: bool

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        with _opened(self.path) as arrays:
            array = arrays[self.name][()][None] if self.one else arrays[self.name]
            for start in range(0, len(locations), _AT_A_TIME):
                for image in array[locations[start : start + _AT_A_TIME].to_numpy()]:
                    yield partial(as_image, _as_rgb(image))

    def origins(self, locations: pa.Array) -> pa.Array:
        return join_texts(f"{self.path} {self.name}".rstrip(), locations, by=" ")


def _as_rgb(image: np.ndarray) -> np.ndarray:
    grey = image.dtype == np.uint8 and image.shape[2:] != (3,)
    return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) if grey else image


@register(*_HDF5, ".npz", ".npy", in_folders=False, of_arrays=True)
def list_arrays(path: Path, id_column: str | None = None, dataset: str | None = None) -> Listing:
    """List the images of the array `dataset`, or one named ``images``, or the only one that may be images.

    Ids are another array's with a usual name, or the rows' numbers; of one image, the name of the file.
    """
    try:
        with _opened(path) as arrays:
            about = _describe(path, arrays)
            name = _choose(path, about, dataset)
            if about[name].is_one:
                ids, note = name_without_ending(pa.array([path.name], TEXT)), "ids from file names"
            else:
                ids, note = _ids(path, arrays, about, about[name].shape[0], id_column)
    except (BadZipFile, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        if "object" in str(error).lower() and isinstance(error, ValueError):
            raise NoImagesError(
                f"{path} holds Python objects, which are never loaded; save arrays of numbers."
            ) from error
        raise damaged(path, "arrays", error) from error
    reader = _Images(path, name, about[name].is_one)
    shape = " × ".join(map(str, about[name].shape))
    said = (f"images from `{name}`, {shape}",) if name else ()
    return Listing(ids, pa.array(np.arange(len(ids))), reader, notes=(*said, note))


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield a file's arrays by their names, not read yet; that of a ``.npy`` has none."""
    if path.name.lower().endswith(_HDF5):
        try:
            import h5py
        except ImportError as error:
            raise CatalogueError(f"To read {path}, run `pip install 'galvote[hdf5]'`.") from error
        with h5py.File(path) as file:
            arrays = dict[str, Any]()
            file.visititems(
                lambda name, each: arrays.update({name: each}) if isinstance(each, h5py.Dataset) else None
            )
            yield arrays
    elif path.name.lower().endswith(".npz"):
        with path.open("rb") as whole, np.load(whole) as file:  # numpy leaves a damaged one open
            yield file
    else:
        yield {"": np.load(path, mmap_mode="r")}


def _describe(path: Path, arrays: Mapping[str, Any]) -> dict[str, _Array]:
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        return {name: _Array(array.shape, array.dtype) for name, array in arrays.items()}
    found = dict[str, _Array]()
    archive: Any = arrays.zip
    for member in archive.infolist():
        with archive.open(member) as file:
            read = (
                np.lib.format.read_array_header_1_0
                if np.lib.format.read_magic(file) == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
        if math.prod(shape) * dtype.itemsize > member.file_size and not dtype.hasobject:
            raise ValueError(f"{member.filename} is shorter than its header says")
        found[member.filename.removesuffix(".npy")] = _Array(shape, dtype)
    return found


def _choose(path: Path, about: Mapping[str, _Array], dataset: str | None) -> str:
    said = list_names([f"{name} {each.shape} {each.dtype}".strip() for name, each in about.items()])
    if dataset and dataset.strip("/") not in about and "" not in about:
        raise CatalogueError(f"{path} has no dataset {dataset}: it has {said}.")
    named = [dataset.strip("/")] if dataset and "" not in about else []
    named = named or [name for name in about if name.rpartition("/")[2].lower() in ("images", "image")]
    if not named:
        fit = [name for name, each in about.items() if each.may_be_images]
        named = [name for name in fit if about[name].is_rgb] or fit
    if len(named) == 1 and about[named[0]].may_be_images:
        return named[0]
    if len(named) > 1:
        raise CatalogueError(
            f"{path} has several datasets that may be images; name one with --dataset: {said}."
        )
    raise NoImagesError(
        f"{path} has no images that can be shown: it has {said}. RGB is (galaxy, y, x, 3) of uint8, as "
        "np.uint8(255 * array) makes of 0 to 1 and np.moveaxis(array, 1, 3) of (galaxy, 3, y, x); planes of "
        "flux are (galaxy, 3, y, x) from blue to red, or (galaxy, y, x)."
    )


def read_arrays(path: Path) -> pa.Table:
    """Read the arrays that have a number or a text for each image, as ``ans``, Galaxy10's classes.

    Without ids among them there is a column ``id`` of the rows' numbers, as `list_arrays` has them.
    """
    with _opened(path) as arrays:
        about = _describe(path, arrays)
        lengths = Counter(each.shape[0] for each in about.values() if len(each.shape) == 1)
        if not lengths:
            raise ValueError("it has no arrays of one number or text for each image")
        rows = lengths.most_common(1)[0][0]
        names = [name for name, each in about.items() if each.shape == (rows,)]
        columns = {name: _column(arrays[name]) for name in names}
    if first_column(names, ID_COLUMNS, path) is None:
        columns = {"id": pa.array(np.arange(rows)).cast(TEXT), **columns}
    return pa.table(columns)


for _name, _endings in (("HDF5", _HDF5), ("npz", (".npz",))):
    register_table(_name, *_endings, read=read_arrays)


def _column(array: Any) -> pa.Array:
    values = np.asarray(array[()])
    if values.dtype.kind in "SO":
        values = np.array([each.decode() if isinstance(each, bytes) else str(each) for each in values])
    return pa.array(values)


def _ids(
    path: Path, arrays: Mapping[str, Any], about: Mapping[str, _Array], rows: int, id_column: str | None
) -> tuple[pa.Array, str]:
    columns = [name for name, each in about.items() if each.shape == (rows,)]
    if id_column is None and first_column(columns, ID_COLUMNS, path) is None:
        return pa.array(np.arange(rows)).cast(TEXT), "ids are the rows' numbers, from 0"
    name = find_id_column(columns, path, id_column)
    return ids_as_text(pa.chunked_array([_column(arrays[name])]), path), f"ids from `{name}`"
