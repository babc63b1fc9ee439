"""The HTML report of an evaluation: one page that needs nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from galvote.io.atomic import refuse_existing, write_whole
from galvote.metrics import Comparison, Reliability, column_means, galaxy_rmse, measure_reliability
from galvote.report.images import to_data_url
from galvote.report.style import style_sheet
from galvote.report.tree_drawing import NARROW, WIDE, draw_tree
from galvote.trees import DecisionTree, Question, decision_path, describe_path

GALLERY = 12
"""How many of the best and how many of the worst galaxies a report shows."""


def report_path(directory: str | Path, overwrite: bool = False) -> Path:
    """Return where a report's page goes; raise `GalvoteError` if one is there and must not be replaced."""
    page = Path(directory) / "index.html"
    refuse_existing(page, overwrite=overwrite)
    return page


def best_and_worst(
    predicted: Float[np.ndarray, "galaxy answer"],
    actual: Float[np.ndarray, "galaxy answer"],
    count: int = GALLERY,
) -> tuple[Int[np.ndarray, " best"], Int[np.ndarray, " worst"]]:
    """Return the rows of the galaxies with the lowest RMSE, best first, and of the highest, worst first.

    No galaxy is in both, so with few galaxies each has fewer than `count`.
    """
    rmse = galaxy_rmse(predicted, actual)
    order = np.argsort(rmse, kind="stable")[: int(np.isfinite(rmse).sum())]
    best = order[: min(count, (len(order) + 1) // 2)]
    return best, order[len(best) :][::-1][:count]


def write_report(
    directory: str | Path,
    scores: Mapping[str, Any],
    compared: Comparison,
    ids: Sequence[str],
    images: Mapping[str, UInt8[np.ndarray, "y x 3"]] = MappingProxyType({}),
    *,
    title: str = "Predicted votes",
    left_out: Mapping[str, int] = MappingProxyType({}),
    overwrite: bool = False,
) -> Path:
    """Write ``index.html`` and ``scores.json`` into `directory`.

    Parameters
    ----------
    directory
        Made if it is not there.
    scores
        As `score` returns them.
    compared
        What was scored.
    ids
        Of its galaxies.
    images
        RGB pictures by id, of the galaxies of `best_and_worst` at least; a galaxy without one is shown
        without.
    title
        What was scored.
    left_out
        How many galaxies were left out of the scores, by reason.

    Returns
    -------
    The path of the page.

    Raises
    ------
    GalvoteError
        If there is a report already and `overwrite` is not set.
    """
    page = report_path(directory, overwrite)
    tree, predicted, actual = compared.tree, compared.predicted, compared.actual
    shown = [name for name, question in scores["questions"].items() if question["columns"]]
    longest = max(
        max(scores["questions"][name]["rmse"], scores["questions"][name]["mean_predictor_rmse"])
        for name in shown
    )
    own_rmse = galaxy_rmse(predicted, actual)
    reliable = measure_reliability(predicted, actual, tree)

    def gallery(rows: Int[np.ndarray, " row"]) -> str:
        return "".join(
            _galaxy(ids[row], float(own_rmse[row]), predicted[row], actual[row], tree, images.get(ids[row]))
            for row in rows
        )

    best, worst = best_and_worst(predicted, actual)
    training = scores["baselines"]["mean_from"] == "training"
    template = Template((files("galvote.report") / "report.html").read_text(encoding="utf-8"))
    means = column_means(predicted), column_means(actual)
    html = template.substitute(
        title=escape(title),
        style=style_sheet(),
        flow=draw_tree(tree, means[0], voted=means[1], width=WIDE),
        narrow_flow=draw_tree(tree, means[0], voted=means[1], width=NARROW),
        numbers=_numbers(scores),
        remarks=_remarks(scores, left_out),
        mean_of="the training galaxies" if training else "these very galaxies",
        coverage_heading='<th class="n">covered</th>' if scores.get("coverage") else "",
        longest=f"{longest:.3f}",
        questions="".join(_question_row(tree.question(name), scores, longest) for name in shown),
        column_count=scores["columns_scored"],
        columns="".join(_column_table(tree.question(name), scores) for name in shown),
        panels="".join(_reliability_panel(tree.question(name), found) for name, found in reliable.items()),
        bins="".join(_reliability_table(tree.question(name), found) for name, found in reliable.items()),
        best=gallery(best),
        worst=gallery(worst),
    )
    write_page(page.with_name("scores.json"), json.dumps({**scores, "left_out": dict(left_out)}, indent=2))
    write_page(page, html)
    return page


def write_page(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    write_whole(path, text)


def _numbers(scores: Mapping[str, Any]) -> str:
    low, high = scores["rmse_interval"]
    baselines = scores["baselines"]
    parts = [
        ("first", f"{scores['rmse']:.4f}", f"RMSE, 95 % interval {low:.4f} to {high:.4f}"),
        ("", f"{baselines['mean']:.4f}", "mean predictor"),
        ("", f"{baselines['zeros']:.4f}", "all zeros"),
        ("", f"{baselines['ones']:.4f}", "all ones"),
        ("", f"{scores['galaxies']:,}", f"galaxies, {scores['columns_scored']} columns"),
    ]
    if coverage := scores.get("coverage"):
        width = f"of votes in their interval, mean width {coverage['mean_width']:.3f}"
        parts.append(("", f"{coverage['overall']:.1%}", width))
    return "".join(
        f'<div class="{kind}"><b>{number}</b><span>{text}</span></div>' for kind, number, text in parts
    )


def _remarks(scores: Mapping[str, Any], left_out: Mapping[str, int]) -> str:
    violations = scores["tree_violations"]
    if violations["galaxies"]:
        many, largest = f"{violations['galaxies']:,}", f"{violations['largest']:.4f}"
        said = [f"Predictions of {many} galaxies break the decision tree, by up to {largest}."]
    else:
        said = [f"All predictions obey the decision tree (largest departure {violations['largest']:.1e})."]
    if counts := [f"{_words(reason)} ({count:,})" for reason, count in left_out.items() if count]:
        said.append(f"Left out of the scores: {', '.join(counts)}.")
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in said)


def _question_row(question: Question, scores: Mapping[str, Any], longest: float) -> str:
    own = scores["questions"][question.name]
    covered = ""
    if coverage := scores.get("coverage"):
        share = coverage["questions"][question.name]
        covered = f'<td class="n">{"–" if share is None else f"{share:.1%}"}</td>'
    return (
        f"<tr><td>{escape(_words(question.name))}<small>{escape(question.text)}</small></td>"
        f'<td class="n">{own["rmse"]:.4f}</td><td class="n">{own["mean_predictor_rmse"]:.4f}</td>{covered}'
        f'<td class="bar"><div><i style="width:{own["rmse"] / longest:.2%}"></i>'
        f'<u style="left:calc({own["mean_predictor_rmse"] / longest:.2%} - 2px)"></u></div></td></tr>'
    )


def _column_table(question: Question, scores: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(answer.text)}<small>{escape(answer.column)}</small></td>"
        f'<td class="n">{scores["columns"][answer.column]:.4f}</td></tr>'
        for answer in question.answers
        if answer.column in scores["columns"]
    )
    heading = f'<tr><th>{escape(_words(question.name))}</th><th class="n">RMSE</th></tr>'
    return f"<table><thead>{heading}</thead>{rows}</table>"


def _reliability_panel(question: Question, reliability: Reliability) -> str:
    """Draw one question's means on a square of 100 units, and its bins' counts on a strip of 22 below."""
    marks, bars = [], []
    most = max(each.count for each in reliability.bins)
    for each in reliability.bins:
        said = (
            f"<title>predicted {each.predicted:.2f}, voted {each.voted:.2f}, {each.count:,} answers</title>"
        )
        x, y = 100 * each.predicted, 100 - 100 * each.voted
        tall = 22 * np.log1p(each.count) / np.log1p(most)
        marks.append(
            f'<line class="spread" x1="{x:.1f}" x2="{x:.1f}" y1="{100 - 100 * each.low:.1f}" '
            f'y2="{100 - 100 * each.high:.1f}"/>'
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.6">{said}</circle>'
        )
        bars.append(
            f'<rect class="count" x="{100 * each.lower + 0.7:.1f}" '
            f'width="{100 * (each.upper - each.lower) - 1.4:.1f}" '
            f'y="{128 - tall:.1f}" height="{tall:.1f}">{said}</rect>'
        )
    name = escape(_words(question.name))
    return (
        f"<figure><figcaption>{name}<small>off by {reliability.error:.3f}</small></figcaption>"
        f'<svg viewBox="-14 -4 118 146" role="img" aria-label="{name}: {_describe(reliability)}">'
        '<rect class="frame" width="100" height="100"/><line class="exact" x1="0" y1="100" x2="100" y2="0"/>'
        f'{"".join(marks)}{"".join(bars)}<line class="frame" x1="0" y1="128" x2="100" y2="128"/>'
        '<text x="0" y="139">0</text><text x="100" y="139" text-anchor="end">1</text>'
        '<text x="-4" y="100" text-anchor="end">0</text><text x="-4" y="7" text-anchor="end">1</text>'
        "</svg></figure>"
    )


def _reliability_table(question: Question, reliability: Reliability) -> str:
    rows = "".join(
        f'<tr><td>{each.lower:.1f} to {each.upper:.1f}</td><td class="n">{each.predicted:.3f}</td>'
        f'<td class="n">{each.voted:.3f}</td><td class="n">{each.count:,}</td></tr>'
        for each in reliability.bins
    )
    headings = "".join(f'<th class="n">{word}</th>' for word in ("predicted", "voted", "answers"))
    return f"<table><thead><tr><th>{escape(_words(question.name))}</th>{headings}</tr></thead>{rows}</table>"


def _describe(reliability: Reliability) -> str:
    """Say in words what a panel shows, for those who do not see it."""
    worst = reliability.worst
    return (
        f"in {len(reliability.bins)} bins of the predicted fraction, the mean voted fraction is off by "
        f"{reliability.error:.3f} on average over {reliability.count:,} answers; most where "
        f"{worst.predicted:.2f} is predicted and {worst.voted:.2f} voted ({worst.count:,} answers)"
    )


def _galaxy(
    name: str,
    rmse: float,
    predicted: Float[np.ndarray, " answer"],
    actual: Float[np.ndarray, " answer"],
    tree: DecisionTree,
    image: UInt8[np.ndarray, "y x 3"] | None,
) -> str:
    voted, said = (describe_path(decision_path(tree, fractions)) for fractions in (actual, predicted))
    apart = int(np.nanargmax(np.abs(predicted - actual)))
    if said == voted:
        paths = f"<dt>volunteers and prediction</dt><dd>{escape(voted)}</dd>"
    else:
        paths = (
            f"<dt>volunteers</dt><dd>{escape(voted or 'unknown')}</dd>"
            f'<dt>predicted</dt><dd class="differs">{escape(said or "unknown")}</dd>'
        )
    shown = f'<img alt="galaxy {escape(name)}" src="{to_data_url(image)}">' if image is not None else ""
    return (
        f'<article class="galaxy">{shown}<div>'
        f"<header><b>{escape(name)}</b><span>RMSE {rmse:.4f}</span></header>"
        f"<dl>{paths}<dt>furthest apart: {escape(tree.answers[apart].phrase)}</dt>"
        f"<dd>{actual[apart]:.2f} voted, {predicted[apart]:.2f} predicted</dd></dl>"
        f"<details><summary>Its votes down the tree</summary>"
        f"{draw_tree(tree, predicted, voted=actual, width=NARROW)}</details></div></article>"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
