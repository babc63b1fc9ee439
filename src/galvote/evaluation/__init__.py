"""Arrays in, numbers and pictures out: scores, curves, heat maps, the HTML report."""

from galvote.evaluation.curves import plot_curves
from galvote.evaluation.heat_map import plot_heat_map
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
    score,
)

__all__ = [
    "Baselines",
    "Coverage",
    "QuestionScore",
    "Reliability",
    "Scores",
    "TreeViolations",
    "best_and_worst",
    "column_means",
    "galaxy_rmse",
    "measure_reliability",
    "plot_curves",
    "plot_heat_map",
    "plot_reliability",
    "report_path",
    "score",
    "write_report",
]
