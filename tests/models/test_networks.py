"""The networks: what the reports describe, layer by layer."""

import numpy as np
import pytest
import torch
from torch import nn

from galvote.images import Geometry, View, network_input
from galvote.models import GalaxyNetwork, count_parameters, masked_squared_error, run_network
from galvote.models.encoders.dieleman2014 import Dieleman2014
from galvote.recipes import list_recipes
from galvote.training import load_recipe
from galvote.trees import load_tree

GZ2 = load_tree("gz2")


def build(name: str) -> GalaxyNetwork:
    torch.manual_seed(0)
    return GalaxyNetwork(load_recipe(name).network, GZ2).eval()


def draw_images(count: int, pixels: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, pixels, pixels, 3), dtype=torch.uint8)


def shapes_of(layers: nn.Sequential, x: torch.Tensor) -> list[tuple[str, tuple[int, ...]]]:
    found = []
    for layer in layers:
        x = layer(x)
        found.append((type(layer).__name__, tuple(x.shape[1:])))
    return found


def test_the_baseline_network_is_the_reports():
    network = build("sharma2020")
    assert count_parameters(network) == 207_205
    assert shapes_of(network.encoder, torch.zeros(2, 3, 64, 64)) == [
        ("Conv2d", (16, 62, 62)),
        ("ReLU", (16, 62, 62)),
        ("BatchNorm2d", (16, 62, 62)),
        ("MaxPool2d", (16, 31, 31)),
        ("Conv2d", (32, 29, 29)),
        ("ReLU", (32, 29, 29)),
        ("BatchNorm2d", (32, 29, 29)),
        ("AvgPool2d", (32, 14, 14)),
        ("Flatten", (6272,)),
        ("Linear", (32,)),
        ("ReLU", (32,)),
        ("BatchNorm1d", (32,)),
        ("Dropout", (32,)),
    ]
    assert (network.head.linear.in_features, network.head.linear.out_features) == (32, 37)
    features = torch.randn(3, 32)
    torch.testing.assert_close(network.head(features), torch.sigmoid(network.head.linear(features)))


@pytest.mark.parametrize(
    ("name", "last"), [("sharma2020-deep3", (64, 6, 6)), ("sharma2020-deep4", (128, 2, 2))]
)
def test_deeper_forms_go_on_in_the_same_way(name, last):
    shapes = shapes_of(build(name).encoder, torch.zeros(2, 3, 64, 64))
    flat = [name for name, _ in shapes].index("Flatten")
    assert shapes[flat - 1] == ("AvgPool2d", last)
    assert [name for name, _ in shapes].count("MaxPool2d") == 1


NETWORKS = {load_recipe(recipe.name).network: recipe.name for recipe in list_recipes()}


@pytest.mark.parametrize("name", NETWORKS.values())
def test_every_network_predicts_fractions(name):
    network = build(name)
    with torch.inference_mode():
        fractions = network(draw_images(3, network.spec.pixels))
    assert fractions.shape == (3, 37)
    assert fractions.dtype == torch.float32
    assert fractions.min() >= 0 and fractions.max() <= 1 + 1e-6


def test_own_networks_weights_fit_into_the_package():
    parameters = sum(count_parameters(build(name)) for name in ("galvote-small", "galvote-base"))
    assert 2 * parameters < 14.5e6, "two bytes for each, at most 15 MB with calibration and cards"


