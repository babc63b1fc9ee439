"""Intervals that hold, and what is out of distribution."""

from galvote.calibration.calibration import Calibration
from galvote.calibration.conditional import LEAST_ASKED, ConditionalIntervals, known_conditional
from galvote.calibration.conformal import random_halves
from galvote.calibration.intervals import CrossFit, Intervals, check_level, cross_fit
from galvote.calibration.ood import OodDetector, measure_false_alarms, surprisal

__all__ = [
    "LEAST_ASKED",
    "Calibration",
    "ConditionalIntervals",
    "CrossFit",
    "Intervals",
    "OodDetector",
    "check_level",
    "cross_fit",
    "known_conditional",
    "measure_false_alarms",
    "random_halves",
    "surprisal",
]
