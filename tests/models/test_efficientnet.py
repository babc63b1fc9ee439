"""EfficientNet-Lite: its shapes, and gradients in bfloat16 that are those of float32."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from galvote.models import count_parameters
from galvote.models.encoders.efficientnet import DepthwiseConvolution, EfficientNetLite


# https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite says 4.7, 5.4 and 6.1
# million parameters with the classifier of 1000 classes, which ours has not.
@pytest.mark.parametrize(("size", "blocks", "millions"), [(0, 16, 4.7), (1, 21, 5.4), (2, 21, 6.1)])
def test_sizes_are_the_published_ones(size, blocks, millions):
    encoder = EfficientNetLite(size)
    assert len(encoder.blocks) == blocks
    classifier = 1000 * (encoder.width + 1)
    assert (count_parameters(encoder) + classifier) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize(
    ("pixels", "stages"),
    [
        (64, [(16, 32), (24, 16), (40, 8), (80, 4), (112, 4), (192, 2), (320, 2)]),
        (80, [(16, 40), (24, 20), (40, 10), (80, 5), (112, 5), (192, 3), (320, 3)]),
    ],
)
def test_shapes(pixels, stages):
    encoder = EfficientNetLite(0).eval()
    with torch.inference_mode():
        x = encoder.stem(torch.rand(2, 3, pixels, pixels))
        assert x.shape == (2, 32, pixels // 2, pixels // 2)
        found = list[tuple[int, int]]()
        for block in encoder.blocks:
            x = block(x)
            found.append((x.shape[1], x.shape[-1]))
        assert encoder(torch.rand(2, 3, pixels, pixels)).shape == (2, 1280)
    assert list(dict.fromkeys(found)) == stages


def test_dropout_and_nothing_else_is_random_in_training():
    torch.manual_seed(0)
    encoder, images = EfficientNetLite(0, dropout=0.5).train(), torch.rand(4, 3, 64, 64)
    one, other = encoder(images), encoder(images)
    both = (one != 0) & (other != 0)
    assert 0.15 < both.float().mean() < 0.35
    torch.testing.assert_close(one[both], other[both])


def gradients(
    x: torch.Tensor, weight: torch.Tensor, towards: torch.Tensor, stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    layer = DepthwiseConvolution(x.shape[1], weight.shape[-1], stride)
    layer.weight = nn.Parameter(weight.clone())
    images = x.clone().requires_grad_()
    found = layer(images)
    found.backward(towards.to(found.dtype))
    return images.grad.float(), layer.weight.grad.float()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [2, 4, 7, 8, 12, 17])
def test_gradients_in_bfloat16_are_those_of_float32(kernel, stride, width):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(6, 16, width, width, generator=random).bfloat16()
    weight = torch.randn(16, 1, kernel, kernel, generator=random).bfloat16()
    behind = F.conv2d(x.float(), weight.float(), None, stride, kernel // 2, 1, 16)
    towards = torch.randn(behind.shape, generator=random).bfloat16()
    fast = gradients(x, weight, towards, stride)
    exact = gradients(x.float(), weight.float(), towards.float(), stride)
    for ours, expected in zip(fast, exact, strict=True):
        assert (ours - expected).norm() < 0.01 * expected.norm()
