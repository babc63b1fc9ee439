"""Images in a column of a FITS table."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from galvote.errors import CatalogueError
from galvote.io.columns import find_id_column, ids_as_text, list_names
from galvote.io.readers.files import FITS
from galvote.io.readers.registry import NoImagesError, damaged, register
from galvote.io.sources import Listing, Read, join_texts

_BATCH_ROWS = 64


@dataclass(frozen=True)
class _Rows:
    """Reads a column of a FITS table, whose number is `unit`; a location is the number of a row."""

    path: Path
    unit: int
    column: str

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        from astropy.io import fits

        for start in range(0, len(locations), _BATCH_ROWS):
            # Opened anew for each batch, so that the part of the file that was mapped can be forgotten.
            with fits.open(self.path, memmap=True) as units:
                table = units[self.unit].data
                for row in locations[start : start + _BATCH_ROWS].to_pylist():
                    # A slice first: of a column with a zero point astropy would convert all rows.
                    yield partial(as_image, np.array(table[row : row + 1][self.column][0]))

    def origins(self, locations: pa.Array) -> pa.Array:
        return join_texts(f"{self.path} row", locations, by=" ")


@register(*FITS)
def list_fits(path: Path, id_column: str | None = None) -> Listing | None:
    """List the rows of a FITS table by its column of images; None if it begins with one, or is a catalogue.

    A column holds images if its cells have two or three axes; of several, ``image`` is taken.
    """
    found = _find_columns(path)
    if found is None:
        return None
    columns, names = found
    chosen = [column for column in columns if column[1].lower() == "image"] or columns
    if len(chosen) > 1:
        which = list_names([f"{name} (HDU {unit})" for unit, name in columns])
        raise CatalogueError(
            f"{path} has several columns with images, {which}; name the one to use `image`, and no other."
        )
    if path.suffix.lower() in (".gz", ".bz2", ".xz"):
        raise CatalogueError(f"{path} is compressed, so its rows cannot be read one by one; unpack it first.")
    ((number, name),) = chosen
    id_name = find_id_column(names[number], path, id_column)
    try:
        with opened(path) as units:
            values = np.array(units[number].data[id_name])
    except (OSError, ValueError, TypeError) as error:
        raise damaged(path, "a FITS table", error) from error
    values = values.astype(values.dtype.newbyteorder("="))
    ids = ids_as_text(pa.chunked_array([pa.array(values)]), path)
    return Listing(ids, pa.array(np.arange(len(ids))), _Rows(path, number, name))


def _find_columns(path: Path) -> tuple[list[tuple[int, str]], dict[int, list[str]]] | None:
    """Return the columns of images, by number of the table and name, and all names of each table."""
    from astropy.io import fits

    columns = list[tuple[int, str]]()
    names = dict[int, list[str]]()
    described = list[str]()
    otherwise = False  # an image, or a catalogue of paths
    try:
        with opened(path) as units:
            for number, unit in enumerate(units):
                if isinstance(unit, fits.CompImageHDU) or not isinstance(unit, fits.BinTableHDU):
                    if unit.is_image and unit.header.get("NAXIS", 0) >= 2:
                        otherwise = True
                        if not names:
                            return None
                    continue
                kinds = {name: unit.columns.dtype[name] for name in unit.columns.names}
                names[number] = list(kinds)
                described += [_describe(unit.columns[name].format, name, kinds[name]) for name in kinds]
                found = [name for name, kind in kinds.items() if _may_be_image(kind)]
                if "source" in kinds and not any(name.lower() == "image" for name in found):
                    otherwise = True
                else:
                    columns += [(number, name) for name in found]
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError):
        return None
    if columns:
        return columns, names
    if otherwise or not names:
        return None
    raise NoImagesError(
        f"{path} has no column of images: it has {list_names(described)}. The cells of such a column "
        "have axes, which TDIM says: planes (3, y, x) or (y, x) of numbers, or RGB (y, x, 3) as uint8. "
        "Write the images so, all of one size, or each as a file of its own."
    )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Yield a FITS file's HDUs; what is damaged is told of by what is raised when it is read."""
    from astropy.io import fits

    with warnings.catch_warnings(), fits.open(path, memmap=True) as units:
        warnings.simplefilter("ignore")
        yield units


def _may_be_image(kind: np.dtype) -> bool:
    return kind.ndim in (2, 3) and kind.base.kind in "iuf"


def _describe(format_: str, name: str, kind: np.dtype) -> str:
    """Say what cells a column of a FITS table has: ``flux float32 (9216,)``."""
    if "P" in format_ or "Q" in format_:
        return f"{name} of variable length"
    return f"{name} {kind.base.name}" + (f" {kind.shape}" if kind.shape else "")


def as_image(cell: np.ndarray) -> tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]:
    """Return RGB pixels as they are, and planes as a FITS file of them."""
    if cell.dtype == np.uint8 and cell.shape[2:] == (3,):
        return cell
    from astropy.io import fits

    file = BytesIO()
    fits.PrimaryHDU(cell).writeto(file)
    return (file.getvalue(),)
