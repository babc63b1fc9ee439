"""Arrays in, numbers and pictures out: scores, curves, heat maps, the HTML report."""

from galvote.evaluation.calibration import Calibration
from galvote.evaluation.conformal import random_halves
from galvote.evaluation.curves import plot_curves
from galvote.evaluation.heat_map import plot_heat_map
from galvote.evaluation.intervals import CrossFit, Intervals, check_level, cross_fit
from galvote.evaluation.reliability import Reliability, measure_reliability, plot_reliability
from galvote.evaluation.report import best_and_worst, report_path, write_report
from galvote.evaluation.scores import (
    Baselines,
    Coverage,
    QuestionScore,
    Scores,
    TreeViolations,
    column_means,
    galaxy_rmse,
    measure_coverage,
    score,
)
from galvote.evaluation.unlikeness import Unlikeness, measure_false_alarms

__all__ = [
    "Baselines",
    "Calibration",
    "Coverage",
    "CrossFit",
    "Intervals",
    "QuestionScore",
    "Reliability",
    "Scores",
    "TreeViolations",
    "Unlikeness",
    "best_and_worst",
    "check_level",
    "column_means",
    "cross_fit",
    "galaxy_rmse",
    "measure_coverage",
    "measure_false_alarms",
    "measure_reliability",
    "plot_curves",
    "plot_heat_map",
    "plot_reliability",
    "random_halves",
    "report_path",
    "score",
    "write_report",
]
