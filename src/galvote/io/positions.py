"""Catalogues of positions: where galaxies are on the sky, and how large."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

from galvote.errors import CatalogueError
from galvote.io.bands import Look
from galvote.io.columns import (
    ID_COLUMNS,
    about,
    find_column,
    find_id_column,
    first_column,
    is_text,
    refuse_repeated_ids,
    to_ids,
    to_numbers,
    without_gaps,
)
from galvote.io.sources import TEXT, Listing, Read, Sources
from galvote.io.tables import is_table, read_table

RA_COLUMNS = ("ra", "_raj2000", "raj2000", "ra_icrs", "right_ascension", "ra_deg", "alpha_j2000")
"""Names of a column of right ascensions, in order of preference; upper and lower case are the same."""

DEC_COLUMNS = ("dec", "_dej2000", "dej2000", "de_icrs", "declination", "dec_deg", "delta_j2000")
"""Names of a column of declinations."""

SIZE_COLUMNS = ("petroR90_r", "r90", "petror90", "petro_r90")
"""Names of a column of r90, the radius that holds 90 % of the Petrosian flux, in arcseconds."""

_SEXAGESIMAL = r"^[+-]?\d+\s*[:hd°\s]\s*\d+"
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
    """Galaxies on the sky: ids or rows' numbers, ICRS in degrees, r90 in arcseconds, and their catalogue.

    Coordinates and sizes are NaN where they are missing.
    """

    ids: tuple[str, ...]
    ra: Coordinates
    dec: Coordinates
    r90: Coordinates
    table: pa.Table

    def __len__(self) -> int:
        return len(self.ids)

    def with_r90(self, r90: Coordinates) -> "Positions":
        """Return the same galaxies with other sizes."""
        return replace(self, r90=r90)

    def sources(self, service: ImageService, look: Look | None = None) -> Sources:
        """Return the galaxies' images, none of which is looked up before it is read, and with which look."""
        places = pa.StructArray.from_arrays(
            [pa.array(column) for column in (self.ra, self.dec, self.r90)], ["ra", "dec", "r90"]
        )
        listing = Listing(pa.array(self.ids, TEXT), places, _LookedUp(service, look or Look()))
        return Sources((listing,) if self.ids else ())


def read_positions(
    path: str | Path,
    *,
    size_column: str | None = None,
    id_column: str | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> Positions:
    """Read a catalogue of positions by its named or usual columns; a `CatalogueError` says what is wrong.

    Sizes are in arcseconds unless their column has another unit. Without a column of ids, rows are numbered
    from 0.
    """
    path = Path(path)
    table = read_table(path)
    names = table.column_names
    ra, dec = coordinate_columns(names, path)
    r90, said = read_sizes(table, path, size_column), f"coordinates from `{ra}`, `{dec}`"
    if size := first_column(names, () if size_column else SIZE_COLUMNS, path, size_column):
        said += f", sizes from `{size}`"
    if id_column is None and first_column(names, ID_COLUMNS, path) is None:
        ids = tuple(map(str, range(len(table))))
        said += f"; without a column of ids ({', '.join(ID_COLUMNS)}), rows are numbered from 0"
    else:
        name = find_id_column(names, path, id_column)
        ids, said = to_ids(table[name], path), f"ids from `{name}`, {said}"
        refuse_repeated_ids(ids, path)
    report(f"{path}: {len(table):,} galaxies, {said}.")
    return Positions(ids, *coordinates(table, path), r90, table)


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


def coordinate_columns(names: Sequence[str], path: Path) -> tuple[str, str]:
    """Return a table's columns of right ascension and declination, such as ``coord.ra`` and ``coord.dec``."""
    pairs = [*zip(RA_COLUMNS, DEC_COLUMNS, strict=True)]
    pairs += [(name, f"{name[:-3]}.dec") for name in names if name.lower().endswith(".ra")]
    for pair in pairs:
        ra, dec = (first_column(names, [name], path) for name in pair)
        if ra and dec:
            return ra, dec
    return (
        find_column(names, RA_COLUMNS, path, "right ascensions"),
        find_column(names, DEC_COLUMNS, path, "declinations"),
    )


def read_sizes(
    table: pa.Table, path: Path, column: str | None = None, *, required: bool = False
) -> Coordinates:
    """Return a table's sizes in arcseconds: of r90, if no other column is named; NaN where missing."""
    if not (required or column or first_column(table.column_names, SIZE_COLUMNS, path)):
        return np.full(len(table), np.nan)
    names = [column] if column else SIZE_COLUMNS
    name = find_column(table.column_names, names, path, "sizes", "Name one that is there.")
    return _numbers(table, name, path, "arcsec")


def coordinates(table: pa.Table, path: Path) -> tuple[Coordinates, Coordinates]:
    """Return a table's right ascensions and declinations in degrees, NaN where missing.

    Text as ``10:00:00.5`` is hours of right ascension, unless its unit is degrees, and degrees of
    declination.
    """
    ra, dec = coordinate_columns(table.column_names, path)
    return _degrees(table, ra, path, "hourangle"), _degrees(table, dec, path, "deg")


@dataclass(frozen=True)
class _LookedUp:
    """Reads images that are looked up by position; a location is ra, dec and r90."""

    service: ImageService
    look: Look

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


def _degrees(table: pa.Table, name: str, path: Path, unit: str) -> Coordinates:
    """Return a column of degrees, or of text in sexagesimal notation."""
    column = table[name]
    if not (
        is_text(column.type) and pc.any(pc.match_substring_regex(without_gaps(column), _SEXAGESIMAL)).as_py()
    ):
        return _numbers(table, name, path, "deg")
    from astropy.coordinates import Angle, IllegalHourWarning

    unit = "deg" if (about(table.schema.field(name)).get("unit") or "").lower().startswith("deg") else unit
    degrees = np.full(len(column), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 60 seconds, which are rounded ones
        warnings.simplefilter("error", IllegalHourWarning)
        for row, text in enumerate(without_gaps(column).to_pylist()):
            try:
                if text is not None:
                    degrees[row] = Angle(text if re.match(_SEXAGESIMAL, text) else "", unit).deg
            except (ValueError, IllegalHourWarning) as error:
                raise CatalogueError(
                    f"{path}: row {row + 1} of the column `{name}` is {text!r}, which is no angle in "
                    f"{'hours' if unit == 'hourangle' else 'degrees'}, minutes and seconds; correct it, or "
                    "convert the column to degrees."
                ) from error
    return degrees


def _numbers(table: pa.Table, name: str, path: Path, wanted: str) -> Coordinates:
    """Return a column in the wanted unit, which it is taken to have if it names none."""
    numbers = to_numbers(table[name], f"`{name}`", path)
    unit = about(table.schema.field(name)).get("unit")
    if not unit:
        return numbers
    from astropy.units import Unit

    try:
        # VizieR says Degrees, astropy deg and degree.
        factor = float(Unit(unit.lower().rstrip("s")).to(wanted))
    except ValueError as error:
        raise CatalogueError(f"{path}: the column `{name}` is in {unit}; convert it to {wanted}.") from error
    return numbers if factor == 1 else numbers * factor
