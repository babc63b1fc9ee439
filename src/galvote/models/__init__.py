"""Networks, the tree head, losses, and the saved model."""

from galvote.models.encoders import NetworkSpec, register_encoder
from galvote.models.losses import masked_cross_entropy, masked_squared_error
from galvote.models.network import GalaxyNetwork, best_device, count_parameters, fast_precision, run_network
from galvote.models.saved import (
    CARD,
    Card,
    find_model,
    load_calibration,
    load_card,
    load_model,
    save_calibrated,
    save_model,
    with_scores,
)

__all__ = [
    "CARD",
    "Card",
    "GalaxyNetwork",
    "NetworkSpec",
    "best_device",
    "count_parameters",
    "fast_precision",
    "find_model",
    "load_calibration",
    "load_card",
    "load_model",
    "masked_cross_entropy",
    "masked_squared_error",
    "register_encoder",
    "run_network",
    "save_calibrated",
    "save_model",
    "with_scores",
]
