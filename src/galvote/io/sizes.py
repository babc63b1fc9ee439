"""Sizes of galaxies whose images have the same number of arcseconds in each pixel."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galvote.errors import CatalogueError
from galvote.io.columns import find_id_column, list_names, refuse_repeated_ids, to_ids
from galvote.io.positions import read_sizes
from galvote.io.tables import read_table


@dataclass(frozen=True)
class Sizes:
    """How large each galaxy is in its image.

    Parameters
    ----------
    pixel_scale
        Arcseconds in a pixel of the images.
    r90
        By the galaxies' ids, in arcseconds; NaN where unknown.
    """

    pixel_scale: float
    r90: Mapping[str, float]

    def __post_init__(self) -> None:
        if not 0 < self.pixel_scale < math.inf:
            raise CatalogueError(f"A pixel scale of {self.pixel_scale:g} arcseconds is not possible.")

    @classmethod
    def read(
        cls,
        path: str | Path,
        pixel_scale: float,
        *,
        column: str | None = None,
        factor: float = 1.0,
        id_column: str | None = None,
    ) -> "Sizes":
        """Read sizes from a table and return them; those that are not positive count as unknown.

        Parameters
        ----------
        path
            A table (see `galvote.io.read_table`) with columns of ids and sizes.
        pixel_scale
            Arcseconds in a pixel of the images.
        column
            The column of sizes, in arcseconds unless it has another unit; by default one of r90.
        factor
            What the column is multiplied by to be r90: about 2.3 of a half-light radius, for one.
        id_column
            The column of ids, if it has none of the usual names.

        Raises
        ------
        CatalogueError
            If a column is missing or holds no numbers, an id occurs twice, or the factor is not positive.
        """
        path = Path(path)
        if not 0 < factor < math.inf:
            raise CatalogueError(f"A factor of {factor:g} makes no r90 of a size; give a positive number.")
        table = read_table(path)
        ids = to_ids(table[find_id_column(table.column_names, path, id_column)], path)
        refuse_repeated_ids(ids, path)
        sizes = factor * read_sizes(table, path, column, required=True)
        return cls(pixel_scale, dict(zip(ids, sizes.tolist(), strict=True)))

    def __str__(self) -> str:
        text = "\n".join(f"{id_}\0{size!r}" for id_, size in self.r90.items())
        return f"{self.pixel_scale:.12g} arcsec/pixel, sizes {hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def pixels(self, id_: str) -> float:
        """Return a galaxy's r90 in pixels of its image; NaN if unknown.

        Parameters
        ----------
        id_
            The galaxy's.
        """
        size = self.r90.get(id_, math.nan)
        return size / self.pixel_scale if 0 < size < math.inf else math.nan

    def compare(self, ids: Sequence[str]) -> str:
        """Return how many galaxies have no size, in a sentence; nothing if all have one.

        Parameters
        ----------
        ids
            Of the galaxies with images; `CatalogueError` if none has a size.
        """
        without = [id_ for id_ in ids if math.isnan(self.pixels(id_))]
        if ids and len(without) == len(ids):
            if matched := sum(id_ in self.r90 for id_ in ids):
                raise CatalogueError(
                    f"The catalogue has {matched} of {len(ids)} images, and a positive size of none: fill in "
                    "its column of sizes, or name another with --size-column (column=)."
                )
            raise CatalogueError(
                f"No image has a size in the catalogue: its ids are {list_names(list(self.r90), 3)}; the "
                f"images' are {list_names(ids, 3)}. The names of images, without the ending, must be the ids."
            )
        if not without:
            return ""
        return (
            f"{len(without)} of {len(ids)} images have no size in the catalogue, among them "
            f"{list_names(without, 3)}; they are taken to have GZ2's scale, and their rows say so."
        )
