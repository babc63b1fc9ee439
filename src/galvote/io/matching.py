"""Which rows of two tables are the same galaxy: by id, or by position where there are coordinates instead."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int

from galvote.errors import CatalogueError
from galvote.io.columns import ID_COLUMNS, find_id_column, first_column, to_ids
from galvote.io.positions import Coordinates, Positions, coordinate_columns, coordinates

WITHIN = 1.0
"""Arcseconds between two positions that are taken for one galaxy."""


@dataclass(frozen=True, eq=False)
class PositionMatch:
    """The row of a reference at each position; -1 where there is none, or it is ambiguous which."""

    rows: Int[np.ndarray, " position"]
    ambiguous: Bool[np.ndarray, " position"]

    def describe(self) -> str:
        """Return a sentence that says how many match."""
        matched, unclear = int((self.rows >= 0).sum()), int(self.ambiguous.sum())
        others = len(self.rows) - matched - unclear
        return (
            f"By position, {matched:,} of {len(self.rows):,} rows match a galaxy; {others:,} match none, and "
            f"of {unclear:,} it is ambiguous which they match."
        )


def match_positions(
    ra: Coordinates,
    dec: Coordinates,
    reference_ra: Float64[np.ndarray, " reference"],
    reference_dec: Float64[np.ndarray, " reference"],
    within: float = WITHIN,
) -> PositionMatch:
    """Match positions with those of a reference, ICRS in degrees, within so many arcseconds."""
    from astropy import units
    from astropy.coordinates import SkyCoord, search_around_sky

    own = np.flatnonzero(np.isfinite(ra) & (np.abs(dec) <= 90))
    others = np.flatnonzero(np.isfinite(reference_ra) & (np.abs(reference_dec) <= 90))
    here, there, _, _ = search_around_sky(
        SkyCoord(ra[own], dec[own], unit="deg"),
        SkyCoord(reference_ra[others], reference_dec[others], unit="deg"),
        within * units.arcsec,
    )
    clear = (np.bincount(here, minlength=1)[here] == 1) & (np.bincount(there, minlength=1)[there] == 1)
    rows, ambiguous = np.full(len(ra), -1), np.zeros(len(ra), dtype=bool)
    rows[own[here[clear]]] = others[there[clear]]
    ambiguous[own[here[~clear]]] = True
    return PositionMatch(rows, ambiguous)


def row_ids(
    table: pa.Table,
    path: Path,
    id_column: str | None = None,
    reference: Positions | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[str, ...]:
    """Return the id of each row: of its column of ids or, without one, of the reference's galaxy there.

    It is empty where no galaxy is `WITHIN` reach, or it is ambiguous which; if all are, that is a
    `CatalogueError`.
    """
    names = table.column_names
    if reference is None or first_column(names, ID_COLUMNS, path, id_column) is not None:
        name = find_id_column(names, path, id_column)
        ids = to_ids(table[name], path)
        report(f"{path}: {len(table):,} rows, ids from `{name}`.")
        return ids
    ra, dec = coordinate_columns(names, path)
    match = match_positions(*coordinates(table, path), reference.ra, reference.dec)
    if len(table) and not (match.rows >= 0).any():
        raise CatalogueError(
            f"{path} has no ids, and no position in it is within {WITHIN:g} arcsecond of one that is looked "
            "for; check that both are ICRS in degrees, or name its column of ids with --id-column."
        )
    report(f"{path} has no ids. {match.describe()} Positions are `{ra}`, `{dec}`.")
    return tuple("" if row < 0 else reference.ids[row] for row in match.rows)


def with_ids(
    table: pa.Table,
    path: Path,
    id_column: str | None = None,
    reference: Positions | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the rows that have an id, as `row_ids` tells it, and the ids."""
    ids = row_ids(table, path, id_column, reference, report)
    return (table, ids) if all(ids) else (table.filter(pa.array(map(bool, ids))), tuple(filter(None, ids)))
