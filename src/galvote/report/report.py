"""The HTML report of an evaluation: one page that needs nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic_core import to_json

from galvote.io.atomic import refuse_existing, write_whole
from galvote.metrics import Comparison, column_means, galaxy_rmse, measure_reliability
from galvote.report.image_files import read_data_url, to_data_url
from galvote.report.pages import fill_template
from galvote.report.tree_drawing import NARROW, WIDE, draw_tree
from galvote.trees import decision_path, describe_path

PAGE = "index.html"

GALLERY = 12
"""How many of the best and how many of the worst galaxies a report shows."""


def best_and_worst(
    predicted: Float[np.ndarray, "galaxy answer"],
    actual: Float[np.ndarray, "galaxy answer"],
    count: int = GALLERY,
) -> tuple[Int[np.ndarray, " best"], Int[np.ndarray, " worst"]]:
    """Return the rows of the galaxies with the lowest RMSE, best first, and with the highest, worst first.

    Parameters
    ----------
    predicted, actual
        Fractions in [0, 1] in one order of columns; `actual` is NaN where unknown.
    count
        How many of each. No galaxy is in both, so with few galaxies there are fewer.
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
    curves: Sequence[Path] = (),
    title: str = "Predicted votes",
    overwrite: bool = False,
) -> Path:
    """Write ``index.html`` and ``scores.json``, and return the path of the page.

    Parameters
    ----------
    directory
        Where they go; made if it is not there.
    scores
        As `galvote.metrics.score` returns them. Counts by reason in ``left_out``, and sentences in
        ``remarks`` that a reader must know, are shown, too.
    compared, ids
        What was scored, and the ids of its galaxies.
    images
        RGB images by id, of the galaxies of `best_and_worst` at least; a galaxy without one is shown without.
    curves
        Figures of the model's training, from `plot_curves`.
    title, overwrite
        What was scored, and whether a report that is there may be replaced.

    Raises
    ------
    OutputError
        If there is a report already and `overwrite` is not set.
    """
    page = Path(directory) / PAGE
    refuse_existing(page, overwrite=overwrite)
    tree, predicted, actual = compared.tree, compared.predicted, compared.actual
    asked = {name: own for name, own in scores["questions"].items() if own["columns"]}
    best, worst = (
        [_describe_galaxy(compared, row, ids[row], images.get(ids[row])) for row in rows.tolist()]
        for rows in best_and_worst(predicted, actual)
    )
    means = column_means(predicted), column_means(actual)
    html = fill_template(
        "report.html",
        title=title,
        scores=scores,
        remarks=scores.get("remarks", ()),
        left_out=describe_left_out(scores.get("left_out", {})),
        curves=[read_data_url(path) for path in curves],
        questions=[tree.question(name) for name in asked],
        longest=max(max(own["rmse"], own["mean_predictor_rmse"]) for own in asked.values()) or 1.0,
        reliability=measure_reliability(predicted, actual, tree),
        wide_drawing=draw_tree(tree, means[0], voted=means[1], width=WIDE),
        narrow_drawing=draw_tree(tree, means[0], voted=means[1], width=NARROW),
        best=best,
        worst=worst,
    )
    write_whole(page.with_name("scores.json"), to_json(dict(scores), indent=2, inf_nan_mode="null"))
    write_whole(page, html)
    return page


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return in words how many galaxies were left out and why, ``failed predictions (3)``; empty if none was.

    Parameters
    ----------
    left_out
        Counts by reason.
    """
    return ", ".join(f"{why.replace('_', ' ')} ({count:,})" for why, count in left_out.items() if count)


def _describe_galaxy(
    compared: Comparison, row: int, name: str, image: UInt8[np.ndarray, "y x 3"] | None
) -> dict[str, Any]:
    tree, predicted, actual = compared.tree, compared.predicted[row], compared.actual[row]
    worst = int(np.nanargmax(np.abs(predicted - actual)))
    return {
        "id": name,
        "image": None if image is None else to_data_url(image),
        "rmse": galaxy_rmse(predicted[None], actual[None])[0],
        "voted_path": describe_path(decision_path(tree, actual)),
        "predicted_path": describe_path(decision_path(tree, predicted)),
        "answer": tree.answers[worst].phrase,
        "voted": actual[worst],
        "predicted": predicted[worst],
        "drawing": draw_tree(tree, predicted, voted=actual, width=NARROW),
    }
