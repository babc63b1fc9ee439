"""The catalogue of a field's galaxies: where each one is, what it is, and its votes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from galvote.field.field import Field
from galvote.io.columns import describe

_ABOUT: dict[str, tuple[str, str | None, str]] = {
    "id": ("Number of the galaxy, from the brightest", None, "meta.id;meta.main"),
    "x": ("Centre, from that of the first pixel to the right", "pix", "pos.cartesian.x"),
    "y": ("Centre, from that of the first pixel downwards", "pix", "pos.cartesian.y"),
    "r90": ("Radius of the circle that holds 90 % of the Petrosian flux", "pix", "phys.angSize"),
    "axis_ratio": ("Minor over major axis of the second moments", "", "phys.angSize;arith.ratio"),
    "angle": ("Of the major axis, from x towards y", "deg", "pos.posAng"),
    "flux": ("Petrosian flux in arbitrary units", "", "phot.flux"),
    "magnitude": ("The same, -2.5 log10(flux), without a zero point", "mag", "phot.mag"),
    "touches_edge": ("Whether twice r90 reaches over the edge of the image", None, "meta.code.qual"),
    "crowded": ("Whether other things cover more than a tenth of the circle of r90", None, "meta.code.qual"),
    "kind": ("What is clearest about it", None, "src.morph.type"),
    "path": ("The likeliest answers, from question to question", None, "src.morph.type"),
}
"""Description, unit and UCD of the columns beside the prediction's."""


def to_catalogue(field: Field) -> pa.Table:
    """Return a row for each galaxy of a field.

    Parameters
    ----------
    field
        The field.

    Returns
    -------
    pyarrow.Table
        ``id``, ``x``, ``y``, ``r90`` (pixels), ``axis_ratio``, ``angle`` (degrees), ``flux``, ``magnitude``,
        ``touches_edge``, ``crowded``, ``kind``, ``path``, and the columns of `Prediction.to_arrow` but for
        ``status`` and ``reason``. The fields' metadata say what each one means.
    """

    def numbers(name: str) -> np.ndarray:
        return np.array([getattr(galaxy, name) for galaxy in field.galaxies], np.float64)

    flux = numbers("flux")
    columns = {
        "id": pa.array(field.prediction.ids, pa.string()),
        **{name: pa.array(numbers(name).round(2)) for name in ("x", "y", "r90", "axis_ratio", "angle")},
        "flux": pa.array(flux.round()),
        "magnitude": pa.array((-2.5 * np.log10(flux)).round(3)),
        "touches_edge": pa.array([galaxy.touches_edge for galaxy in field.galaxies], pa.bool_()),
        "crowded": pa.array([galaxy.crowded for galaxy in field.galaxies], pa.bool_()),
        "kind": pa.array([finding.kind.name for finding in field.findings], pa.string()),
        "path": pa.array(field.paths, pa.string()),
    }
    schema = [describe(pa.field(name, array.type), *_ABOUT[name]) for name, array in columns.items()]
    table = pa.Table.from_arrays([*columns.values()], schema=pa.schema(schema))
    predicted = field.prediction.to_arrow().drop_columns(["id", "status", "reason"])
    for column in predicted.schema:
        table = table.append_column(column, predicted[column.name])
    return table
