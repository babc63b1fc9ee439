"""Draw RMSE against training time and prediction cost, by `scores.csv`; lower left is better.

    python -m benchmarks.accuracy.cost docs/pictures/accuracy-cost.png

Minutes are without those of the teachers. The cost of a prediction is counted, not timed: millions of
multiply-adds for one galaxy. Bars are the standard deviation over seeds and the range of minutes; hollow
marks are with test-time augmentation; the line joins what nothing cheaper beats.
"""

import math
import statistics
from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks import common
from benchmarks.accuracy.recipes import read_scores
from galvote.report.figures import INK, MUTED, new_figure, save_figure, style_axes

COLOURS = common.COLOURS * 2
MARKERS = "osD^vPX<>*hd"


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("figure", type=Path, help="PNG, replaced if it is there")
    chosen = options.parse_args()
    figure = new_figure(11, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    style_axes(left, "What training costs", "minutes of training on one core", "RMSE")
    style_axes(right, "What a prediction costs", "million multiply-adds for one galaxy", "")
    groups = defaultdict[tuple[str, int], list[dict[str, str]]](list)
    for row in read_scores():
        groups[row["recipe"], int(row["tta"])].append(row)
    names = sorted({name for name, _ in groups}, key=lambda name: float(groups[name, 1][0]["rmse"]))
    points: dict[Axes, list[tuple[float, float]]] = {left: [], right: []}
    for (name, tta), rows in groups.items():
        minutes = [float(number) for row in rows for number in row["minutes"].split(" to ")]
        macs, rmses = float(rows[0]["macs"]) * tta, [float(row["rmse"]) for row in rows]
        for axes, least, most in ((left, min(minutes), max(minutes)), (right, macs, macs)):
            if axes is left and tta > 1:
                continue
            cost, rmse, place = math.sqrt(least * most), statistics.mean(rmses), names.index(name)
            points[axes].append((cost, rmse))
            axes.errorbar(
                [cost], [rmse], fmt=MARKERS[place], color=COLOURS[place], markersize=8, elinewidth=1.4,
                yerr=[statistics.stdev(rmses)] if len(rmses) > 1 else None,
                xerr=[[cost - least], [most - cost]],
                markerfacecolor=COLOURS[place] if tta == 1 else "white",
                label=name if len(rmses) == 1 else f"{name}, {len(rmses)} seeds",
            )  # fmt: skip
    for axes, costs in points.items():
        front = [
            (cost, rmse) for cost, rmse in sorted(costs) if rmse <= min(y for x, y in costs if x <= cost)
        ]
        axes.step(*zip(*front, strict=True), where="post", color=MUTED, linewidth=1, alpha=0.6, zorder=1)
        axes.set_xscale("log", subs=(2, 5))
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks(lambda cost, _: f"{cost:,g}")
        axes.tick_params(which="minor", length=0, labelsize="medium", colors=MUTED)
    known = left.get_legend_handles_labels()
    figure.legend(*known, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=9)
    save_figure(figure, chosen.figure)


if __name__ == "__main__":
    main()
