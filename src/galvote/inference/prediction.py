"""What a model says of galaxies: one shape of it, whatever computes and wherever it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Float32, Int, UInt8

from galvote.calibration import Calibration, ConditionalIntervals, NumberIntervals, surprisal
from galvote.errors import ImageError
from galvote.images.scale import Shown
from galvote.inference.columns import SET_JOINT, prediction_schema
from galvote.io.astropy_tables import to_astropy
from galvote.trees import (
    DecisionTree,
    Step,
    decision_path,
    describe_path,
    expected_numbers,
    to_conditional,
)
from galvote.trees.kinds import UNKNOWN, Finding, name_kind

if TYPE_CHECKING:
    from astropy.table import Table
    from pandas import DataFrame

LEVEL = 0.9
"""Share of the votes that the intervals of a calibrated model hold unless another is asked for."""

Fractions = Float32[np.ndarray, "galaxy answer"]

_TEXTS = ("ids", "status", "reason")
_NOTES = ("computed_by", "remark")
_NUMBERS = ("fractions", "r90_pixels", "scale_factor", "low", "high", "ood", "ood_score", "features")


class Conditional(NamedTuple):
    """Shares of the volunteers who were asked the question, and their intervals."""

    fractions: Fractions
    low: Fractions | None
    high: Fractions | None


class Number(NamedTuple):
    """What a question asks whose answers are numbers, of each galaxy, in the question's unit.

    Parameters
    ----------
    value
        Mean of the answers' values; NaN where there is no prediction.
    low, high
        Ends of its interval; ``None`` if the model has none.
    """

    value: Float32[np.ndarray, " galaxy"]
    low: Float32[np.ndarray, " galaxy"] | None
    high: Float32[np.ndarray, " galaxy"] | None


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
        Why there is no prediction, or what was done to the image; mostly empty.
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
    calibration
        What gives the intervals of conditional fractions and of numbers, and the sets of classes.
    r90_pixels, scale_factor
        r90 in pixels of each image, and how many times larger than in a GZ2 frame the galaxy was taken to be;
        ``None`` unless images were brought to scale.
    remark
        What is to be known of all rows: how the images' scale differs, if it seems to.
    computed_by
        The model and its backend, as ``galvote-small, onnx float32 cpu``.
    conditional_columns
        Whether its tables have columns of conditional fractions if nothing else is said.
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
    features: Float32[np.ndarray, "galaxy feature"] | None = None
    calibration: Calibration | None = field(default=None, repr=False)
    r90_pixels: Float32[np.ndarray, " galaxy"] | None = None
    scale_factor: Float32[np.ndarray, " galaxy"] | None = None
    remark: str = ""
    computed_by: str = ""
    conditional_columns: bool = False

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
        """Return predictions of the same model, one or more, joined in their order; arrays are copies.

        Parameters
        ----------
        predictions
            Alike in tree, level and what they hold.
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

    def with_scale(self, shown: Sequence[Shown | ImageError], *, columns: bool) -> Prediction:
        """Return the same with what was done to show the images.

        Parameters
        ----------
        shown
            Of each image; of one that cannot be shown, nothing is added.
        columns
            Whether r90 and the factor are kept.
        """
        reason = tuple(
            own if isinstance(one, ImageError) else one.remark
            for own, one in zip(self.reason, shown, strict=True)
        )
        if not columns:
            return replace(self, reason=reason)
        numbers = np.array(
            [(np.nan, np.nan) if isinstance(one, ImageError) else (one.r90, one.factor) for one in shown],
            np.float32,
        ).reshape(-1, 2)
        return replace(self, reason=reason, r90_pixels=numbers[:, 0], scale_factor=numbers[:, 1])

    @property
    def ok(self) -> Bool[np.ndarray, " galaxy"]:
        """Which galaxies have a prediction."""
        return np.array([status == "ok" for status in self.status], dtype=bool)

    def path(self, row: int) -> tuple[Step, ...]:
        """Return the decision path of one galaxy, hedged where its intervals leave room for a tie.

        Parameters
        ----------
        row
            The galaxy's; it has a prediction.
        """
        low, high = self.ends(row)
        return decision_path(self.tree, self.fractions[row], low, high)

    def finding(self, row: int) -> Finding:
        """Return the kind of one galaxy, ``unknown`` if it is out of distribution.

        Parameters
        ----------
        row
            The galaxy's; it has a prediction.
        """
        low, high = self.ends(row)
        return UNKNOWN if self._is_ood(row) else name_kind(self.tree, self.fractions[row], low, high)

    def headline(self, row: int) -> str:
        """Return the decision path of one galaxy in words: ``featured or smooth, about even → nothing odd``.

        Parameters
        ----------
        row
            The galaxy's. Without a prediction there are no words; of one that is out of distribution they
            begin with ``unknown``.
        """
        words = describe_path(self.path(row)) if self.status[row] == "ok" else ""
        return f"unknown, at best {words}" if words and self._is_ood(row) else words

    def ends(self, row: int) -> tuple[Any, Any]:
        """Return the ends of one galaxy's intervals, ``None`` twice if the model is not calibrated.

        Parameters
        ----------
        row
            The galaxy's.
        """
        return (None, None) if self.low is None or self.high is None else (self.low[row], self.high[row])

    def _is_ood(self, row: int) -> bool:
        return self.ood is not None and bool(self.ood[row])

    def conditional(self) -> Conditional:
        """Divide each question's fractions by their sum.

        Returns
        -------
        Fractions in [0, 1] of those who were asked, in ``tree.labels`` order, NaN where there is no
        prediction; ends of their intervals, which are [0, 1] where hardly anybody is asked, or ``None`` if
        the model is not calibrated.
        """
        fractions = to_conditional(self.tree, self.fractions).astype(np.float32)
        if self.calibration is None or self.level is None:
            return Conditional(fractions, None, None)
        intervals = ConditionalIntervals(self.tree, self.calibration.conditional)
        low, high = intervals.ends(self.fractions, self.level, self._rarity)
        return Conditional(fractions, low.astype(np.float32), high.astype(np.float32))

    def numbers(self) -> dict[str, Number]:
        """Return what is predicted of questions whose answers are numbers, by the question's name."""
        values = expected_numbers(self.tree, self.fractions).astype(np.float32).T
        names = [question.name for question in self.tree.numbers]
        if self.calibration is None or self.calibration.numbers is None or self.level is None:
            return {name: Number(own, None, None) for name, own in zip(names, values, strict=True)}
        intervals = NumberIntervals(self.tree, self.calibration.numbers)
        ends = (end.astype(np.float32).T for end in intervals.ends(self.fractions, self.level, self._rarity))
        return {name: Number(*own) for name, *own in zip(names, values, *ends, strict=True)}

    def sets(self) -> Bool[np.ndarray, "galaxy answer"] | None:
        """Return which classes each galaxy may have: a share `level` of the sets hold the right one.

        They are ``None`` unless the model is one of classes, and calibrated. Without a prediction there is no
        class in the set.
        """
        if self.calibration is None or self.calibration.sets is None or self.level is None:
            return None
        return self.calibration.sets.hold(self.fractions, self.level)

    @property
    def _rarity(self) -> Float[np.ndarray, " galaxy"] | None:
        return None if self.ood_score is None else surprisal(self.ood_score)

    def to_arrow(self, conditional: bool | None = None) -> pa.Table:
        """Return a row for each galaxy.

        Parameters
        ----------
        conditional
            Add readable columns of conditional fractions; see `conditional_names`. If not given, as was asked
            for when it was predicted.

        Returns
        -------
        Columns ``id``, ``status``, ``reason``; if images were brought to scale, ``r90_pixels`` and
        ``scale_factor``; of a calibrated model ``ood`` and ``ood_score``; ``<question>`` of each whose
        answers are numbers, in its unit, with ``<question>_low`` and ``<question>_high``; of a calibrated
        model of classes ``set_<level>``, the classes that the galaxy may have, as ``bar | no bar``; the
        tree's columns; of a calibrated model ``<column>_low`` and ``<column>_high`` of each; if asked for,
        ``<label>`` of each answer with
        ``<label>_low`` and ``<label>_high``; ``features``, float16, if there are any. Null where there is no
        prediction. The fields' metadata say what each one means, the table's have ``computed_by`` and the
        ``remark``.
        """
        conditional = self.conditional_columns if conditional is None else conditional
        missing = ~self.ok
        values: list[np.ndarray] = [array for array in (self.ood, self.ood_score) if array is not None]
        numbers, sets = self.numbers(), self.sets()
        values += [part for number in numbers.values() for part in number if part is not None]
        if sets is not None:
            names = np.array([answer.name for answer in self.tree.answers])
            values.append(np.array([SET_JOINT.join(names[own]) for own in sets], object))
        values += [*self.fractions.T]
        if self.low is not None and self.high is not None:
            values += [end for both in zip(self.low.T, self.high.T, strict=True) for end in both]
        if conditional:
            parts = [part.T for part in self.conditional() if part is not None]
            values += [column for answer in zip(*parts, strict=True) for column in answer]
        sizes = [array for array in (self.r90_pixels, self.scale_factor) if array is not None]
        columns = [pa.array(array, mask=missing | np.isnan(array)) for array in sizes]
        columns += [pa.array(column, mask=missing) for column in values]
        width = 0
        if self.features is not None:
            width = self.features.shape[1]
            flat = pa.array(self.features.astype(np.float16).ravel())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(missing)))
        schema = prediction_schema(
            self.tree,
            self.level,
            calibrated=self.low is not None,
            features=width,
            conditional=conditional,
            scaled=self.scale_factor is not None,
            bounded=any(number.low is not None for number in numbers.values()),
            sets=sets is not None,
        )
        notes = {name: text for name in _NOTES if (text := getattr(self, name))}
        schema = schema.with_metadata(notes)
        texts = [pa.array(getattr(self, name), pa.string()) for name in _TEXTS]
        return pa.Table.from_arrays([*texts, *columns], schema=schema)

    def to_table(self, conditional: bool | None = None) -> Table:
        """Return the rows of `to_arrow` with units and descriptions.

        Parameters
        ----------
        conditional
            As for `to_arrow`.

        Returns
        -------
        An `astropy.table.Table`; NaN, or masked, where there is no prediction.
        """
        return to_astropy(self.to_arrow(conditional))

    def to_pandas(self, conditional: bool | None = None) -> DataFrame:
        """Return the rows of `to_arrow` as a pandas frame, which needs pandas.

        Parameters
        ----------
        conditional
            As for `to_arrow`.
        """
        return self.to_arrow(conditional).to_pandas()


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
        ood, score = calibration.ood.judge(features, cutouts)
        low, high = map(known, calibration.intervals.ends(fractions, level or LEVEL, surprisal(score)))
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
        features=known(features.copy()) if keep_features else None,
        calibration=calibration,
    )
