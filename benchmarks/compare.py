"""Scores beside what they cost: a table, and a figure of RMSE against training time and prediction cost.

    python benchmarks/compare.py
    python benchmarks/compare.py --runs runs/galvote-base-0 runs/galvote-base-1 --save
    galvote evaluate --json --model galvote-base --tta 8 --images DATA/compact \
        --votes DATA/training_solutions.csv --splits DATA/splits.csv --split validation > evaluated.json
    python benchmarks/compare.py --runs runs/galvote-base-0 --evaluated evaluated.json --tta 8 --save

The scores are those of `scores.csv`, beside this script, and of the runs that are named: those that
`recipes.py` scored, or any finished `galvote train`, by its last epoch. `--save` adds the runs to
`scores.csv`, so that the figure can be drawn again without them.

With `--evaluated` the RMSE is not the run's own but that of an evaluation of its model: in `--tta` views,
one unless given, and in float16 if the model is the one that ships, as above. It replaces the line of the
same recipe, seed and number of views.

Minutes are without those of the teachers. The cost of a prediction is counted, not timed: millions of
multiply-adds (MACs) for one galaxy.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from galvote.models import GalaxyNetwork, count_parameters
from galvote.report.figures import INK, MUTED, new_figure, save_figure, style_axes
from galvote.training.recipe import validate_recipe
from galvote.trees import load_tree
from runs import last_rmse, minutes_of
from speed import describe_machine

GZ2 = load_tree("gz2")

HERE = Path(__file__).parent
COLOURS = ("#0b5394", "#d9822b", "#2a9d8f", "#b23a6e", "#7a5cc0", "#6b7280")
LOOKS = [(COLOURS[i % len(COLOURS)], marker) for i, marker in enumerate("osD^vPX<>*hd")]


@dataclass(frozen=True)
class Score:
    """One line of ``scores.csv``.

    Parameters
    ----------
    tta
        Averaged for each galaxy that was scored.
    macs
        Millions of multiply-adds for one view of one galaxy.
    minutes
        Of one core that training took: a number, or two where only the range over seeds is known
        (``15 to 30``).
    """

    recipe: str
    seed: int
    views: int
    rmse: float
    parameters: int
    macs: float
    minutes: str
    machine: str
    date: str

    @property
    def core_minutes(self) -> list[float]:
        """Training time: one number or two."""
        return [float(number) for number in self.minutes.split(" to ")]


@dataclass(frozen=True)
class Result:
    """All seeds of one recipe in so many views."""

    recipe: str
    views: int
    scores: tuple[Score, ...]

    @property
    def rmse(self) -> float:
        """Mean over seeds."""
        return statistics.mean(score.rmse for score in self.scores)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; 0 for one."""
        return statistics.stdev(score.rmse for score in self.scores) if len(self.scores) > 1 else 0.0

    @property
    def minutes(self) -> list[float]:
        """Training times of all seeds, in minutes of one core."""
        return [minutes for score in self.scores for minutes in score.core_minutes]

    @property
    def macs(self) -> float:
        """Millions of multiply-adds for one galaxy."""
        return self.scores[0].macs * self.views


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="finished runs")
    parser.add_argument(
        "--evaluated", type=Path, help="what `galvote evaluate --json` printed of the one run that is named"
    )
    parser.add_argument("--tta", type=int, default=1, help="those of --evaluated")
    parser.add_argument("--scores", type=Path, default=HERE / "scores.csv")
    parser.add_argument("--save", action="store_true", help="add the runs to the scores")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs/pictures/accuracy-cost.png")
    chosen = parser.parse_args()
    if chosen.evaluated is not None and len(chosen.runs) != 1:
        parser.error("--evaluated is of one run; name that alone with --runs")
    if chosen.evaluated is None and chosen.views != 1:
        parser.error("a run scores itself in one view; give --evaluated for more")

    known = {(score.recipe, score.seed, score.views): score for score in read_scores(chosen.scores)}
    for run in chosen.runs:
        score = score_of(run)
        if chosen.evaluated is not None:
            rmse = json.loads(chosen.evaluated.read_text())["rmse"]
            score = replace(score, tta=chosen.views, rmse=round(rmse, 5))
        known[score.recipe, score.seed, score.views] = score
    scores = [known[key] for key in sorted(known)]
    if chosen.save:
        write_scores(chosen.scores, scores)
    results = [
        Result(recipe, views, tuple(own))
        for (recipe, views), own in groupby(
            sorted(scores, key=lambda score: (score.recipe, score.views)),
            key=lambda score: (score.recipe, score.views),
        )
    ]
    results.sort(key=lambda result: result.rmse)
    print_table(results)
    draw(results, chosen.image)


