"""Weights that training begins with."""

from typing import Any

from galvote.errors import TrainingError
from galvote.models import GalaxyNetwork, load_model

RANDOM, IMAGENET = "random", "imagenet"


def load_pretrained(network: GalaxyNetwork, source: str) -> dict[str, Any]:
    """Put weights that were trained before into a new network, and return what its card says of them.

    ``random`` leaves it as it is, ``imagenet`` stands for `NetworkSpec.load_imagenet`; any other source is a
    saved model with the same encoder, which gives its head too if that is of the same tree and kind.
    """
    if source == RANDOM:
        return {"name": RANDOM}
    if source == IMAGENET:
        return network.spec.load_imagenet(network.encoder)
    model, card = load_model(source)
    try:
        network.encoder.load_state_dict(model.encoder.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"training.pretrained = {source!r} is a model of another network ({card.network}); start from "
            "one with the same encoder and sizes, or leave network.encoder out to have its own."
        ) from error
    fits = (model.head.kind, model.head.tree.columns) == (network.head.kind, network.head.tree.columns)
    if fits:
        network.head.load_state_dict(model.head.state_dict())
    return {
        "name": card.name,
        "sha256": card.weights_sha256,
        "pretrained": card.data.get("pretrained", {"name": RANDOM}),
        **({} if fits else {"part": "encoder"}),
    }
