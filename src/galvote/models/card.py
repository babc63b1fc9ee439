"""A saved model: a folder of `weights.safetensors` and `card.json` that says everything else.

A calibrated model has a third file, `calibration.safetensors`. A fourth, `network.onnx`, computes the network
without torch; its weights are those of `weights.safetensors`.
"""

import difflib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays

from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.images import Geometry
from galvote.io.atomic import atomic_file, save_tensors
from galvote.models.description import NetworkDescription
from galvote.weights import FOLDER

FORMAT = 2
WEIGHTS, CARD, CALIBRATION = "weights.safetensors", "card.json", "calibration.safetensors"
GRAPH = "network.onnx"
QUANTISED = "network-int8.onnx"


class Card(BaseModel):
    """What a saved model is, how it came to be and how well it does.

    Parameters
    ----------
    format
        Version of the card's members.
    name, description
        Of its recipe; one line.
    tree
        The decision tree, as `DecisionTree.to_dict` gives it.
    cutout
        The geometry that images are brought to before the network's own view of them.
    network
        What network the weights belong to.
    recipe
        The whole recipe, as it was used.
    data
        Counts and SHA-256 hashes of what it was trained on.
    scores
        What was measured on which galaxies.
    calibration
        On how many galaxies the intervals and the flag were calibrated, what they held on galaxies that they
        were not calibrated on, and the SHA-256 of their file; empty where there are none.
    parameters
        How many numbers the network has.
    weights_sha256
        Of the file of weights.
    versions
        Of galvote and what it computes with.
    saved
        When, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: str
    description: str = ""
    tree: dict[str, Any]
    cutout: Geometry
    network: SerializeAsAny[NetworkDescription]
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    calibration: dict[str, Any] = Field(default_factory=dict)
    parameters: int = 0
    weights_sha256: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    saved: str = ""


def save_calibrated(
    model: Path, calibration: Calibration, measured: Mapping[str, Any], directory: Path
) -> Path:
    """Write a copy of a saved model, or add to it where it is, with a calibration, and return its folder.

    Parameters
    ----------
    model
        Directory of the saved model.
    calibration, measured
        Intervals and the detector of what is out of distribution, and what the card says of them.
    directory
        Made if it does not exist; an earlier version is replaced file by file. May be the model's own.
    """
    card = load_card(model)
    if directory.resolve() != model.resolve():
        for name in (GRAPH, QUANTISED):
            (directory / name).unlink(missing_ok=True)
        for name in (WEIGHTS, GRAPH, QUANTISED):
            if (model / name).is_file():
                with atomic_file(directory / name) as copy:
                    shutil.copyfile(model / name, copy)
    with atomic_file(directory / CARD) as description, atomic_file(directory / CALIBRATION) as arrays:
        save_tensors(save_arrays, calibration.to_arrays(), arrays)
        described = json.loads(json.dumps({**measured, "sha256": file_sha256(arrays)}))
        calibrated = card.model_copy(update={"calibration": described})
        description.write_text(calibrated.model_dump_json(indent=2) + "\n")
    return directory


def find_model(name: str | Path) -> Path:
    """Return the directory of a shipped model by its name, or of a saved one by its path.

    Parameters
    ----------
    name
        Such as ``galvote-small``, or the folder of a model or of a run, whose best model it is then.

    Raises
    ------
    ModelError
        If there is neither; the message lists the shipped names.
    """
    # A run folder is as good as the model inside it.
    for directory in (Path(name), Path(name) / "best", FOLDER / str(name)):
        if (directory / CARD).is_file():
            return directory
    names = sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}"))
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}? Give" if near else ": give"
    raise ModelError(
        f"No model at {str(name)!r}{hint} a folder that holds {CARD} and {WEIGHTS}, a finished run, "
        f"or the name of a shipped model ({', '.join(names) or 'none'})."
    )


def load_card(directory: Path) -> Card:
    """Return the card of a saved model.

    Parameters
    ----------
    directory
        The model's folder.

    Raises
    ------
    ModelError
        If the card is missing, damaged or of another format.
    """
    with usable(directory / CARD) as path:
        data = json.loads(path.read_bytes())
        # Before all else: another format may have other members.
        if isinstance(data, dict) and data.get("format", FORMAT) != FORMAT:
            raise ModelError(
                f"{directory} has format {data['format']}, this galvote reads format {FORMAT}; "
                "install a version of galvote that fits."
            )
        return Card.model_validate(data)


def load_calibration(name: str | Path) -> Calibration | None:
    """Return the calibration of a shipped or saved model; None if it has none.

    Parameters
    ----------
    name
        As `find_model` takes it.

    Raises
    ------
    ModelError
        If the model is missing, or its calibration is missing or damaged.
    """
    directory = find_model(name)
    card = load_card(directory)
    if not card.calibration:
        return None
    with usable(directory / CALIBRATION, str(card.calibration.get("sha256"))) as path:
        return Calibration.from_arrays(load_arrays(path))


def check_weights(directory: Path, card: Card) -> None:
    """Raise `ModelError` unless the weights in a folder are those that its card describes."""
    with usable(directory / WEIGHTS, card.weights_sha256):
        pass


@contextmanager
def usable(path: Path, sha256: str | None = None) -> Iterator[Path]:
    """Raise `ModelError` if a file of a model is not the one that its card describes, or cannot be read."""
    try:
        if sha256 is not None and file_sha256(path) != sha256:
            raise ModelError(f"{path} is not the file that its card describes; copy the model again.")
        yield path
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be used: {error}; copy the model again.") from error


def with_scores(card: Card, scores: Mapping[str, Any]) -> Card:
    """Return a card with more scores.

    Parameters
    ----------
    card
        Left as it is.
    scores
        Plain numbers, texts and dictionaries of them.
    """
    return card.model_copy(update={"scores": {**card.scores, **json.loads(json.dumps(scores))}})


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
