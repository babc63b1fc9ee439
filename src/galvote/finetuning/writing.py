"""Write what was learned: the model, out-of-fold predictions, scores and a page; torch is not needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic_core import to_json
from safetensors.numpy import load_file, save_file

from galvote.calibration import Calibration
from galvote.errors import OutputError
from galvote.finetuning.crossfit import LEVEL
from galvote.finetuning.head import Head
from galvote.finetuning.learning import Learned
from galvote.finetuning.result import Finetuned, Numbers, Score
from galvote.images import try_read
from galvote.images.scale import Shown
from galvote.inference.columns import SET_JOINT, set_name
from galvote.inference.graph import take_weights_from, with_head
from galvote.inference.predictor import Predictor
from galvote.inference.settings import Settings
from galvote.io import Sources
from galvote.io.atomic import save_tensors
from galvote.io.tables import write_table
from galvote.models import CARD, Card, load_card, save_calibrated
from galvote.models.card import GRAPH, QUANTISED, WEIGHTS, file_sha256
from galvote.report import PAGE, choose_galaxies, draw_finetuned_page, say_number

_LAYER = "head.linear"
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
        (place / SCORES).write_bytes(to_json(scores, indent=1, inf_nan_mode="null") + b"\n")
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


def draw_page(
    learned: Learned, name: str, predictor: Predictor, pictures: Sources, settings: Settings
) -> str:
    """Return the page of a model of some name as HTML, with images that a predictor is shown."""
    result = learned.result
    scores = to_plain(result)
    galaxies = result.ids, result.out_of_fold, result.actual, result.low, result.high
    rows = {row for rows in choose_galaxies(scores, *galaxies, result.numbers).values() for row in rows}
    shown = {
        one.id: predictor.preprocessor.show(one, try_read(one.read), settings.scale, settings.field_of_view)
        for one in pictures.select({result.ids[row] for row in rows})
    }
    return draw_finetuned_page(
        scores,
        result.tree,
        *galaxies,
        {id_: one.cutout for id_, one in shown.items() if isinstance(one, Shown)},
        sets=learned.sets,
        numbers=result.numbers,
        title=name,
    )


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`, whose files are moved there when the block ends, the card last.

    It is made if it does not exist; `OutputError` if it cannot be written to. If the block fails, nothing is
    left behind and `folder` stays as it is.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
            yield Path(place)
            folder.mkdir(exist_ok=True)
            for path in sorted(Path(place).iterdir(), key=lambda path: path.name == CARD):
                path.replace(folder / path.name)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror or error}); make room, or choose another path."
        ) from error


def save_with_head(
    parent: Path, card: Card, head: Head, calibration: Calibration, measured: Mapping[str, Any], folder: Path
) -> None:
    """Write a saved model to an empty folder: the encoder of another one, and a head of its own.

    The parent has a graph. What is counted and hashed is filled in on the card, which also says what was
    `measured` of the calibration.
    """
    import onnx

    tensors: dict[str, np.ndarray] = load_file(parent / WEIGHTS)
    own = {"weight": head.weight.astype(np.float32), "bias": head.bias.astype(np.float32)}
    replaced = sum(tensors[f"{_LAYER}.{name}"].size for name in own)
    tensors |= {f"{_LAYER}.{name}": values for name, values in own.items()}
    save_tensors(save_file, tensors, folder / WEIGHTS)
    for name in (GRAPH, QUANTISED):
        if (parent / name).is_file():
            graph = with_head(onnx.load(parent / name, load_external_data=False), head.tree, **own)
            take_weights_from(folder / WEIGHTS, graph)
            (folder / name).write_bytes(graph.SerializeToString())
    complete = card.model_copy(
        update={
            "parameters": card.parameters - replaced + sum(values.size for values in own.values()),
            "weights_sha256": file_sha256(folder / WEIGHTS),
            "versions": card.versions
            | {name: version(name) for name in ("galvote", "numpy", "scikit-learn")},
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    (folder / CARD).write_text(complete.model_dump_json(indent=2) + "\n")
    save_calibrated(folder, calibration, measured, folder)
