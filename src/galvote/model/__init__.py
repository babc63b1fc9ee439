"""Networks, the tree head, losses, and the saved model."""

from galvote.model.losses import masked_cross_entropy, masked_squared_error
from galvote.model.network import (
    GalaxyNetwork,
    NetworkSpec,
    average_views,
    count_parameters,
    fast_precision,
    network_input,
)
from galvote.model.saved import Card, find_model, load_card, load_model, save_model, with_scores

__all__ = [
    "Card",
    "GalaxyNetwork",
    "NetworkSpec",
    "average_views",
    "count_parameters",
    "fast_precision",
    "find_model",
    "load_card",
    "load_model",
    "masked_cross_entropy",
    "masked_squared_error",
    "network_input",
    "save_model",
    "with_scores",
]
