"""A saved model: a directory of `weights.safetensors` and `card.json` that says everything else.

A calibrated model has a third file, `calibration.safetensors`.
"""

import difflib
import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.images import Geometry
from galvote.io.atomic import atomic_file
from galvote.models.encoders import NetworkSpec
from galvote.models.network import GalaxyNetwork, count_parameters
from galvote.trees import DecisionTree
from galvote.weights import FOLDER

FORMAT = 2
WEIGHTS, CARD, CALIBRATION = "weights.safetensors", "card.json", "calibration.safetensors"


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
        The geometry that pictures are brought to before the network's own view of them.
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
    network: SerializeAsAny[NetworkSpec]
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)
    calibration: dict[str, Any] = Field(default_factory=dict)
    parameters: int = 0
    weights_sha256: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    saved: str = ""


def save_model(
    network: GalaxyNetwork, card: Card, directory: Path, *, dtype: torch.dtype = torch.float32
) -> Path:
    """Write a network and its card, and return their folder; an earlier model there is replaced file by file.

    A calibration belongs to the weights that it was made with, so none is kept.

    Parameters
    ----------
    network, card
        Whose weights are saved; what is known about it: counts, hashes, versions and date are filled in.
    directory
        Made if it does not exist.
    dtype
        Type of the stored floating-point weights; float16 halves the size.
    """
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    # The weights, inner here, are in their place before the card that describes them.
    with atomic_file(directory / CARD) as description, atomic_file(directory / WEIGHTS) as weights:
        save_file(tensors, weights)
        weights.chmod(0o644)  # safetensors writes for the owner alone
        complete = card.model_copy(
            update={
                "parameters": count_parameters(network),
                "weights_sha256": _hash(weights),
                "calibration": {},
                "versions": {name: version(name) for name in ("galvote", "torch", "numpy")},
                "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        description.write_text(complete.model_dump_json(indent=2) + "\n")
    (directory / CALIBRATION).unlink(missing_ok=True)
    return directory


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
        with atomic_file(directory / WEIGHTS) as weights:
            shutil.copyfile(model / WEIGHTS, weights)
    with atomic_file(directory / CARD) as description, atomic_file(directory / CALIBRATION) as arrays:
        save_arrays(calibration.to_arrays(), arrays)
        arrays.chmod(0o644)
        described = json.loads(json.dumps({**measured, "sha256": _hash(arrays)}))
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
    path = directory / CARD
    try:
        data = json.loads(path.read_bytes())
        # Before all else: another format may have other members.
        if isinstance(data, dict) and data.get("format", FORMAT) != FORMAT:
            raise ModelError(
                f"{directory} has format {data['format']}, this galvote reads format {FORMAT}; "
                "install a version of galvote that fits."
            )
        return Card.model_validate(data)
    except (OSError, ValueError) as error:
        raise ModelError(f"The card {path} cannot be used: {error}; copy the model again.") from error


def load_model(name: str | Path) -> tuple[GalaxyNetwork, Card]:
    """Return a shipped or saved network, ready to predict in float32, and its card.

    Parameters
    ----------
    name
        As `find_model` takes it.

    Raises
    ------
    ModelError
        If the model is missing, damaged or of another format.
    """
    directory = find_model(name)
    card = load_card(directory)
    path = directory / WEIGHTS
    try:
        if _hash(path) != card.weights_sha256:
            raise ModelError(f"{path} is not the file that its card describes; copy the model again.")
        tensors = load_file(path)
        network = GalaxyNetwork(card.network, DecisionTree.from_dict(card.tree))
        network.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"The weights {path} cannot be used: {error}; copy the model again.") from error
    return network.to(memory_format=torch.channels_last).eval(), card  # type: ignore[call-overload]


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
    path = directory / CALIBRATION
    try:
        if _hash(path) != card.calibration.get("sha256"):
            raise ModelError(f"{path} is not the file that its card describes; copy the model again.")
        return Calibration.from_arrays(load_arrays(path))
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"The calibration {path} cannot be used: {error}; copy the model again.") from error


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


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
