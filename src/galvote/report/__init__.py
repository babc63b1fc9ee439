"""Curves, drawings of the tree, HTML reports."""

from galvote.report.finetuned import choose_galaxies, draw_finetuned_page
from galvote.report.pages import say_number
from galvote.report.plots import CURVES, plot_curves, plot_heat_map, plot_reliability
from galvote.report.report import PAGE, best_and_worst, describe_left_out, write_report

__all__ = [
    "CURVES",
    "PAGE",
    "best_and_worst",
    "choose_galaxies",
    "describe_left_out",
    "draw_finetuned_page",
    "plot_curves",
    "plot_heat_map",
    "plot_reliability",
    "say_number",
    "write_report",
]
