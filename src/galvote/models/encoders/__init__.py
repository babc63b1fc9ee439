"""The networks that turn images into features: one file each, which registers itself."""

from importlib import import_module
from pkgutil import iter_modules

from galvote.models.encoders.registry import ENCODERS, NetworkSpec, find_encoder, register_encoder

__all__ = ["ENCODERS", "NetworkSpec", "find_encoder", "register_encoder"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
