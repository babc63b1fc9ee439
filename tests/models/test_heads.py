"""The tree head: fractions that flow down the tree, whatever the features are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galvote.errors import ModelError
from galvote.models.heads import TreeHead
from galvote.trees import DecisionTree, find_violations, load_tree, to_cumulative

GZ2 = load_tree("gz2")

OBEDIENT = ["softmax", "rectified", "dirichlet"]
seeds = st.integers(0, 2**31 - 1)
scales = st.sampled_from([0.01, 1.0, 30.0, 1e4])


def make(kind: str, seed: int, tree: DecisionTree = GZ2) -> TreeHead:
    torch.manual_seed(seed)
    return TreeHead(16, tree, kind)


@settings(max_examples=25)
@given(st.sampled_from(OBEDIENT), seeds, scales)
def test_fractions_obey_the_tree(kind, seed, scale):
    head = make(kind, seed)
    fractions = head(scale * torch.randn(20, 16)).detach().numpy()
    assert fractions.min() >= 0 and fractions.max() <= 1 + 1e-6
    assert not find_violations(GZ2, fractions.astype(np.float64), tolerance=1e-5).galaxies.any()
    np.testing.assert_allclose(fractions[:, GZ2.slices["odd"]].sum(axis=1), 1, atol=1e-5)


@settings(max_examples=25)
@given(st.sampled_from(OBEDIENT), seeds)
def test_any_tree_will_do(kind, seed):
    tree = DecisionTree.from_dict(
        {
            "name": "two ways to one question",
            "questions": [
                {"name": name, "text": name, "always_asked": False, "answers": answers}
                for name, answers in {
                    "first": [answer("a", "last"), answer("b", "second"), answer("c", None)],
                    "last": [answer("d", None), answer("e", None)],
                    "second": [answer("f", "last"), answer("g", None)],
                }.items()
            ],
        }
    )
    fractions = make(kind, seed, tree)(torch.randn(9, 16)).detach().numpy().astype(np.float64)
    assert not find_violations(tree, fractions, tolerance=1e-5).galaxies.any()
    np.testing.assert_allclose(fractions[:, 3:5].sum(axis=1), fractions[:, 0] + fractions[:, 5], atol=1e-6)


def answer(column: str, leads_to: str | None) -> dict:
    return {"name": column, "leads_to": leads_to}


@settings(max_examples=25)
@given(st.sampled_from(["sigmoid", *OBEDIENT]), seeds, scales, st.booleans())
def test_gradients_are_finite(kind, seed, scale, normalise):
    head = make(kind, seed)
    head.normalise = normalise
    features = (scale * torch.randn(8, 16)).requires_grad_()
    (head(features) - torch.rand(8, len(GZ2))).square().sum().backward()
    for tensor in (features, *head.parameters()):
        assert torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize("kind", OBEDIENT)
def test_conditional_fractions_sum_to_one_and_flow_down_the_tree(kind):
    head, features = make(kind, 0), 3 * torch.randn(50, 16)
    with torch.no_grad():
        conditional, fractions = head.conditional(features).double().numpy(), head(features)
    for answers in GZ2.slices.values():
        np.testing.assert_allclose(conditional[:, answers].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(fractions, to_cumulative(GZ2, conditional), atol=2e-4)


def test_sigmoids_do_not_obey_the_tree():
    head = make("sigmoid", 0)
    with pytest.raises(ModelError, match="no conditional fractions"):
        head.conditional(torch.randn(5, 16))
    assert find_violations(GZ2, head(torch.randn(5, 16)).detach().double().numpy()).galaxies.all()


def test_the_rectified_head_reaches_zero():
    head = make("rectified", 0)
    with torch.no_grad():
        head.linear.bias[GZ2.slices["edge_on"]] = torch.tensor([-1e3, 1.0])
        fractions = head(torch.randn(5, 16))
    first = GZ2.slices["edge_on"].start
    assert (fractions[:, first] == 0).all()


def test_a_question_without_any_output_keeps_its_votes():
    head = make("rectified", 0)
    with torch.no_grad():
        head.linear.bias[:] = -1e3
        fractions = head(torch.randn(5, 16)).numpy()
    np.testing.assert_allclose(fractions[:, GZ2.slices["odd"]], 0.5)


def test_before_normalisation_the_rectified_head_only_clips():
    head = make("rectified", 0)
    head.normalise = False
    features = 3 * torch.randn(5, 16)
    outputs = head.linear(features)
    assert outputs.min() < 0 and outputs.max() > 1
    torch.testing.assert_close(head(features), outputs.clip(0, 1))


@pytest.mark.parametrize("kind", ["sigmoid", *OBEDIENT])
def test_fractions_keep_float32_where_the_rest_is_bfloat16(kind):
    head = make(kind, 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.randn(4, 16)).dtype == torch.float32
