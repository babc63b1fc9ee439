"""A model with another head, saved as those that ship are; torch is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from galvote.calibration import Calibration
from galvote.errors import OutputError
from galvote.finetuning.head import Head
from galvote.inference.graph import take_weights_from, with_head
from galvote.models import CARD, Card, save_calibrated
from galvote.models.card import GRAPH, QUANTISED, WEIGHTS, file_sha256

_LAYER = "head.linear"


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
            f"{folder} cannot be written ({error.strerror or error}); make room, or choose another place."
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
    save_file(tensors, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
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
