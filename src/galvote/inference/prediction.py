"""What a model says of galaxies: one shape of it, whatever computes and wherever it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float16, Float32, Int, UInt8

from galvote.calibration import Calibration
from galvote.errors import ImageError
from galvote.io.columns import about, describe
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from astropy.table import Table
    from pandas import DataFrame

LEVEL = 0.9
"""Share of the votes that the intervals of a calibrated model hold unless another is asked for."""

Fractions = Float32[np.ndarray, "galaxy answer"]

_ABOUT = {
    "id": ("Name of the galaxy", None, "meta.id;meta.main"),
    "status": ("ok, or what was wrong with the image", None, "meta.code.status"),
    "reason": ("Why there is no prediction", None, "meta.note"),
    "ood": ("Whether the image is out of distribution: unlike the training galaxies", None, "meta.code.qual"),
    "ood_score": ("Percentile of the image's distance among held-out galaxies", "%", "stat.rank"),
    "features": ("Features of the image in the model's network", "", "stat.value"),
}
"""Description, unit and UCD of the columns that every tree has."""

_ENDS = (
    ("", "Predicted share", "stat.probability"),
    ("_low", "Lower end of the {level}interval of the share", "stat.probability;stat.min"),
    ("_high", "Upper end of the {level}interval of the share", "stat.probability;stat.max"),
)

_TEXTS = ("ids", "status", "reason")
_NUMBERS = ("fractions", "low", "high", "ood", "ood_score", "features")


def prediction_schema(
    tree: DecisionTree, level: float | None, *, calibrated: bool, features: int = 0
) -> pa.Schema:
    """Return the columns of a prediction, with what each one means in the fields' metadata.

    Parameters
    ----------
    tree
        Whose answers are predicted.
    level
        Of the intervals, in (0, 1); ``None`` if unknown.
    calibrated
        Whether there are intervals and the flag.
    features
        How many there are.
    """
    fields = [pa.field(name, pa.string()) for name in ("id", "status", "reason")]
    if calibrated:
        fields += [pa.field("ood", pa.bool_()), pa.field("ood_score", pa.float32())]

    def describe_ends(endings: Sequence[tuple[str, str, str]]) -> list[pa.Field]:
        promised = "" if level is None else f"{level:.12g} "
        return [
            describe(
                pa.field(answer.column + ending, pa.float32()),
                f'{what.format(level=promised)} of all votes for "{answer.text}" in "{question.text}"',
                "",
                ucd,
            )
            for question in tree.questions
            for answer in question.answers
            for ending, what, ucd in endings
        ]

    fields += describe_ends(_ENDS[:1])
    fields += describe_ends(_ENDS[1:]) if calibrated else []
    fields += [pa.field("features", pa.list_(pa.float16(), features))] if features else []
    return pa.schema(
        [describe(field, *_ABOUT[field.name]) if field.name in _ABOUT else field for field in fields]
    )


@dataclass(frozen=True, eq=False)
class Prediction:
    """Vote fractions of some galaxies, in their order.

    Parameters
    ----------
    tree
        Whose answers are predicted.
    ids
        Names of the galaxies.
    status
        ``ok``, or what was wrong with the image.
    reason
        Why there is no prediction; empty where there is one.
    fractions
        Cumulative vote fractions in [0, 1], in ``tree.columns`` order; NaN where the status is not ``ok``, as
        are all other numbers.
    low, high
        Ends of their intervals; ``None`` if the model is not calibrated.
    level
        Share of the votes that the intervals are to hold, in (0, 1).
    ood
        Which images are out of distribution, unlike the training galaxies; ``None`` if the model is not
        calibrated.
    ood_score
        Percentile, 0 to 100, of each image's distance from the training galaxies among held-out galaxies.
    features
        The encoder's features; ``None`` if they were not asked for.
    """

    tree: DecisionTree
    ids: tuple[str, ...]
    status: tuple[str, ...]
    reason: tuple[str, ...]
    fractions: Fractions
    low: Fractions | None = None
    high: Fractions | None = None
    level: float | None = None
    ood: Bool[np.ndarray, " galaxy"] | None = None
    ood_score: Float32[np.ndarray, " galaxy"] | None = None
    features: Float16[np.ndarray, "galaxy feature"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Int[np.ndarray, " row"] | Bool[np.ndarray, " galaxy"]) -> Prediction:
        """Return some of the galaxies.

        Parameters
        ----------
        rows
            A slice, row numbers, or True for each galaxy that is wanted.
        """
        if isinstance(rows, slice):
            chosen: Sequence[int] = range(*rows.indices(len(self)))
        else:
            chosen = np.arange(len(self))[rows].tolist()
        values: dict[str, Any] = {name: tuple(getattr(self, name)[row] for row in chosen) for name in _TEXTS}
        values |= {name: getattr(self, name)[rows] for name in self._numbers}
        return replace(self, **values)

    @classmethod
    def concat(cls, predictions: Iterable[Prediction]) -> Prediction:
        """Join one prediction or more of the same model, in their order.

        Parameters
        ----------
        predictions
            Alike in tree, level and what they hold.

        Returns
        -------
        A prediction whose arrays are copies.
        """
        first, *_ = parts = list(predictions)
        values: dict[str, Any] = {
            name: tuple(text for part in parts for text in getattr(part, name)) for name in _TEXTS
        }
        values |= {name: np.concatenate([getattr(part, name) for part in parts]) for name in first._numbers}
        return replace(first, **values)

    @property
    def _numbers(self) -> list[str]:
        return [name for name in _NUMBERS if getattr(self, name) is not None]

    @property
    def ok(self) -> Bool[np.ndarray, " galaxy"]:
        """Which galaxies have a prediction."""
        return np.array([status == "ok" for status in self.status], dtype=bool)

    @property
    def schema(self) -> pa.Schema:
        """The columns of `to_arrow`."""
        width = 0 if self.features is None else self.features.shape[1]
        return prediction_schema(self.tree, self.level, calibrated=self.low is not None, features=width)

    def to_arrow(self) -> pa.Table:
        """Return a row for each galaxy.

        Returns
        -------
        Columns ``id``, ``status``, ``reason``; of a calibrated model ``ood`` and ``ood_score``; the tree's
        columns; of a calibrated model ``<column>_low`` and ``<column>_high`` of each; ``features``, float16,
        if there are any. Null where there is no prediction. The fields' metadata say what each one means.
        """
        missing = ~self.ok
        values: list[np.ndarray] = [] if self.ood is None else [self.ood, self.ood_score]  # type: ignore[list-item]
        values += [*self.fractions.T]
        if self.low is not None and self.high is not None:
            values += [end for both in zip(self.low.T, self.high.T, strict=True) for end in both]
        columns = [pa.array(column, mask=missing) for column in values]
        if self.features is not None:
            numbers = pa.array(self.features.ravel())
            width = self.features.shape[1]
            columns.append(pa.FixedSizeListArray.from_arrays(numbers, width, mask=pa.array(missing)))
        texts = [pa.array(getattr(self, name), pa.string()) for name in _TEXTS]
        return pa.Table.from_arrays([*texts, *columns], schema=self.schema)

    def to_table(self) -> Table:
        """Return the rows of `to_arrow` with units and descriptions.

        Returns
        -------
        An `astropy.table.Table`; NaN, or masked, where there is no prediction.
        """
        from astropy.table import MaskedColumn, Table

        rows = self.to_arrow()
        table = Table()
        for field in rows.schema:
            known = about(field)
            column = rows[field.name]
            if field.name == "features":
                values = self.features
            elif pa.types.is_floating(field.type):
                values = column.to_numpy()
            elif pa.types.is_boolean(field.type):
                values = MaskedColumn(self.ood, mask=~self.ok)
            else:
                values = np.array(column.to_pylist(), dtype=str)
            table[field.name] = values
            table[field.name].description = known["description"]
            table[field.name].unit = known.get("unit")
        return table

    def to_pandas(self) -> DataFrame:
        """Return the rows of `to_arrow` as a pandas frame, which needs pandas."""
        return self.to_arrow().to_pandas()

    @classmethod
    def from_arrow(cls, table: pa.Table, tree: DecisionTree, level: float | None = None) -> Prediction:
        """Read what `to_arrow` returned, whatever columns are beside its own.

        Parameters
        ----------
        table
            With columns ``id`` and ``status`` and those of the tree.
        level
            Of the intervals, which the table's columns do not say.

        Raises
        ------
        KeyError
            If a column is missing.
        """
        has = set(table.column_names)

        def numbers(names: Iterable[str]) -> Fractions:
            columns = [table[name].cast(pa.float32()).fill_null(np.nan).to_numpy() for name in names]
            return np.stack(columns, axis=1)

        def ends(ending: str) -> Fractions | None:
            names = [column + ending for column in tree.columns]
            return numbers(names) if has.issuperset(names) else None

        low = ends("_low")
        features: Any = None
        if "features" in has:
            features = np.stack(table["features"].to_numpy()).astype(np.float16)
        return cls(
            tree=tree,
            ids=tuple(table["id"].to_pylist()),
            status=tuple(table["status"].to_pylist()),
            reason=tuple(table["reason"].to_pylist()) if "reason" in has else ("",) * len(table),
            fractions=numbers(tree.columns),
            low=low,
            high=ends("_high"),
            level=level,
            ood=table["ood"].fill_null(False).to_numpy() if "ood" in has else None,
            ood_score=numbers(["ood_score"])[:, 0] if "ood_score" in has else None,
            features=features,
        )


def make_prediction(
    tree: DecisionTree,
    calibration: Calibration | None,
    cutouts: UInt8[np.ndarray, "galaxy y x 3"],
    fractions: Fractions,
    features: Float32[np.ndarray, "galaxy feature"],
    *,
    level: float | None = None,
    keep_features: bool = False,
    ids: Sequence[str] | None = None,
    failures: Sequence[ImageError | None] | None = None,
) -> Prediction:
    """Return what a network says of some cutouts with all that its calibration adds.

    Parameters
    ----------
    tree
        The model's.
    calibration
        The model's; ``None`` if it has none.
    cutouts
        What the network was shown, before its own view of it.
    fractions, features
        The network's outputs for the cutouts.
    level
        Share of the votes that the intervals are to hold, in (0, 1); 0.9 if not given.
    keep_features
        Let the prediction have them.
    ids
        Names of the galaxies; their positions if not given.
    failures
        What is wrong with each image, if anything is: then its cutout and the outputs mean nothing.
    """
    failures = failures or [None] * len(cutouts)
    failed = np.array([failure is not None for failure in failures], dtype=bool)

    def known(numbers: np.ndarray) -> np.ndarray:
        numbers[failed] = np.nan
        return numbers

    low = high = ood = score = None
    if calibration is not None:
        low, high = map(known, calibration.intervals.ends(fractions, level or LEVEL))
        ood, score = calibration.ood.judge(features, cutouts)
        ood, score = ood & ~failed, known(score)
    return Prediction(
        tree=tree,
        ids=tuple(map(str, range(len(cutouts))) if ids is None else ids),
        status=tuple(failure.status if failure else "ok" for failure in failures),
        reason=tuple(failure.reason if failure else "" for failure in failures),
        fractions=known(fractions.copy()),
        low=low,
        high=high,
        level=None if calibration is None else level or LEVEL,
        ood=ood,
        ood_score=score,
        features=known(features.astype(np.float16)) if keep_features else None,
    )
