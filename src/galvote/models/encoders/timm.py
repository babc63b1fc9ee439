"""Any of the encoders of timm (PyTorch Image Models, Wightman 2019), where that is installed."""

from typing import Any, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from galvote.errors import ModelError
from galvote.models.encoders.registry import NetworkSpec, register_encoder


@register_encoder("timm/")
class TimmSpec(NetworkSpec):
    """An encoder of timm: ``timm/`` and a name of `timm.list_models`, such as ``timm/resnet18``."""

    encoder: str = Field(pattern="^timm/.+$")

    def build(self) -> nn.Module:
        """Build the encoder with random weights."""
        return TimmEncoder(self.encoder.removeprefix("timm/"), self.pixels, self.dropout)

    def load_imagenet(self, encoder: nn.Module) -> dict[str, str]:
        """Put the weights into an encoder that timm's own site has for it; they are downloaded."""
        assert isinstance(encoder, TimmEncoder)
        pretrained = _create(encoder.name, self.pixels, self.dropout, pretrained=True)
        encoder.network.load_state_dict(pretrained.state_dict())
        return {"name": self.encoder, "licence": str(pretrained.pretrained_cfg.get("license", "unknown"))}


class TimmEncoder(nn.Module):
    """An encoder of timm, as timm names it, up to its pooled features."""

    def __init__(self, name: str, pixels: int, dropout: float) -> None:
        super().__init__()
        self.name = name
        self.network = _create(name, pixels, dropout, pretrained=False)
        settings = self.network.pretrained_cfg
        for statistic in ("mean", "std"):
            values = torch.tensor(settings[statistic]).view(3, 1, 1)
            self.register_buffer(statistic, values, persistent=False)
        # Some networks have another width behind the pooling than they say.
        with torch.no_grad():
            self.width = self.network.eval()(torch.zeros(1, 3, pixels, pixels)).shape[1]
        self.network.train()

    def forward(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy feature"]:
        """Return the features of RGB images in [0, 1]."""
        features: Tensor = self.network((images - self.get_buffer("mean")) / self.get_buffer("std"))
        return features


def _create(name: str, pixels: int, dropout: float, *, pretrained: bool) -> Any:
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            f"The encoder timm/{name} needs timm; install it with: pip install 'galvote[timm]'"
        ) from error
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.partition('.')[0][:6]}*")[:5]
        raise ModelError(f"timm has no model {name!r}{_like(near)}; `timm.list_models()` lists them.")
    settings = timm.get_pretrained_cfg(name)
    # Vision transformers are built for one width, convolutional networks take any.
    sized = {"img_size": pixels} if settings is not None and settings.fixed_input_size else {}
    return cast(
        Any, timm.create_model(name, pretrained=pretrained, num_classes=0, drop_rate=dropout, **sized)
    )


def _like(names: list[str]) -> str:
    return f"; it has {', '.join(names)}" if names else ""
