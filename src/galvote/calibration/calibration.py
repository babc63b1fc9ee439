"""What held-out galaxies tell about a trained model: how far votes lie from it, what is foreign to it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from galvote.calibration.intervals import Intervals
from galvote.calibration.ood import OodDetector
from galvote.calibration.sets import ClassSets

_NEEDED = {"intervals": Intervals, "conditional": Intervals, "ood": OodDetector}
_OPTIONAL = {"numbers": Intervals, "sets": ClassSets}


@dataclass(frozen=True, eq=False)
class Calibration:
    """The intervals of a model's predictions, and which images it should not be asked about.

    Parameters
    ----------
    intervals, conditional
        Of cumulative fractions, and of those among who were asked; see `ConditionalIntervals`.
    ood
        What tells images that are out of distribution.
    numbers
        Of answers that are numbers, see `NumberIntervals`; ``None`` if there are none.
    sets
        Of a model of classes, which ones a galaxy may have; ``None`` of votes.
    """

    intervals: Intervals
    conditional: Intervals
    ood: OodDetector
    numbers: Intervals | None = None
    sets: ClassSets | None = None

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, to be saved."""
        return {
            f"{part.name}.{value.name}": np.asarray(getattr(getattr(self, part.name), value.name))
            for part in fields(self)
            if getattr(self, part.name) is not None
            for value in fields(getattr(self, part.name))
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Calibration":
        """Return what `to_arrays` was called on.

        Parameters
        ----------
        arrays
            By name, as `to_arrays` gives them.

        Raises
        ------
        KeyError
            If an array is missing.
        """

        def build(name: str, part: type) -> Any:
            found = {value.name: arrays[f"{name}.{value.name}"] for value in fields(part)}
            return part(**{key: array if array.ndim else float(array) for key, array in found.items()})

        there = {name.partition(".")[0] for name in arrays}
        parts = _NEEDED | {name: part for name, part in _OPTIONAL.items() if name in there}
        return cls(**{name: build(name, part) for name, part in parts.items()})