def dot(x: int, y: int, pixels: int = 85) -> torch.Tensor:
    """Return a dark picture with one bright dot, so many pixels right of and below the centre."""
    image = torch.zeros(1, 3, pixels, pixels)
    image[0, :, pixels // 2 + y, pixels // 2 + x] = 1
    return image


def test_the_sixteen_views_are_two_turns_two_mirrors_four_quarters():
    x, y = -9, -18
    views = Dieleman2014(85).views(dot(x, y))
    assert views.shape == (1, 16, 3, 45, 45)
    seen = 0
    for turned in (False, True):
        for mirrored in (False, True):
            for quarter in range(4):
                view = views[0, 4 * (2 * turned + mirrored) + quarter, 0]
                right, down = float(x), float(y)
                if turned:  # by 45 degrees, counter-clockwise as seen on the screen
                    right, down = (right + down) / 2**0.5, (down - right) / 2**0.5
                if mirrored:
                    right = -right
                for _ in range(quarter):  # by 90 degrees, counter-clockwise
                    right, down = down, -right
                column, row = 34 + right, 34 + down  # the galaxy's centre is at 34, 34 of each view
                if max(column, row) > 44.5:
                    assert view.sum() < 0.5, "the dot is in another quarter"
                    continue
                seen += 1
                rows, columns = torch.meshgrid(torch.arange(45.0), torch.arange(45.0), indexing="ij")
                assert float(view.sum()) == pytest.approx(1, abs=0.25)
                assert float((rows * view).sum() / view.sum()) == pytest.approx(row, abs=0.6)
                assert float((columns * view).sum() / view.sum()) == pytest.approx(column, abs=0.6)
    assert seen >= 4, "each orientation shows the dot in one quarter at least"


def test_the_sixteen_views_differ():
    images = torch.rand(1, 3, 85, 85, generator=torch.Generator().manual_seed(1))
    views = Dieleman2014(85).views(images)[0].flatten(1)
    distances = torch.cdist(views, views)
    assert distances[~torch.eye(16, dtype=torch.bool)].min() > 1


def test_the_winners_shapes():
    encoder = Dieleman2014(85).eval()
    assert [shape for _, shape in shapes_of(encoder.convolutions, torch.zeros(1, 3, 45, 45))] == [
        (32, 40, 40), (32, 40, 40), (32, 20, 20),
        (64, 16, 16), (64, 16, 16), (64, 8, 8),
        (128, 6, 6), (128, 6, 6),
        (128, 4, 4), (128, 4, 4), (128, 2, 2),
        (512,),
    ]  # fmt: skip
    assert [shape for _, shape in shapes_of(encoder.dense, torch.zeros(1, 8192))] == [
        (8192,), (2048,), (2048,), (2048,), (2048,),
    ]  # fmt: skip
    assert encoder(torch.zeros(2, 3, 85, 85)).shape == (2, 2048)


@pytest.mark.slow
def test_a_short_run_of_the_winners_network_learns(training_data):
    recipe = load_recipe("dieleman2014")
    network = build("dieleman2014").train()
    rows = training_data.training.rows[:8]
    images = torch.from_numpy(
        network_input(
            training_data.store.cutouts[rows],
            [View()] * 8,
            training_data.store.geometry,
            recipe.network.geometry,
        )
    )
    fractions = torch.from_numpy(training_data.training.fractions[:8])
    optimizer = torch.optim.SGD(network.parameters(), recipe.training.learning_rate, 0.9, nesterov=True)
    losses = []
    for _ in range(12):
        squared, known = masked_squared_error(network(images), fractions)
        optimizer.zero_grad()
        (squared / known).backward()
        optimizer.step()
        losses.append(squared.item() / known.item())
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_pooled_orientations_do_not_see_symmetries_of_the_sky(count):
    torch.manual_seed(0)
    spec = load_recipe("residual", [f"network.orientations={count}", "network.pixels=32"]).network
    network, images = GalaxyNetwork(spec, GZ2).eval(), draw_images(3, 32)
    mirrored, turned = images.flip(2), torch.rot90(images, 1, (1, 2))
    with torch.inference_mode():
        expected = network(images)
        assert torch.allclose(network(mirrored), expected, atol=1e-5) == (count in (2, 8))
        assert torch.allclose(network(turned), expected, atol=1e-5) == (count in (4, 8))


def test_the_network_sees_its_part_of_the_cutout():
    cutout = np.zeros((64, 64, 3), dtype=np.uint8)
    cutout[16:48, 16:48] = 200  # the central half, all that the network is to see
    spec = load_recipe("sharma2020", ["network.field_of_view=2.56", "network.pixels=32"]).network
    seen = network_input(cutout[None], [View()], Geometry(field_of_view=5.12, pixels=64), spec.geometry)
    assert seen.shape == (1, 32, 32, 3)
    assert (seen == 200).all()
    turned = network_input(
        cutout[None], [View(zoom=0.5)], Geometry(field_of_view=5.12, pixels=64), spec.geometry
    )
    assert (turned[0, 8:24, 8:24] == 200).all() and (turned[0, :7] == 0).all()


def test_precision_follows_the_networks_own_device(monkeypatch):
    monkeypatch.setattr("galvote.models.network.best_device", lambda: "cuda")
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    monkeypatch.setattr("torch.cpu.get_capabilities", dict, raising=False)  # a processor without bfloat16
    network, images = build("sharma2020"), draw_images(3, 64).numpy()
    fractions, _ = run_network(network, images)
    np.testing.assert_array_equal(fractions, run_network(network, images, torch.float32)[0])
