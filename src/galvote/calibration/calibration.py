"""What held-out galaxies tell about a trained model: how far votes lie from it, what is foreign to it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from galvote.calibration.intervals import Intervals
from galvote.calibration.ood import OodDetector


@dataclass(frozen=True, eq=False)
class Calibration:
    """The intervals of a model's predictions, and which images it should not be asked about.

    Parameters
    ----------
    intervals, conditional
        Of cumulative fractions, and of those among who were asked; see `ConditionalIntervals`.
    ood
        What tells images that are out of distribution.
    """

    intervals: Intervals
    conditional: Intervals
    ood: OodDetector

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, to be saved."""
        return {
            f"{part.name}.{value.name}": np.asarray(getattr(getattr(self, part.name), value.name))
            for part in fields(self)
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

        def members(name: str, part: type) -> dict[str, Any]:
            found = {value.name: arrays[f"{name}.{value.name}"] for value in fields(part)}
            return {key: array if array.ndim else float(array) for key, array in found.items()}

        return cls(
            intervals=Intervals(**members("intervals", Intervals)),
            conditional=Intervals(**members("conditional", Intervals)),
            ood=OodDetector(**members("ood", OodDetector)),
        )
