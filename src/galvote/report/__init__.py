"""Curves, drawings of the tree, HTML reports."""

from galvote.report.curves import plot_curves
from galvote.report.heat_map import plot_heat_map
from galvote.report.reliability import plot_reliability
from galvote.report.report import PAGE, best_and_worst, describe_left_out, write_report

__all__ = [
    "PAGE",
    "best_and_worst",
    "describe_left_out",
    "plot_curves",
    "plot_heat_map",
    "plot_reliability",
    "write_report",
]
