"""Networks whose convolutions normalise by themselves answer as before."""

import copy

import pytest
import torch
from torch import nn

from galvote.models import GalaxyNetwork, NetworkSpec
from galvote.models.fusion import fuse
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

SPECS = {
    "sharma2020": {"encoder": "sharma2020", "blocks": 3},
    "dieleman2014": {"encoder": "dieleman2014", "pixels": 85},
    "residual": {"encoder": "residual", "widths": (8, 16), "depths": (1, 2)},
    "efficientnet-lite": {"encoder": "efficientnet-lite"},
}


def trained(keys: dict[str, object]) -> GalaxyNetwork:
    """Return a network whose normalisation is not that of a new one."""
    spec = NetworkSpec.model_validate({"field_of_view": 5.1, "pixels": 64, "head": "softmax"} | keys)
    torch.manual_seed(1)
    network = GalaxyNetwork(spec, GZ2).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0.2, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight, 1, 0.2)
            nn.init.normal_(layer.bias, 0, 0.2)
    return network


@pytest.mark.parametrize("keys", SPECS.values(), ids=SPECS)
def test_a_fused_network_answers_alike_and_the_other_stays(keys):
    network = trained(keys)
    before = copy.deepcopy(network.state_dict())
    pixels = network.spec.pixels
    images = torch.randint(0, 256, (3, pixels, pixels, 3), dtype=torch.uint8)
    fused = fuse(network)
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), network(images), atol=1e-5, rtol=0)
        torch.testing.assert_close(fused.features(images), network.features(images), atol=1e-3, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    for name, values in network.state_dict().items():
        torch.testing.assert_close(values, before[name])


def test_no_normalisation_is_left_behind_a_convolution():
    normalising = [trained(SPECS[name]) for name in ("residual", "efficientnet-lite")]
    for network in normalising:
        assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fuse(network).modules())


def test_the_head_keeps_its_precision():
    fused = fuse(trained(SPECS["efficientnet-lite"]), torch.bfloat16)
    assert {p.dtype for p in fused.encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in fused.head.parameters()} == {torch.float32}
