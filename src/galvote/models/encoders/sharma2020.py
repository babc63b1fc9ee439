"""The baseline report's network and its deeper forms."""

from pydantic import Field, model_validator
from torch import nn

from galvote.models.encoders.registry import NetworkSpec, register_encoder


@register_encoder("sharma2020")
class Sharma2020Spec(NetworkSpec):
    """The baseline report's network and its deeper forms."""

    blocks: int = Field(default=2, ge=1, le=4)

    @model_validator(mode="after")
    def _check_pixels(self) -> "Sharma2020Spec":
        least = 1
        for _ in range(self.blocks):
            least = 2 * least + 2
        if self.pixels < least:
            raise ValueError(f"{self.blocks} blocks need pixels = {least} or more, not {self.pixels}")
        return self

    def build(self) -> nn.Module:
        """Build the encoder with random weights."""
        return Sharma2020(self.pixels, self.blocks, self.dropout)


class Sharma2020(nn.Sequential):
    """The baseline report's network: convolution blocks, then one hidden layer of 32.

    The report's has 2 blocks on 64 × 64 pixels (207,205 parameters with its head of 37). Each has a 3 × 3
    convolution without padding, ReLU, batch normalisation and pooling by 2: maximum in the first, average in
    the others. Channels double from 16. Of its dropout the report says nothing, so it is PyTorch's default.
    """

    def __init__(self, pixels: int, blocks: int = 2, dropout: float = 0.5) -> None:
        layers, channels, side = list[nn.Module](), 3, pixels
        for block in range(blocks):
            widened = 16 * 2**block
            pool = nn.MaxPool2d(2) if block == 0 else nn.AvgPool2d(2)
            layers += [nn.Conv2d(channels, widened, 3), nn.ReLU(), nn.BatchNorm2d(widened), pool]
            channels, side = widened, (side - 2) // 2
        self.width = 32
        super().__init__(
            *layers,
            nn.Flatten(),
            nn.Linear(channels * side * side, self.width),  # 32 * 14 * 14 = 6272 for two blocks at 64 pixels
            nn.ReLU(),
            nn.BatchNorm1d(self.width),
            nn.Dropout(dropout),
        )
