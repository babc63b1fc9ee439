"""Write what was learned: the model, out-of-fold predictions, and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from galvote.finetuning.crossfit import LEVEL
from galvote.finetuning.learning import Learned
from galvote.finetuning.result import Finetuned, Numbers, Score
from galvote.finetuning.saving import save_with_head, whole_folder
from galvote.inference.columns import SET_JOINT, set_name
from galvote.io.tables import write_table
from galvote.models import Card, load_card
from galvote.report import PAGE, say_number

PREDICTIONS, SCORES = "out_of_fold.csv", "scores.json"


def write(
    learned: Learned,
    begun: str,
    out: Path,
    page: str,
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
) -> Finetuned:
    """Write a model with its numbers and a page (HTML), all of it or nothing.

    `begun` is the name of the model that was begun with; data and recipe are what the card says of what the
    model was made from, and how.
    """
    result = replace(learned.result, folder=out)
    scores = to_plain(result)
    if learned.sets is not None:
        held = float(learned.sets[result.actual == 1].mean())
        scores["sets"] = {"level": LEVEL, "held": held, "classes": float(learned.sets.sum(axis=1).mean())}
    value, low, high = map(say_number, result.scores[result.metric])
    base, whole = load_card(learned.folder), result.mode == "full"
    strengths = dict(zip(result.tree.slices, learned.head.strengths, strict=True))
    trained = {**base.recipe, "training": {**base.recipe["training"], "pretrained": begun}} if whole else {}
    own = Card(
        name=out.name,
        description=(
            f"{result.tree.title or result.tree.name}, from {len(result.ids):,} labels and {begun}: "
            f"{result.metric.replace('_', ' ')} {value} ({low} to {high}), out of fold"
        ),
        tree=result.tree.to_dict(),
        cutout=base.cutout,
        network=base.network.model_copy(update={"head": "softmax"}),
        recipe={**trained, **recipe, "mode": result.mode, "strengths": strengths},
        data={**(base.data if whole else {}), **data},
        scores=scores,
        parameters=base.parameters,
        versions=base.versions if whole else {},
    )
    with whole_folder(out) as place:
        save_with_head(learned.folder, own, learned.head, learned.calibration, learned.measured, place)
        (place / PAGE).write_text(page)
        (place / SCORES).write_text(json.dumps(scores, indent=1) + "\n")
        write_table(_to_arrow(result, learned.sets), place / PREDICTIONS)
    return result


def to_plain(result: Finetuned) -> dict[str, Any]:
    """Return the numbers of a result as plain data for JSON."""
    return {
        "what": "labels against predictions by models that did not learn from the galaxy",
        "galaxies": len(result.ids),
        "out_of_fold": _plain(result.scores),
        "baselines": {name: _plain(scores) for name, scores in result.baselines.items()},
        "confusion": None if result.confusion is None else result.confusion.tolist(),
        "numbers": None if result.numbers is None else _describe(result.numbers),
        "curve": {
            "of": "head",
            "metric": result.metric,
            "points": [point._asdict() for point in result.curve],
        },
        "advice": result.advice,
        "mode": result.mode,
        "gains": _plain(result.gains),
        "comparison": result.comparison,
        "mislabelled": [doubt._asdict() for doubt in result.mislabelled],
    }


def _describe(numbers: Numbers) -> dict[str, Any]:
    width = float((numbers.high - numbers.low).mean())
    return {"level": LEVEL, **_plain({"held": numbers.held}), "mean_width": width}


def _plain(scores: Mapping[str, Score]) -> dict[str, list[float]]:
    return {name: [float(f"{value:.5g}") for value in score] for name, score in scores.items()}


def _to_arrow(result: Finetuned, sets: np.ndarray | None) -> pa.Table:
    """Return a row for each galaxy: what is known of it, and what was predicted."""
    tree, columns = result.tree, dict[str, Any]()
    names = np.array([answer.name for answer in tree.answers])
    if sets is not None:
        suspects = {doubt.id for doubt in result.mislabelled}
        columns["label"] = names[result.actual.argmax(axis=1)].tolist()
        columns["predicted"] = names[result.out_of_fold.argmax(axis=1)].tolist()
        columns[set_name(LEVEL)] = [SET_JOINT.join(names[own]) for own in sets]
        columns["probably_mislabelled"] = [id_ in suspects for id_ in result.ids]
    elif result.numbers is not None and tree.number is not None:
        endings = ("_label", "", "_low", "_high")
        columns = {tree.number.name + end: own for end, own in zip(endings, result.numbers, strict=True)}
    else:
        columns |= {
            f"{name}_label": pa.array(result.actual[:, i], from_pandas=True)
            for i, name in enumerate(tree.columns)
        }
    columns |= dict(zip(tree.columns, result.out_of_fold.T, strict=True))
    for i, name in enumerate(() if result.numbers else tree.columns):
        columns |= {f"{name}_low": result.low[:, i], f"{name}_high": result.high[:, i]}
    return pa.table({"id": pa.array(result.ids, pa.string()), **columns})
