"""A wide image, its galaxies, and what a model predicts for each of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from galvote.images.measure import FieldGalaxy
from galvote.inference import Prediction
from galvote.io.astropy_tables import to_astropy
from galvote.io.columns import describe
from galvote.trees import Kind
from galvote.trees.kinds import Finding, strongest_first

if TYPE_CHECKING:
    from astropy.table import Table

OOD = "unlike the training galaxies"
"""How images and pages say that a galaxy is out of distribution."""

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

_MEASURED = ("x", "y", "r90", "axis_ratio", "angle", "flux", "touches_edge", "crowded")


@dataclass(frozen=True, eq=False)
class Field:
    """A wide image with its galaxies, brightest first.

    Parameters
    ----------
    title
        Name of the field; may be empty.
    image
        The wide image.
    galaxies
        Where the galaxies are and how large.
    too_small
        How many more are too small or too faint to classify.
    left_out
        How many more are beyond the limit that was asked for.
    prediction
        Votes of each galaxy; its ids are their numbers.
    """

    title: str
    image: UInt8[np.ndarray, "y x 3"]
    galaxies: tuple[FieldGalaxy, ...]
    too_small: int
    left_out: int
    prediction: Prediction

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The kind of each galaxy, and how clear a case it is."""
        return tuple(map(self.prediction.finding, range(len(self.prediction))))

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The likeliest answers to each galaxy's questions, in words."""
        return tuple(map(self.prediction.headline, range(len(self.prediction))))

    @property
    def ood(self) -> tuple[bool, ...]:
        """Whether each galaxy is known to be out of distribution, unlike the training galaxies."""
        ood = self.prediction.ood
        return (False,) * len(self.galaxies) if ood is None else tuple(ood.tolist())

    @cached_property
    def clearest_first(self) -> tuple[int, ...]:
        """Rows of all galaxies: the clearest of each kind, then the second clearest of each, and so on."""
        return strongest_first(self.findings)

    @property
    def clearest(self) -> tuple[int, ...]:
        """Row of the clearest galaxy of each kind that is known, the very clearest first."""
        return self.clearest_first[: len(self.counts) - any(self.ood)]

    @property
    def counts(self) -> Counter[Kind]:
        """How many galaxies there are of each kind."""
        return Counter(finding.kind for finding in self.findings)

    def describe_ood(self) -> str:
        """Return a sentence on how many galaxies are out of distribution; empty without calibration."""
        if self.prediction.ood is None:
            return ""
        return (
            f"{sum(self.ood)} of the {len(self.ood)} galaxies are {OOD}: intervals are not valid for these."
        )

    def to_arrow(self) -> pa.Table:
        """Return a row for each galaxy.

        Returns
        -------
        pyarrow.Table
            ``id``, ``x``, ``y``, ``r90`` (pixels), ``axis_ratio``, ``angle`` (degrees), ``flux``,
            ``magnitude``, ``touches_edge``, ``crowded``, ``kind``, ``path``, and the columns of
            `Prediction.to_arrow` but for ``status`` and ``reason``. The fields' metadata say what each one
            means.
        """
        columns = {name: [getattr(each, name) for each in self.galaxies] for name in _MEASURED}
        flux = np.array(columns["flux"], np.float64)
        arrays = {
            "id": pa.array(self.prediction.ids, pa.string()),
            **{name: pa.array(np.array(columns[name], np.float64).round(2)) for name in _MEASURED[:5]},
            "flux": pa.array(flux.round()),
            "magnitude": pa.array((-2.5 * np.log10(flux)).round(3)),
            **{name: pa.array(columns[name], pa.bool_()) for name in _MEASURED[6:]},
            "kind": pa.array([finding.name for finding in self.findings], pa.string()),
            "path": pa.array(self.paths, pa.string()),
        }
        schema = [describe(pa.field(name, array.type), *_ABOUT[name]) for name, array in arrays.items()]
        predicted = self.prediction.to_arrow().drop_columns(["id", "status", "reason"])
        return pa.Table.from_arrays(
            [*arrays.values(), *predicted.columns], schema=pa.schema([*schema, *predicted.schema])
        )

    def to_table(self) -> Table:
        """Return the rows of `to_arrow` with units and descriptions."""
        return to_astropy(self.to_arrow())
