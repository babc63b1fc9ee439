"""Networks, the tree head, losses, and the saved model.

What needs torch is imported when it is first used: a saved model's card and calibration do not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galvote.models.card import (
    CARD,
    Card,
    find_model,
    load_calibration,
    load_card,
    save_calibrated,
    with_scores,
)
from galvote.models.description import NetworkDescription

if TYPE_CHECKING:
    from galvote.models.encoders import NetworkSpec, register_encoder
    from galvote.models.losses import masked_cross_entropy, masked_squared_error
    from galvote.models.network import (
        GalaxyNetwork,
        best_device,
        count_parameters,
        fast_precision,
        run_network,
    )
    from galvote.models.saved import load_model, save_model

__all__ = [
    "CARD",
    "Card",
    "GalaxyNetwork",
    "NetworkDescription",
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

_NEED_TORCH = {
    "encoders": ("NetworkSpec", "register_encoder"),
    "losses": ("masked_cross_entropy", "masked_squared_error"),
    "network": ("GalaxyNetwork", "best_device", "count_parameters", "fast_precision", "run_network"),
    "saved": ("load_model", "save_model"),
}


def __getattr__(name: str) -> Any:
    for module, names in _NEED_TORCH.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
