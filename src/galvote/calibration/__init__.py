"""Intervals that hold, and what is out of distribution."""

from galvote.calibration.calibration import Calibration
from galvote.calibration.conditional import LEAST_ASKED, ConditionalIntervals, known_conditional
from galvote.calibration.conformal import random_halves
from galvote.calibration.intervals import CrossFit, Intervals, check_level, cross_fit
from galvote.calibration.numbers import NumberIntervals
from galvote.calibration.ood import OodDetector, measure_false_alarms, surprisal
from galvote.calibration.sets import ClassSets

__all__ = [
    "LEAST_ASKED",
    "Calibration",
    "ClassSets",
    "ConditionalIntervals",
    "CrossFit",
    "Intervals",
    "NumberIntervals",
    "OodDetector",
    "check_level",
    "cross_fit",
    "known_conditional",
    "measure_false_alarms",
    "random_halves",
    "surprisal",
]
