"""Where a network looks, and what it owes to the picture's orientation."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import galvote
from galvote.errors import ModelError, TreeError
from galvote.images import View, network_input, to_cutout, tta_views
from galvote.inference import METHODS, explain, rotate
from galvote.inference.gradients import attribute
from galvote.models import GalaxyNetwork
from galvote.models.encoders.dieleman2014 import Dieleman2014Spec
from galvote.simulate import simulate_galaxies
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

pytestmark = pytest.mark.usefixtures("one_thread")

EDGE_ON = 5  # of seed 7


@pytest.fixture(scope="module")
def small():
    return galvote.load("galvote-small")


@pytest.fixture(scope="module")
def edge_on(small) -> np.ndarray:
    """Return a cutout of an edge-on galaxy that was moved away from the centre."""
    (galaxy,) = simulate_galaxies(1, seed=7, pixels=424, start=EDGE_ON)
    aside = np.roll(galaxy.image, (-40, 40), axis=(0, 1))
    return to_cutout(aside, small.geometry)


def conditional(network: GalaxyNetwork, image: np.ndarray, question: str) -> np.ndarray:
    with torch.inference_mode():
        fractions = network(torch.from_numpy(image[None]))[0, GZ2.slices[question]].numpy()
    return fractions / fractions.sum()


@pytest.mark.parametrize(
    ("question", "answer"), [("smooth_or_features", 0), ("smooth_or_features", 2), ("edge_on", 1), ("odd", 0)]
)
def test_attributions_sum_to_the_difference_from_a_black_picture(small, edge_on, question, answer):
    seen = network_input(edge_on[None], [View()], small.geometry, small.network.spec.geometry)[0]
    shared = attribute(small.network, seen, question, answer)
    assert shared.shape == seen.shape
    with_it = conditional(small.network, seen, question)[answer]
    without = conditional(small.network, np.zeros_like(seen), question)[answer]
    assert shared.sum() == pytest.approx(with_it - without, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_the_heat_lies_on_the_galaxy(edge_on, method):
    base = galvote.load("galvote-base")
    said = explain(base, edge_on, "edge_on", "Class2.1", method=method)
    side = base.network.spec.pixels
    assert said.heat.shape == said.seen.shape[:2] == (side, side)
    assert said.heat.max() == 1 and said.heat.min() >= 0
    # The galaxy was moved up and right by 40 of the 208 GZ2 pixels that the network sees.
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    on_it = np.hypot(rows + 40 / 208, columns - 40 / 208) < 0.2
    opposite = np.hypot(rows - 40 / 208, columns + 40 / 208) < 0.2
    assert said.heat[on_it].mean() > 1.5 * said.heat[~on_it].mean()
    assert said.heat[on_it].mean() > 1.5 * said.heat[opposite].mean()


def test_the_likeliest_answer_is_explained_unless_one_is_named(small, edge_on):
    said = explain(small, edge_on, "smooth_or_features")
    fractions = conditional(small.network, said.seen, "smooth_or_features")
    assert said.answer == f"Class1.{fractions.argmax() + 1}"
    assert said.fraction == pytest.approx(fractions.max(), abs=1e-4)


def test_what_there_is_not(small, edge_on):
    with pytest.raises(TreeError, match="No question 'taste'"):
        explain(small, edge_on, "taste")
    with pytest.raises(ModelError, match=r"no answer of spiral; its answers are Class4\.1, Class4\.2"):
        explain(small, edge_on, "spiral", "Class1.1")


def test_grad_cam_needs_a_map_of_the_whole_picture(small, edge_on, monkeypatch):
    spec = Dieleman2014Spec(encoder="dieleman2014", field_of_view=4.14, pixels=69, head="softmax")
    monkeypatch.setattr(small, "network", GalaxyNetwork(spec, GZ2).eval())
    monkeypatch.setattr("galvote.inference.gradients._STEPS", 2)
    monkeypatch.setattr("galvote.inference.gradients._BATCH", 2)
    with pytest.raises(ModelError, match="integrated-gradients"):
        explain(small, edge_on, "spiral")
    assert explain(small, edge_on, "spiral", method="integrated-gradients").heat.shape == (69, 69)


@pytest.mark.parametrize("method", METHODS)
def test_explanations_and_predictions_of_other_threads_do_not_meet(small, edge_on, method):
    expected = explain(small, edge_on, "edge_on", method=method).heat
    with ThreadPoolExecutor(3) as threads:
        predicting = [threads.submit(small.predict_cutouts, edge_on[None]) for _ in range(20)]
        explaining = [threads.submit(explain, small, edge_on, "edge_on", method=method) for _ in range(3)]
        predicting += [threads.submit(small.predict_cutouts, edge_on[None]) for _ in range(20)]
    for future in explaining:
        np.testing.assert_allclose(future.result().heat, expected, atol=1e-4)
    assert all(future.result().fractions.shape == (1, 37) for future in predicting)


def test_turned_predictions_are_those_of_the_same_views(edge_on):
    small = galvote.Predictor.load("galvote-small", "torch-float32")
    turned = rotate(small, edge_on, np.array([0, 120, 240], np.float32))
    assert turned.shape == (3, len(GZ2))
    np.testing.assert_allclose(turned[0], small.predict_cutouts(edge_on[None]).fractions[0], atol=1e-5)
    assert all(not view.flip for view in tta_views(3))
    np.testing.assert_allclose(
        turned.mean(axis=0), small.predict_cutouts(edge_on[None], tta=3).fractions[0], atol=1e-5
    )
