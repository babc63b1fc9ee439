"""Catalogues of positions: where galaxies are on the sky, and how large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from galvote.errors import CatalogueError
from galvote.io.columns import (
    ID_COLUMNS,
    about,
    find_column,
    find_id_column,
    first_column,
    refuse_repeated_ids,
    to_ids,
)
from galvote.io.sources import TEXT, Listing, Read, Sources
from galvote.io.tables import is_table, read_table

RA_COLUMNS = ("ra", "_raj2000", "raj2000", "ra_icrs", "right_ascension", "ra_deg", "alpha_j2000")
"""Names of a column of right ascensions, in order of preference; upper and lower case are the same."""

DEC_COLUMNS = ("dec", "_dej2000", "dej2000", "de_icrs", "declination", "dec_deg", "delta_j2000")
"""Names of a column of declinations."""

SIZE_COLUMNS = ("petroR90_r", "r90", "petror90", "petro_r90")
"""Names of a column of r90, the radius that holds 90 % of the Petrosian flux, in arcseconds."""

_AT_A_TIME = 1024

Coordinates = Float64[np.ndarray, " galaxy"]


@runtime_checkable
class ImageService(Protocol):
    """What has images of places on the sky: a wide image of it, or a survey's cutout service."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def images(self, ra: Coordinates, dec: Coordinates, r90: Coordinates) -> Sequence[Read]:
        """Return what gets each galaxy's image; ra and dec in degrees, r90 in arcseconds."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Galaxies on the sky.

    Parameters
    ----------
    ids
        Unique; numbers of the rows, from 0, if the catalogue has no ids.
    ra, dec
        Degrees, ICRS; NaN where missing.
    r90
        Radii that hold 90 % of the Petrosian flux, arcseconds; NaN where unknown.
    table
        The whole catalogue, a row for each galaxy.
    """

    ids: tuple[str, ...]
    ra: Coordinates
    dec: Coordinates
    r90: Coordinates
    table: pa.Table

    def __len__(self) -> int:
        return len(self.ids)

    def with_r90(self, r90: Coordinates) -> Positions:
        """Return the same galaxies with other sizes."""
        return replace(self, r90=r90)

    def sources(self, service: ImageService) -> Sources:
        """Return the galaxies' images, none of which is looked up before it is read."""
        places = pa.StructArray.from_arrays(
            [pa.array(column) for column in (self.ra, self.dec, self.r90)], ["ra", "dec", "r90"]
        )
        listing = Listing(pa.array(self.ids, TEXT), places, _LookedUp(service))
        return Sources((listing,) if self.ids else ())


def read_positions(
    path: str | Path, *, size_column: str | None = None, id_column: str | None = None
) -> Positions:
    """Read a catalogue of positions.

    Parameters
    ----------
    path
        A table (see `read_table`) with columns of right ascension and declination in degrees, ICRS
        (`RA_COLUMNS`, `DEC_COLUMNS`), of ids if it has any (`ID_COLUMNS`), and of sizes if it has any.
    size_column
        The column of r90; by default the first of `SIZE_COLUMNS` that is there. In arcseconds, unless the
        column has another unit.
    id_column
        The column of ids; by default the first of `ID_COLUMNS` that is there, or else rows are numbered.

    Returns
    -------
    Positions
        A row for each galaxy.

    Raises
    ------
    CatalogueError
        If a column is missing, is no column of numbers or has another unit, or an id occurs twice.
    """
    path = Path(path)
    table = read_table(path, id_column=id_column)
    ra, dec = coordinates(table, path)
    r90 = read_sizes(table, path, size_column)
    return Positions(ids=_ids(table, path, id_column), ra=ra, dec=dec, r90=r90, table=table)


def positions_of(places: Sequence[str | Path], *, id_column: str | None = None) -> Positions | None:
    """Return the galaxies with ids and positions in those places that are tables; None if there are none."""
    found = list[Positions]()
    for path in map(Path, places):
        if path.is_file() and is_table(path):
            with suppress(CatalogueError):  # an image, or a table of something else
                found.append(read_positions(path, id_column=id_column))
    if not found:
        return None
    ra, dec, r90 = (np.concatenate([getattr(each, name) for each in found]) for name in ("ra", "dec", "r90"))
    return Positions(tuple(chain.from_iterable(each.ids for each in found)), ra, dec, r90, found[0].table)


def read_sizes(
    table: pa.Table, path: Path, column: str | None = None, *, required: bool = False
) -> Coordinates:
    """Return a table's sizes in arcseconds: of r90, if no other column is named; NaN where missing."""
    if not (required or column or first_column(table.column_names, SIZE_COLUMNS)):
        return np.full(len(table), np.nan)
    names = [column] if column else SIZE_COLUMNS
    name = find_column(table.column_names, names, path, "sizes", "Name one that is there.")
    return _numbers(table, name, path, "arcsec")


def coordinates(table: pa.Table, path: Path) -> tuple[Coordinates, Coordinates]:
    """Return a table's right ascensions and declinations in degrees, NaN where missing."""
    ra = find_column(table.column_names, RA_COLUMNS, path, "right ascensions")
    dec = find_column(table.column_names, DEC_COLUMNS, path, "declinations")
    return _numbers(table, ra, path, "deg"), _numbers(table, dec, path, "deg")


@dataclass(frozen=True)
class _LookedUp:
    """Reads images that are looked up by position; a location is ra, dec and r90."""

    service: ImageService

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        for start in range(0, len(locations), _AT_A_TIME):
            yield from self.service.images(*_columns(locations[start : start + _AT_A_TIME]))

    def origins(self, locations: pa.Array) -> pa.Array:
        ra, dec, r90 = (column.tolist() for column in _columns(locations))
        return pa.array(
            [f"{self.service.name} at {x} {y}, r90 {z}" for x, y, z in zip(ra, dec, r90, strict=True)], TEXT
        )


def _columns(places: pa.Array) -> tuple[Coordinates, ...]:
    return tuple(column.to_numpy(zero_copy_only=False) for column in places.flatten())


def _ids(table: pa.Table, path: Path, id_column: str | None) -> tuple[str, ...]:
    if id_column is None and first_column(table.column_names, ID_COLUMNS) is None:
        return tuple(map(str, range(len(table))))
    ids = to_ids(table[find_id_column(table.column_names, path, id_column)], path)
    refuse_repeated_ids(ids, path)
    return ids


def _numbers(table: pa.Table, name: str, path: Path, wanted: str) -> Coordinates:
    """Return a column in the wanted unit, which it is taken to have if it names none."""
    column = table[name]
    known = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    if not any(is_so(column.type) for is_so in known):
        raise CatalogueError(
            f"{path}: the column `{name}` holds {column.type} and must hold numbers: positions in degrees, "
            "not in hours or with minutes and seconds; sizes in arcseconds."
        )
    numbers = np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
    unit = about(table.schema.field(name)).get("unit")
    if not unit:
        return numbers
    from astropy.units import Unit

    try:
        factor = float(
            Unit(unit.lower().rstrip("s")).to(wanted)
        )  # VizieR says Degrees, astropy deg and degree
    except ValueError as error:
        raise CatalogueError(f"{path}: the column `{name}` is in {unit}; convert it to {wanted}.") from error
    return numbers if factor == 1 else numbers * factor
