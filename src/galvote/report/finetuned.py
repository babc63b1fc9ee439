"""The page beside a model that learned a user's own labels: was it worth it, and which labels to look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from galvote.metrics import Reliability, galaxy_rmse, measure_reliability
from galvote.report.image_files import to_data_url
from galvote.report.pages import fill_template, say_number
from galvote.trees import DecisionTree

SHOWN = 8
"""How many galaxies each gallery has at most."""

_NAMES = {
    "roc_auc": "ROC AUC",
    "rmse": "RMSE",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "r2": "R²",
    "rank_correlation": "Spearman's ρ",
}
_HIGHER = ("roc_auc", "average_precision", "accuracy", "r2", "rank_correlation")
_MOST_PANELS, _MOST_DOTS = 12, 2000

Numbers = tuple[Float[np.ndarray, " galaxy"], ...]
"""Labels that are numbers, what is predicted, and the ends of its interval."""

Fractions = Float[np.ndarray, "galaxy answer"]


def choose_galaxies(
    scores: Mapping[str, Any],
    ids: Sequence[str],
    predicted: Fractions,
    actual: Fractions,
    low: Fractions,
    high: Fractions,
    numbers: Numbers | None = None,
) -> dict[str, list[int]]:
    """Return the rows of the galaxies to look at, by gallery; none of the worst is mislabelled already.

    Parameters
    ----------
    scores
        As ``scores.json`` has them.
    ids, predicted, actual
        Galaxies, out-of-fold predictions, and labels; NaN where unknown.
    low, high
        Ends of the predictions' intervals.
    numbers
        If labels are numbers: they decide then.
    """
    place = {id_: row for row, id_ in enumerate(ids)}
    doubted = [place[doubt["id"]] for doubt in scores["mislabelled"]][:SHOWN]
    wrong = galaxy_rmse(predicted, actual)
    unsure = np.nanmean(high - low, axis=1) if scores["confusion"] is None else -predicted.max(axis=1)
    if numbers is not None:
        given, said, bottom, top = numbers
        wrong, unsure = np.abs(said - given), top - bottom
    order = np.argsort(wrong, kind="stable").tolist()
    return {
        "mislabelled": doubted,
        "worst": [row for row in reversed(order) if row not in doubted][:SHOWN],
        "unsure": np.argsort(-unsure, kind="stable").tolist()[:SHOWN],
        "best": order[:SHOWN],
    }


def draw_finetuned_page(
    scores: Mapping[str, Any],
    tree: DecisionTree,
    ids: Sequence[str],
    predicted: Fractions,
    actual: Fractions,
    low: Fractions,
    high: Fractions,
    images: Mapping[str, UInt8[np.ndarray, "y x 3"]],
    *,
    sets: Bool[np.ndarray, "galaxy answer"] | None,
    numbers: Numbers | None = None,
    title: str,
) -> str:
    """Return the HTML of the page, which needs nothing from elsewhere.

    Parameters
    ----------
    scores
        As ``scores.json`` has them.
    tree, ids, predicted, actual, low, high
        Questions, and of the labelled galaxies what `choose_galaxies` takes.
    images
        RGB images by id; a galaxy without one is shown without.
    sets
        Which classes each galaxy may have; ``None`` of other labels.
    numbers
        Of labels that are numbers, those that `choose_galaxies` takes.
    title
        Name of the model.
    """
    metric, names = scores["curve"]["metric"], [answer.phrase for answer in tree.answers]
    galleries = choose_galaxies(scores, ids, predicted, actual, low, high, numbers)
    suggested = {doubt["id"]: doubt for doubt in scores["mislabelled"]}

    def describe(row: int) -> dict[str, Any]:
        apart = np.nan_to_num(np.abs(predicted[row] - actual[row]))
        own = int(predicted[row].argmax() if sets is not None else apart.argmax())
        doubt, image = suggested.get(ids[row]), images.get(ids[row])
        given = f"{actual[row, own]:.2f}" if sets is None else names[int(actual[row].argmax())]
        ends = predicted[row, own], low[row, own], high[row, own]
        return {
            "id": ids[row],
            "image": None if image is None else to_data_url(image),
            "said": names[own],
            "given": given,
            "predicted": float(ends[0]),
            "interval": (float(ends[1]), float(ends[2])),
            "number": None if numbers is None else [say_number(column[row]) for column in numbers],
            "may_be": [] if sets is None else [names[i] for i in np.flatnonzero(sets[row])],
            "quality": doubt and doubt["quality"],
        }

    reliability = measure_reliability(predicted, actual, tree) if numbers is None else {}
    if sets is not None:
        reliability = {name: _with_errors(found) for name, found in reliability.items()}
    return fill_template(
        "finetuned.html",
        title=title,
        what=tree.title or tree.name,
        scores=scores,
        metric=metric,
        names={name: _NAMES.get(name, name.replace("_", " ")) for name in scores["out_of_fold"]},
        higher=_HIGHER,
        verdict=_judge(scores, metric),
        classes=None if sets is None else names,
        roc=dict(_roc_curves(tree, predicted, actual)) if sets is not None else {},
        unit=(tree.number and tree.number.unit) or "",
        quantity=tree.questions[0].name,
        scatter=None if numbers is None else _place_dots(*numbers[:2]),
        reliability=dict(list(reliability.items())[:_MOST_PANELS]),
        curve=_place(scores["curve"]["points"]),
        galleries={name: [describe(row) for row in rows] for name, rows in galleries.items()},
    )


def _judge(scores: Mapping[str, Any], metric: str) -> str:
    """Say whether a user should have trained at all."""
    sign = 1 if metric in _HIGHER else -1
    value, *ends = scores["out_of_fold"][metric]
    name, best = max(scores["baselines"].items(), key=lambda each: sign * each[1][metric][0])
    gain, surely = sign * (value - best[metric][0]), min(sign * end for end in ends) > sign * best[metric][0]
    numbers = f"{say_number(value)} against {say_number(best[metric][0])}"
    said = f"{_NAMES[metric]} {numbers} of “{name}”, without training"
    if gain <= 0:
        return f"Training was not worth it: {said}."
    return (
        f"Training was worth it: {said}."
        if surely
        else f"Training may have been worth it: {said}; the interval holds both."
    )


def _with_errors(found: Reliability) -> Reliability:
    """Give the bins of hard classes the standard error of their share in place of the votes' spread."""
    bins = []
    for one in found.bins:
        share = (one.voted * one.count + 1) / (one.count + 2)  # never without error
        error = np.sqrt(share * (1 - share) / one.count)
        bins.append(replace(one, low=max(one.voted - error, 0.0), high=min(one.voted + error, 1.0)))
    return Reliability(tuple(bins))


