"""A plain residual network."""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from galvote.models.encoders.registry import NetworkSpec, register_encoder


@register_encoder("residual")
class ResidualSpec(NetworkSpec):
    """A plain residual network, of these channels and numbers of blocks in each stage."""

    any_width: ClassVar[bool] = True
    widths: tuple[PositiveInt, ...] = Field(default=(32, 64, 128, 192), min_length=1)
    depths: tuple[PositiveInt, ...] = (1, 2, 2, 2)

    @model_validator(mode="after")
    def _check_stages(self) -> "ResidualSpec":
        if len(self.widths) != len(self.depths):
            raise ValueError(
                f"{len(self.widths)} widths and {len(self.depths)} depths; give one of each a stage"
            )
        return self

    def build(self) -> nn.Module:
        """Build the encoder with random weights."""
        return Residual(self.widths, self.depths, self.dropout)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions around a shortcut (He et al. 2016, the basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        # A block that starts as the identity trains faster (Goyal et al. 2017, section 5.1).
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride != 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(shortcut + body)."""
        return F.relu(self.shortcut(x) + self.body(x))


class Residual(nn.Module):
    """A plain residual network: a stem that halves the image, stages that halve it again, mean pooling."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.width = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        blocks, channels = list[nn.Module](), widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for place in range(depth):
                blocks.append(ResidualBlock(channels, width, stride=2 if stage > 0 and place == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy feature"]:
        """Return as many features as the last stage has channels."""
        features = self.blocks(self.stem(images))  # galaxy channel y/16 x/16
        pooled: Tensor = self.dropout(features.mean(dim=(2, 3)))
        return pooled
