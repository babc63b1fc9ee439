"""Encoders that galvote does not ship: one's own, and timm's."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from galvote.errors import ModelError, RecipeError
from galvote.models import GalaxyNetwork, NetworkSpec, load_model, register_encoder
from galvote.models.encoders import ENCODERS
from galvote.training import fit, load_recipe
from galvote.training.pretrained import load_pretrained
from galvote.trees import load_tree

GZ2 = load_tree("gz2")


@pytest.fixture
def own_encoder(monkeypatch) -> type[NetworkSpec]:
    """Register an encoder as somebody else's package would."""
    monkeypatch.setattr("galvote.models.encoders.registry.ENCODERS", dict(ENCODERS))

    @register_encoder("mean-colour")
    class MeanColourSpec(NetworkSpec):
        hidden: int = 4

        def build(self) -> nn.Module:
            network = nn.Sequential(nn.AvgPool2d(self.pixels), nn.Flatten(), nn.Linear(3, self.hidden))
            network.width = self.hidden
            return network

    return MeanColourSpec


def test_an_encoder_from_outside_is_trained_and_loaded(own_encoder, tiny_recipe, training_data, tmp_path):
    network = 'network={encoder="mean-colour", field_of_view=4.16, pixels=32, head="softmax", hidden=3}'
    recipe = load_recipe(tiny_recipe, [network, "training.epochs=1"])
    assert isinstance(recipe.network, own_encoder)
    model, card = load_model(fit(recipe, training_data, tmp_path / "run"))
    assert model.spec == recipe.network and card.network.hidden == 3
    assert model.encoder[-1].out_features == 3
    with pytest.raises(RecipeError, match=r"network\.hiden is unknown; .* 'network\.hidden'"):
        load_recipe(tiny_recipe, [network.replace("hidden", "hiden")])
    with pytest.raises(RecipeError, match=r"no encoder 'mean-color'; did you mean 'mean-colour'\?"):
        load_recipe(tiny_recipe, [network.replace("mean-colour", "mean-color")])


class StandIn(nn.Module):
    """A network as timm makes them, whose features are wider than its last convolution."""

    def __init__(self, drop_rate: float, img_size: int | None = None) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.drop_rate, self.img_size, self.num_features = drop_rate, img_size, 4
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "license": "apache-2.0"}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images).mean(dim=(2, 3)).repeat(1, 2)


@pytest.fixture
def timm(monkeypatch) -> ModuleType:
    module = ModuleType("timm")
    module.is_model = lambda name: name in ("tinynet_a", "tinyvit")
    module.list_models = lambda pattern: ["tinynet_a"] if pattern == "*tinyne*" else []
    module.get_pretrained_cfg = lambda name: SimpleNamespace(fixed_input_size=name == "tinyvit")

    def create_model(name: str, pretrained: bool, num_classes: int, **options: object) -> nn.Module:
        assert num_classes == 0
        network = StandIn(**options)
        if pretrained:
            nn.init.constant_(network.convolution.bias, 7)
        return network

    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def spec_of(encoder: str) -> NetworkSpec:
    keys = {"encoder": encoder, "field_of_view": 4, "pixels": 24, "head": "softmax", "dropout": 0.1}
    return NetworkSpec.model_validate(keys)


def test_timms_encoders_are_built_by_name(timm):
    network = GalaxyNetwork(spec_of("timm/tinynet_a"), GZ2)
    assert network.head.linear.in_features == 8, "as wide as its output, whatever it says"
    assert network.encoder.training and network.encoder.network.drop_rate == 0.1
    assert network.encoder.network.img_size is None
    assert GalaxyNetwork(spec_of("timm/tinyvit"), GZ2).encoder.network.img_size == 24
    seen = network.encoder.network.convolution
    white, black = (torch.full((1, 3, 24, 24), level) for level in (1.0, -1.0))
    torch.testing.assert_close(network.encoder(white), seen(white).mean(dim=(2, 3)).repeat(1, 2))
    torch.testing.assert_close(network.encoder(0 * white), seen(black).mean(dim=(2, 3)).repeat(1, 2))
    assert load_pretrained(network, "imagenet") == {"name": "timm/tinynet_a", "licence": "apache-2.0"}
    assert (seen.bias == 7).all()


def test_what_timm_does_not_have(timm, monkeypatch):
    with pytest.raises(ModelError, match=r"no model 'tinynet_z'; it has tinynet_a; `timm.list_models\(\)`"):
        spec_of("timm/tinynet_z").build()
    monkeypatch.setitem(sys.modules, "timm", None)  # as where it is not installed
    with pytest.raises(ModelError, match=r"pip install 'galvote\[timm\]'"):
        spec_of("timm/tinynet_a").build()
