"""Draw RMSE against training time and prediction cost.

    python -m benchmarks.accuracy.cost

The scores are those of `scores.csv`, beside this script. Minutes are without those of the teachers. The cost
of a prediction is counted, not timed: millions of multiply-adds (MACs) for one galaxy.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from benchmarks import common
from benchmarks.accuracy.recipes import read_scores
from galvote.report.figures import INK, MUTED, new_figure, save_figure, style_axes

COLOURS = ("#0b5394", "#d9822b", "#2a9d8f", "#b23a6e", "#7a5cc0", "#6b7280")
LOOKS = [(COLOURS[i % len(COLOURS)], marker) for i, marker in enumerate("osD^vPX<>*hd")]


class Result(NamedTuple):
    """All seeds of one recipe with one test-time augmentation."""

    recipe: str
    tta: int
    rmses: list[float]
    macs: float
    minutes: tuple[float, float]


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--figure", type=Path, default=common.PICTURES / "accuracy-cost.png")
    rows = defaultdict[tuple[str, int], list[dict[str, str]]](list)
    for row in read_scores():
        rows[row["recipe"], int(row["tta"])].append(row)
    results = list[Result]()
    for (recipe, tta), own in rows.items():
        minutes = [float(number) for row in own for number in row["minutes"].split(" to ")]
        macs, ends = float(own[0]["macs"]) * tta, (min(minutes), max(minutes))
        results.append(Result(recipe, tta, [float(row["rmse"]) for row in own], macs, ends))
    results.sort(key=lambda result: statistics.mean(result.rmses))
    draw(results, options.parse_args().figure)


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw one panel for what training costs and one for what a prediction costs; lower left is better."""
    looks = dict(zip(dict.fromkeys(result.recipe for result in results), LOOKS, strict=False))
    figure = new_figure(11, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    style_axes(left, "What training costs", "minutes of training on one core", "RMSE")
    style_axes(right, "What a prediction costs", "million multiply-adds for one galaxy", "")
    draw_results(left, [(one, one.minutes) for one in results if one.tta == 1], looks)
    draw_results(right, [(one, (one.macs, one.macs)) for one in results], looks)
    for axes in (left, right):
        axes.set_xscale("log", subs=(2, 5))
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks(lambda cost, _: f"{cost:,g}")
        axes.tick_params(which="minor", length=0, labelsize="medium", colors=MUTED)
        axes.margins(0.1)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, labelcolor=INK,
        fontsize=9,
    )  # fmt: skip
    save_figure(figure, path)


def draw_results(
    axes: Axes, costs: Sequence[tuple[Result, tuple[float, float]]], looks: dict[str, tuple[str, str]]
) -> None:
    """Draw results with their spreads, hollow with test-time augmentation, and the line that none beats."""
    points = list[tuple[float, float]]()
    for one, (least, most) in costs:
        colour, marker = looks[one.recipe]
        cost, rmse, seeds = math.sqrt(least * most), statistics.mean(one.rmses), len(one.rmses)
        points.append((cost, rmse))
        axes.errorbar(
            [cost], [rmse], fmt=marker, color=colour, markersize=8, elinewidth=1.4, zorder=3,
            yerr=[statistics.stdev(one.rmses)] if seeds > 1 else None,
            xerr=[[cost - least], [most - cost]] if least < most else None,
            markerfacecolor=colour if one.tta == 1 else "white",
            label=one.recipe if seeds == 1 else f"{one.recipe}, {seeds} seeds",
        )  # fmt: skip
        if one.tta > 1:
            axes.annotate(
                f"tta {one.tta}", (cost, rmse), (0, -15), textcoords="offset points", ha="center",
                color=MUTED, fontsize=8,
            )  # fmt: skip
    front = list[tuple[float, float]]()
    for cost, rmse in sorted(points):
        if not front or rmse < front[-1][1]:
            front.append((cost, rmse))
    axes.step(
        *zip(*front, strict=True), where="post", color=MUTED, linewidth=1, alpha=0.6, zorder=1,
        label="none cheaper is better",
    )  # fmt: skip


if __name__ == "__main__":
    main()
