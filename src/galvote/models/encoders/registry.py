"""What all encoders have in common, and how one is found by its name.

An encoder is one file: a spec, whose fields are the keys of a recipe's ``[network]``, and the module that
the spec builds. `register_encoder` makes it known::

    @register_encoder("mine")
    class MySpec(NetworkSpec):
        depth: int = 3

        def build(self) -> nn.Module:
            return MyEncoder(self.pixels, self.depth)  # an nn.Module with a `width`
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, ModelWrapValidatorHandler, model_validator
from torch import nn

from galvote.errors import TrainingError
from galvote.models.description import NetworkDescription


class NetworkSpec(NetworkDescription, ABC):
    """The description of a network that can be built; its fields are the keys of a recipe's ``[network]``.

    ``NetworkSpec.model_validate`` returns the spec of the encoder that the data name.

    Parameters
    ----------
    encoder, field_of_view, pixels, head, dropout, orientations
        As for `NetworkDescription`.
    """

    model_config = ConfigDict(extra="forbid")

    any_width: ClassVar[bool] = False
    """Whether the encoder takes images of any width once it is built."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the encoder with random weights.

        Returns
        -------
        A module that takes RGB images in [0, 1], (galaxy, 3, y, x), and returns (galaxy, ``width``)
        features; it has the attribute ``width``.
        """

    def load_imagenet(self, encoder: nn.Module) -> dict[str, str]:
        """Put ImageNet weights into an encoder, and return what a card says of them: name, SHA-256, licence.

        Parameters
        ----------
        encoder
            As `build` returns it; changed in place.

        Raises
        ------
        TrainingError
            If there are none for this encoder, or they are not installed.
        """
        raise TrainingError(
            f"There are no ImageNet weights for network.encoder = {self.encoder!r}; leave out "
            "training.pretrained to start from random ones, or choose efficientnet-lite."
        )

    @model_validator(mode="wrap")
    @classmethod
    def _choose(cls, data: Any, handler: ModelWrapValidatorHandler["NetworkSpec"]) -> "NetworkSpec":
        if not isinstance(data, Mapping) or "encoder" not in data:
            return handler(data)
        chosen = find_encoder(data["encoder"])
        return handler(data) if chosen is cls else chosen.model_validate(data)


Spec = TypeVar("Spec", bound=type[NetworkSpec])

ENCODERS: dict[str, type[NetworkSpec]] = {}
"""The spec of each registered encoder. A name that ends with ``/`` stands for all that begin with it."""


def register_encoder(name: str) -> Callable[[Spec], Spec]:
    """Return a decorator that makes an encoder's spec known to recipes and cards.

    Parameters
    ----------
    name
        What ``network.encoder`` calls it. With a ``/`` at its end it stands for all names that begin with it.
    """

    def add(spec: Spec) -> Spec:
        ENCODERS[name] = spec
        return spec

    return add


def find_encoder(name: object) -> type[NetworkSpec]:
    """Return an encoder's spec by its name; a `ValueError` lists the names if there is none."""
    family, slash, _ = str(name).partition("/")
    if spec := ENCODERS.get(family + slash):
        return spec
    near = difflib.get_close_matches(str(name), ENCODERS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    names = ", ".join(f"{known}NAME" if known.endswith("/") else known for known in ENCODERS)
    raise ValueError(f"no encoder {name!r}{hint} There are {names}")
