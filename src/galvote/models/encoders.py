"""The networks that turn a batch of pictures into features. Shapes are noted where they change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Sharma2020(nn.Sequential):
    """The baseline report's network: convolution blocks, then one hidden layer of 32.

    Parameters
    ----------
    blocks
        2 for the report's network on 64 × 64 pixels (207,205 parameters with its head of 37); 3 or 4 for its
        deeper forms. Each block has 3 × 3 convolution without padding, ReLU, batch normalisation and pooling
        by 2: maximum in the first, average in the others. Channels double from 16.
    dropout
        Share of hidden units dropped; the report does not say, so PyTorch's default.
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
    of the galaxy is always in the same corner. Their features are joined before two maxout layers.

    Parameters
    ----------
    pixels
        Width of the input, at 3 GZ2 pixels each. The views are 69 × 69 pixels; what the input has around
        them fills the corners of the one that is turned by 45°.
    dropout
        Share of the joined features and of the hidden units that is dropped.
    """

    view, part = 69, 45

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
        turn = math.sqrt(0.5) * self.view / pixels
        self.register_buffer("turn", torch.tensor([[turn, -turn, 0.0], [turn, turn, 0.0]]), persistent=False)

    def views(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy 16 3 45 45"]:
        """Return the 16 views: orientation × flip × quarter."""
        # `len` would fix the size of the batch in an exported network.
        count, margin = images.shape[0], (images.shape[-1] - self.view) // 2
        upright = images[..., margin : margin + self.view, margin : margin + self.view]
        turn = self.get_buffer("turn").to(images.dtype).expand(count, 2, 3)
        grid = F.affine_grid(turn, [count, 3, self.view, self.view], align_corners=False)
        turned = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        whole = torch.stack([upright, upright.flip(3), turned, turned.flip(3)], dim=1)
        # Turning by k * 90° brings each quarter in turn to the upper left, the galaxy's centre lower right.
        quarters = [torch.rot90(whole, k, (3, 4))[..., : self.part, : self.part] for k in range(4)]
        return torch.stack(quarters, dim=2).flatten(1, 2)

    def forward(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy feature"]:
        """Return 2048 features a galaxy."""
        views = self.views(images)  # galaxy 16 3 45 45
        features = self.convolutions(views.flatten(0, 1))  # (galaxy 16) 512
        joined: Tensor = self.dense(features.unflatten(0, (-1, 16)).flatten(1))
        return joined


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
    """A plain residual network: a stem that halves the picture, stages that halve it again, mean pooling.

    Parameters
    ----------
    widths, depths
        Channels and number of blocks of each stage; every stage after the first begins with stride 2.
    dropout
        Share of the pooled features that is dropped.
    """

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
