"""Save a network with its card, and build it again."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from galvote.errors import ModelError
from galvote.io.atomic import atomic_file, save_tensors
from galvote.models.card import (
    CALIBRATION,
    CARD,
    GRAPH,
    QUANTISED,
    WEIGHTS,
    Card,
    file_sha256,
    find_model,
    load_card,
    usable,
)
from galvote.models.network import GalaxyNetwork, count_parameters
from galvote.trees import DecisionTree


def save_model(
    network: GalaxyNetwork, card: Card, directory: Path, *, dtype: torch.dtype = torch.float32
) -> Path:
    """Write a network and its card, and return their folder; an earlier model there is replaced file by file.

    A calibration belongs to the weights that it was made with, so none is kept, nor a graph.

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
        save_tensors(save_file, tensors, weights)
        complete = card.model_copy(
            update={
                "parameters": count_parameters(network),
                "weights_sha256": file_sha256(weights),
                "calibration": {},
                "versions": {name: version(name) for name in ("galvote", "torch", "numpy")},
                "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        description.write_text(complete.model_dump_json(indent=2) + "\n")
    for name in (CALIBRATION, GRAPH, QUANTISED):
        (directory / name).unlink(missing_ok=True)
    return directory


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
    try:
        network = GalaxyNetwork(card.network, DecisionTree.from_dict(card.tree))
    except ValueError as error:
        raise ModelError(
            f"The network of {directory} cannot be built: {error}; import what registers its encoder, or "
            "install the version of galvote that wrote it."
        ) from error
    with usable(directory / WEIGHTS, card.weights_sha256) as path:
        tensors = load_file(path)
        network.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
    return network.to(memory_format=torch.channels_last).eval(), card  # type: ignore[call-overload]
