"""Weights that training begins with."""

from typing import Any

from galvote.errors import TrainingError
from galvote.models import GalaxyNetwork, load_model

RANDOM, IMAGENET = "random", "imagenet"


def load_pretrained(network: GalaxyNetwork, source: str) -> dict[str, Any]:
    """Put weights that were trained before into a new network, and return what its card says of them.

    ``random`` leaves it as it is, ``imagenet`` stands for `NetworkSpec.load_imagenet`; any other source is a
    saved model with the same encoder and tree, which gives its head too.
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
