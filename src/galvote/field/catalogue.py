"""The catalogue of a field's galaxies: where each one is, what it is, and its votes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from galvote.field.findings import ClassifiedField
from galvote.io.columns import describe

_ABOUT: dict[str, tuple[str, str | None, str]] = {
    "id": ("Number of the galaxy, the brightest first", None, "meta.id;meta.main"),
    "x": ("Centre, from that of the first pixel to the right", "pixel", "pos.cartesian.x"),
    "y": ("Centre, from that of the first pixel downwards", "pixel", "pos.cartesian.y"),
    "r90": ("Radius of the circle that holds 90 % of the Petrosian flux", "pixel", "phys.angSize"),
    "axis_ratio": ("Minor over major axis of the second moments", "", "phys.angSize;arith.ratio"),
    "angle": ("Of the major axis, from x towards y", "deg", "pos.posAng"),
    "flux": ("Petrosian flux in arbitrary units", "", "phot.flux"),
    "magnitude": ("The same, -2.5 log10(flux), without a zero point", "mag", "phot.mag"),
    "touches_edge": ("Whether twice r90 reaches over the edge of the picture", None, "meta.code.qual"),
    "crowded": ("Whether other things cover more than a tenth of the circle of r90", None, "meta.code.qual"),
    "kind": ("What is clearest about it", None, "src.morph.type"),
    "path": ("The likeliest answers, from question to question", None, "src.morph.type"),
}
"""Description, unit and UCD of the columns beside the predictions."""


def to_catalogue(field: ClassifiedField) -> pa.Table:
    """Return a row for each galaxy, every column with its description."""
    flux = np.array([galaxy.flux for galaxy in field.galaxies], np.float64)
    columns = {
        "id": pa.array([str(galaxy.number) for galaxy in field.galaxies], pa.string()),
        **{
            name: pa.array([round(getattr(galaxy, name), 2) for galaxy in field.galaxies], pa.float64())
            for name in ("x", "y", "r90", "axis_ratio", "angle")
        },
        "flux": pa.array(flux.round()),
        "magnitude": pa.array((-2.5 * np.log10(flux)).round(3)),
        **{
            name: pa.array([getattr(galaxy, name) for galaxy in field.galaxies], pa.bool_())
            for name in ("touches_edge", "crowded")
        },
        "kind": pa.array([finding.kind.name for finding in field.findings], pa.string()),
        "path": pa.array(field.paths, pa.string()),
    }
    predicted = field.predicted.to_arrow().drop_columns(["id", "status", "reason"])
    table = pa.table(columns)
    fields = [describe(each, *_ABOUT[each.name]) if each.name in _ABOUT else each for each in table.schema]
    return pa.Table.from_arrays(
        [*table.columns, *predicted.columns], schema=pa.schema([*fields, *predicted.schema])
    )