def _roc_curves(tree: DecisionTree, predicted: Fractions, actual: Fractions) -> Iterator[tuple[str, Any]]:
    """Yield the ROC curve of each class, of two only the rarer one's: corners in [0, 1] and the area."""
    columns = range(len(tree)) if len(tree) > 2 else [int(actual.sum(axis=0).argmin())]
    for column in list(columns)[:_MOST_PANELS]:
        order = np.argsort(-predicted[:, column], kind="stable")
        last = np.flatnonzero(np.diff(predicted[order, column], append=-1))  # of those predicted alike
        right, wrong = (
            np.append(0, own[order].cumsum()[last] / own.sum())
            for own in (actual[:, column], 1 - actual[:, column])
        )
        yield (
            tree.answers[column].text,
            {"corners": list(zip(wrong, right, strict=True)), "area": np.trapezoid(right, wrong)},
        )


def _place_dots(
    given: Float[np.ndarray, " galaxy"], predicted: Float[np.ndarray, " galaxy"]
) -> dict[str, Any]:
    """Return where galaxies lie in a square of 100, both sides of which are as long as the labels' range."""
    bottom, top = float(given.min()), float(given.max())
    some = np.random.default_rng(0).permutation(len(given))[:_MOST_DOTS]
    x, y = (100 * (one[some] - bottom) / (top - bottom) for one in (given, predicted))
    return {"dots": list(zip(x, 100 - y, strict=True)), "bottom": bottom, "top": top}


def _place(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return where the points of a learning curve lie in a square of 100, labels on a logarithmic scale."""
    if len(points) < 2:
        return {}
    ends = [point[end] for point in points for end in ("low", "high")]
    step = 10 ** np.ceil(np.log10(max(max(ends), 1e-300))) / 20  # of scores up to 1, 0.05
    bottom, top = np.floor(min(ends) / step) * step, np.ceil(max(ends) / step) * step
    first, last = points[0]["labels"], points[-1]["labels"]
    height = (top - bottom) or step
    placed = [
        {
            **point,
            "x": 6 + 88 * np.log(point["labels"] / first) / np.log(last / first),
            **{f"y_{end}": 100 * (top - point[end]) / height for end in ("mean", "low", "high")},
        }
        for point in points
    ]
    return {"points": placed, "bottom": bottom, "top": top}
