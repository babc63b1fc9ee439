"""The networks that turn images into features: one file each, which registers itself."""

from galvote.models.encoders import dieleman2014, efficientnet, residual, sharma2020, timm
from galvote.models.encoders.registry import ENCODERS, NetworkSpec, find_encoder, register_encoder

__all__ = [
    "ENCODERS",
    "NetworkSpec",
    "dieleman2014",
    "efficientnet",
    "find_encoder",
    "register_encoder",
    "residual",
    "sharma2020",
    "timm",
]
