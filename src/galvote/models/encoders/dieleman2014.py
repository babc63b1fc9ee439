"""The network that won the Galaxy Challenge."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from galvote.models.encoders.registry import NetworkSpec, register_encoder

VIEW, QUARTER = 69, 45
"""Width in pixels of each turned view, and of its overlapping quarters."""


@register_encoder("dieleman2014")
class Dieleman2014Spec(NetworkSpec):
    """The challenge winner's network."""

    pixels: int = Field(ge=VIEW, le=1024)

    def build(self) -> nn.Module:
        """Build the encoder with random weights."""
        return Dieleman2014(self.pixels, self.dropout)


class Maxout(nn.Module):
    """A linear layer whose outputs compete in pairs (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return the larger output of each pair."""
        pairs: Tensor = self.linear(features).unflatten(1, (-1, 2))
        return pairs.amax(dim=2)


class Dieleman2014(nn.Module):
    """The network that won the *Galaxy Challenge* (Dieleman, Willett & Dambre 2015, MNRAS 450, 1441).

    Sixteen views of each galaxy go through the same convolutions: two orientations (0° and 45°), each plain
    and mirrored, and of each of those four overlapping quarters of 45 × 45 pixels, turned so that the centre
    of the galaxy is always in the same corner. Their features are joined before two maxout layers. The input
    has 3 GZ2 pixels a pixel; what it shows around the views fills the corners of the turned ones.
    """

    def __init__(self, pixels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.width = 2048
        self.convolutions = nn.Sequential(  # 3 @ 45 x 45
            nn.Conv2d(3, 32, 6), nn.ReLU(), nn.MaxPool2d(2),  # 32 @ 20 x 20
            nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2),  # 64 @ 8 x 8
            nn.Conv2d(64, 128, 3), nn.ReLU(),  # 128 @ 6 x 6
            nn.Conv2d(128, 128, 3), nn.ReLU(), nn.MaxPool2d(2),  # 128 @ 2 x 2
            nn.Flatten(),
        )  # fmt: skip
        self.dense = nn.Sequential(
            nn.Dropout(dropout), Maxout(16 * 512, self.width),
            nn.Dropout(dropout), Maxout(self.width, self.width),
            nn.Dropout(dropout),
        )  # fmt: skip
        # Rotation by 45° about the centre, for `grid_sample`: a 69-pixel view out of `pixels`.
        turn = math.sqrt(0.5) * VIEW / pixels
        self.register_buffer("turn", torch.tensor([[turn, -turn, 0.0], [turn, turn, 0.0]]), persistent=False)

    def views(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy 16 3 45 45"]:
        """Return the 16 views: orientation × flip × quarter."""
        # `len` would fix the size of the batch in an exported network.
        count, margin = images.shape[0], (images.shape[-1] - VIEW) // 2
        upright = images[..., margin : margin + VIEW, margin : margin + VIEW]
        turn = self.get_buffer("turn").to(images.dtype).expand(count, 2, 3)
        grid = F.affine_grid(turn, [count, 3, VIEW, VIEW], align_corners=False)
        turned = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        whole = torch.stack([upright, upright.flip(3), turned, turned.flip(3)], dim=1)
        # Turning by k * 90° brings each quarter in turn to the upper left, the galaxy's centre lower right.
        quarters = [torch.rot90(whole, k, (3, 4))[..., :QUARTER, :QUARTER] for k in range(4)]
        return torch.stack(quarters, dim=2).flatten(1, 2)

    def forward(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy feature"]:
        """Return 2048 features a galaxy."""
        views = self.views(images)  # galaxy 16 3 45 45
        features = self.convolutions(views.flatten(0, 1))  # (galaxy 16) 512
        joined: Tensor = self.dense(features.unflatten(0, (-1, 16)).flatten(1))
        return joined
