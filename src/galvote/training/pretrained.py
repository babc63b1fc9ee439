"""Weights that training begins with."""

from __future__ import annotations

from typing import Any

from galvote.errors import TrainingError
from galvote.models import GalaxyNetwork, load_model

RANDOM, IMAGENET = "random", "imagenet"


def load_pretrained(network: GalaxyNetwork, source: str) -> dict[str, Any]:
    """Put weights that were trained before into a new network.

    Parameters
    ----------
    network
        Changed in place.
    source
        ``random`` leaves it as it is; ``imagenet`` stands for the encoder's ImageNet weights, see
        `NetworkSpec.load_imagenet`; or the name or folder of a saved model with the same encoder and tree,
        which gives its head too.

    Returns
    -------
    What a card says of the weights: name, SHA-256, licence, and the same of those that they began with.

    Raises
    ------
    TrainingError
        If the weights are not installed, are not the known file, or belong to another network.
    """
    if source == RANDOM:
        return {"name": RANDOM}
    if source == IMAGENET:
        return network.spec.load_imagenet(network.encoder)
    model, card = load_model(source)
    if model.head.tree.columns != network.head.tree.columns:
        raise TrainingError(
            f"training.pretrained = {source!r} answers the tree {model.head.tree.name}, and the votes "
            f"have the tree {network.head.tree.name}; start from a model of the same tree, or leave it out."
        )
    try:
        network.load_state_dict(model.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"training.pretrained = {source!r} is a model of another network ({card.network}); start from "
            "one with the same encoder, sizes and kind of head."
        ) from error
    return {
        "name": card.name,
        "sha256": card.weights_sha256,
        "pretrained": card.data.get("pretrained", {"name": RANDOM}),
    }
