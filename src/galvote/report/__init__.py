"""Curves, drawings of the tree, HTML reports."""

from galvote.report.curves import plot_curves
from galvote.report.heat_map import plot_heat_map
from galvote.report.reliability import plot_reliability
from galvote.report.report import best_and_worst, report_path, write_report

__all__ = [
    "best_and_worst",
    "plot_curves",
    "plot_heat_map",
    "plot_reliability",
    "report_path",
    "write_report",
]