def read_scores(path: Path) -> list[Score]:
    with path.open(newline="") as file:
        return [
            Score(
                recipe=row["recipe"],
                seed=int(row["seed"]),
                tta=int(row["tta"]),
                rmse=float(row["rmse"]),
                parameters=int(row["parameters"]),
                macs=float(row["macs"]),
                minutes=row["minutes"],
                machine=row["machine"],
                date=row["date"],
            )
            for row in csv.DictReader(file)
        ]


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Score)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(score) for score in scores)
    partial.replace(path)


def score_of(run: Path) -> Score:
    """Read what a finished run scored in one view and took, and count what its network does."""
    recipe = validate_recipe(json.loads((run / "run.json").read_text())["recipe"])
    network = GalaxyNetwork(recipe.network, GZ2).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, recipe.network.pixels, recipe.network.pixels, 3, dtype=torch.uint8))
    scored = run / "score.json"
    if scored.is_file():
        measured = json.loads(scored.read_text())
    else:
        ended = datetime.fromtimestamp((run / "last" / "card.json").stat().st_mtime, UTC)
        measured = {
            "rmse": last_rmse(run),
            "minutes": minutes_of(run),
            "machine": describe_machine(),
            "date": ended.date().isoformat(),
        }
    return Score(
        recipe=recipe.name,
        seed=recipe.seed,
        tta=1,
        rmse=round(measured["rmse"], 5),
        parameters=count_parameters(network),
        macs=round(counter.get_total_flops() / 2e6, 1),
        minutes=f"{measured['minutes']:.1f}",
        machine=measured["machine"],
        date=measured["date"],
    )


def print_table(results: Sequence[Result]) -> None:
    print("| recipe | views | RMSE | seeds | parameters | million MACs | core minutes |")
    print("|---|---|---|---|---|---|---|")
    for result in results:
        spread = f" ± {result.spread:.4f}" if result.spread else ""
        shortest, longest = min(result.minutes), max(result.minutes)
        minutes = f"{shortest:.0f}" if shortest == longest else f"{shortest:.0f} to {longest:.0f}"
        print(
            f"| `{result.recipe}` | {result.views} | {result.rmse:.4f}{spread} | {len(result.scores)} "
            f"| {result.scores[0].parameters:,} | {result.macs:,.1f} | {minutes} |"
        )


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw one panel for what training costs and one for what a prediction costs; lower left is better."""
    recipes = list(dict.fromkeys(result.recipe for result in results))
    looks = dict(zip(recipes, LOOKS, strict=False))
    figure = new_figure(11, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    style_axes(left, "What training costs", "minutes of training on one core", "RMSE")
    style_axes(right, "What a prediction costs", "million multiply-adds for one galaxy", "")
    trained = [result for result in results if result.views == 1]
    for result in trained:
        middle = math.sqrt(min(result.minutes) * max(result.minutes))
        beside = ([middle - min(result.minutes)], [max(result.minutes) - middle])
        draw_point(left, result, middle, looks, beside)
    draw_front(left, [(math.sqrt(min(r.minutes) * max(r.minutes)), r.rmse) for r in trained])
    for result in results:
        draw_point(right, result, result.macs, looks)
    draw_front(right, [(result.macs, result.rmse) for result in results])
    for axes in (left, right):
        axes.set_xscale("log", subs=(2, 5))
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks(lambda cost, _: f"{cost:,g}")
        axes.tick_params(which="minor", length=0, labelsize="medium", colors=MUTED)
        axes.margins(0.1)
    draw_legend(figure, left)
    save_figure(figure, path)


def draw_point(
    axes: Axes,
    result: Result,
    cost: float,
    looks: dict[str, tuple[str, str]],
    beside: tuple[list[float], list[float]] | None = None,
) -> None:
    """Draw a result with its spread; hollow where several views are averaged."""
    colour, marker = looks[result.recipe]
    axes.errorbar(
        [cost],
        [result.rmse],
        yerr=[result.spread] if result.spread else None,
        xerr=beside,
        fmt=marker,
        color=colour,
        markerfacecolor=colour if result.views == 1 else "white",
        markersize=8,
        elinewidth=1.4,
        label=result.recipe if len(result.scores) == 1 else f"{result.recipe}, {len(result.scores)} seeds",
        zorder=3,
    )
    if result.views > 1:
        axes.annotate(
            f"{result.views} views",
            (cost, result.rmse),
            (0, -15),
            textcoords="offset points",
            ha="center",
            color=MUTED,
            fontsize=8,
        )


def draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Join the points that no other point beats in both cost and RMSE."""
    front = list[tuple[float, float]]()
    for cost, rmse in sorted(points):
        if not front or rmse < front[-1][1]:
            front.append((cost, rmse))
    label = "none cheaper is better"
    axes.step(
        *zip(*front, strict=True), where="post", color=MUTED, linewidth=1, alpha=0.6, zorder=1, label=label
    )


def draw_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=9
    )


if __name__ == "__main__":
    main()
