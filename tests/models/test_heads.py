"""The tree head: fractions that flow down the tree, whatever the features are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galvote.errors import ModelError
from galvote.models.heads import TreeHead, entmax, sparsemax
from galvote.trees import GZ2, DecisionTree, find_violations, to_cumulative

OBEDIENT = ["softmax", "rectified", "entmax", "sparsemax", "dirichlet"]
seeds = st.integers(0, 2**31 - 1)
scales = st.sampled_from([0.01, 1.0, 30.0, 1e4])


def make(kind: str, seed: int, tree: DecisionTree = GZ2) -> TreeHead:
    torch.manual_seed(seed)
    return TreeHead(16, tree, kind)


@settings(max_examples=25)
@given(st.sampled_from(OBEDIENT), seeds, scales)
def test_fractions_obey_the_tree(kind, seed, scale):
    head = make(kind, seed)
    assert head.obeys_tree
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
    return {"column": column, "text": column, "phrase": column, "leads_to": leads_to}


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
    assert not head.obeys_tree
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


def bisected(outputs: np.ndarray, power: int) -> np.ndarray:
    """Return max(outputs - t, 0) ** power of each row, with the t that makes it sum to 1, by halving."""
    low, high = outputs.max(axis=1) - 1, outputs.max(axis=1)
    for _ in range(80):
        middle = (low + high) / 2
        too_much = (np.maximum(outputs - middle[:, None], 0) ** power).sum(axis=1) > 1
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    return np.maximum(outputs - low[:, None], 0) ** power


SPARSE = {
    "entmax": (entmax, lambda x: bisected(x / 2, 2)),
    "sparsemax": (sparsemax, lambda x: bisected(x, 1)),
}


@settings(max_examples=50)
@given(st.sampled_from([*SPARSE]), seeds, st.integers(2, 7), st.sampled_from([0.01, 0.3, 1.0, 3.0, 1e4]))
def test_sparse_shares_are_what_bisection_finds(kind, seed, answers, scale):
    share, reference = SPARSE[kind]
    outputs = np.random.default_rng(seed).normal(5, scale, (30, answers))
    outputs[:10] = np.round(outputs[:10], 1)  # ties
    shares = share(torch.from_numpy(outputs)).numpy()
    np.testing.assert_allclose(shares, reference(outputs), atol=1e-9)
    shares = share(torch.from_numpy(outputs).float())
    np.testing.assert_allclose(shares.sum(dim=1), 1, atol=1e-6)
    if scale >= 3:
        assert (shares == 0).any(), "hard zeros, not small numbers"


@settings(max_examples=25)
@given(st.sampled_from([*SPARSE]), seeds, st.integers(2, 7), st.sampled_from([0.3, 1.0, 3.0]))
def test_gradients_of_sparse_shares_are_their_slopes(kind, seed, answers, scale):
    share, reference = SPARSE[kind]
    random = np.random.default_rng(seed)
    outputs, towards = random.normal(0, scale, (20, answers)), random.normal(size=(20, answers))
    variable = torch.from_numpy(outputs).requires_grad_()
    (share(variable) * torch.from_numpy(towards)).sum().backward()
    step = 1e-6
    for answer in range(answers):
        moved = step * (np.arange(answers) == answer)
        slope = (towards * (reference(outputs + moved) - reference(outputs - moved))).sum(axis=1) / (2 * step)
        kinked = ((reference(outputs + 2 * moved) > 0) != (reference(outputs - 2 * moved) > 0)).any(axis=1)
        np.testing.assert_allclose(variable.grad.numpy()[~kinked, answer], slope[~kinked], atol=1e-4)


def test_the_dirichlet_head_says_how_sure_it_is():
    head = make("dirichlet", 0)
    features = 100 * torch.randn(50, 16)
    with torch.no_grad():
        concentrations, conditional = head.concentrations(features), head.conditional(features)
    assert concentrations.min() >= 1 and concentrations.max() <= 101
    assert concentrations.min() < 1.1 and concentrations.max() > 100
    for answers in GZ2.slices.values():
        of_question = concentrations[:, answers]
        shares = of_question / of_question.sum(dim=1, keepdim=True)
        torch.testing.assert_close(conditional[:, answers], shares)
    assert head.concentrations(torch.zeros(1, 16)).max() < 4, "unsure before it has learned anything"
    with pytest.raises(ModelError, match=r"softmax head has no concentrations.*'dirichlet'"):
        make("softmax", 0).concentrations(features)
