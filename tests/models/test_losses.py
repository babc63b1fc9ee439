"""Losses that know what is unknown."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from galvote.models.losses import (
    dirichlet_multinomial_loss,
    masked_cross_entropy,
    masked_squared_error,
    tree_cross_entropy,
)
from galvote.trees import load_tree, to_cumulative

GZ2 = load_tree("gz2")

seeds = st.integers(0, 2**31 - 1)


@settings(max_examples=25)
@given(seeds, st.floats(0, 1))
def test_squared_error_agrees_with_numpy_and_leaves_unknown_columns_alone(seed, share_unknown):
    rng = np.random.default_rng(seed)
    predicted, actual = rng.random((2, 6, 5)).astype(np.float32)
    unknown = rng.random((6, 5)) < share_unknown
    actual[unknown] = np.nan
    guess = torch.from_numpy(predicted).requires_grad_()
    squared, known = masked_squared_error(guess, torch.from_numpy(actual))
    assert int(known) == (~unknown).sum()
    np.testing.assert_allclose(squared.item(), np.nansum((predicted - actual) ** 2), rtol=1e-5, atol=1e-7)
    squared.backward()
    expected = np.where(unknown, 0, 2 * (predicted - actual))
    np.testing.assert_allclose(guess.grad.numpy(), expected, rtol=1e-5, atol=1e-7)


def random_fractions(rng: np.random.Generator, galaxies: int) -> np.ndarray:
    """Return conditional fractions."""
    parts = [
        rng.dirichlet(np.ones(answers.stop - answers.start), galaxies) for answers in GZ2.slices.values()
    ]
    return np.concatenate(parts, axis=1)


def forget(values: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Put NaN in place of one answer of some questions, and return which questions are whole."""
    whole = rng.random((len(values), len(GZ2.questions))) >= share
    for i, answers in enumerate(GZ2.slices.values()):
        values[~whole[:, i], rng.integers(answers.start, answers.stop)] = np.nan
    return whole


@settings(max_examples=25)
@given(seeds, st.sampled_from([0.0, 0.3, 1.0]))
def test_tree_cross_entropy_is_that_of_known_questions(seed, share_unknown):
    rng = np.random.default_rng(seed)
    predicted, actual = random_fractions(rng, 6), to_cumulative(GZ2, random_fractions(rng, 6))
    terms = -actual * np.log(predicted)
    whole = forget(actual, rng, share_unknown)
    guess = torch.from_numpy(predicted).requires_grad_()
    loss, known = tree_cross_entropy(GZ2, guess, torch.from_numpy(actual))
    expected = sum(terms[whole[:, i], answers].sum() for i, answers in enumerate(GZ2.slices.values()))
    assert int(known) == whole.sum()
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6, atol=1e-9)
    loss.backward()
    unknown = np.repeat(~whole, [len(question.answers) for question in GZ2.questions], axis=1)
    assert (guess.grad.numpy()[unknown] == 0).all()


@settings(max_examples=25)
@given(seeds)
def test_tree_cross_entropy_is_least_at_the_truth(seed):
    rng = np.random.default_rng(seed)
    truth, other = torch.from_numpy(np.stack([random_fractions(rng, 4) for _ in range(2)]))
    votes = torch.from_numpy(to_cumulative(GZ2, truth.numpy()))
    best, _ = tree_cross_entropy(GZ2, truth, votes)
    assert best < tree_cross_entropy(GZ2, 0.99 * truth + 0.01 * other, votes)[0]


def test_certainty_and_its_opposite_stay_finite():
    certain = torch.zeros(1, len(GZ2))
    certain[:, [answers.start for answers in GZ2.slices.values()]] = 1
    for votes in (certain, certain.roll(1, dims=1)):
        prediction = certain.clone().requires_grad_()
        loss, _ = tree_cross_entropy(GZ2, prediction, votes)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(prediction.grad).all()


@settings(max_examples=25)
@given(seeds, st.sampled_from([0.0, 0.3, 1.0]))
def test_dirichlet_multinomial_agrees_with_scipy(seed, share_unknown):
    rng = np.random.default_rng(seed)
    concentrations = rng.uniform(1, 101, (5, len(GZ2)))
    counts = rng.integers(0, 30, concentrations.shape).astype(np.float64)
    counts[0, :20] = 0  # nobody was asked
    expected = -np.stack(
        [stats.dirichlet_multinomial.logpmf(counts[:, columns].astype(int), concentrations[:, columns],
         counts[:, columns].sum(axis=1).astype(int)) for columns in GZ2.slices.values()], axis=1
    )  # fmt: skip
    whole = forget(counts, rng, share_unknown)
    guess = torch.from_numpy(concentrations).requires_grad_()
    loss, known = dirichlet_multinomial_loss(GZ2, guess, torch.from_numpy(counts))
    assert int(known) == whole.sum()
    np.testing.assert_allclose(loss.item(), expected[whole].sum(), rtol=1e-9, atol=1e-9)
    single, _ = dirichlet_multinomial_loss(GZ2, guess.detach().float(), torch.from_numpy(counts).float())
    np.testing.assert_allclose(single.item(), loss.item(), rtol=1e-4, atol=0.02)
    loss.backward()
    unknown = np.repeat(~whole, [len(question.answers) for question in GZ2.questions], axis=1)
    assert (guess.grad.numpy()[unknown] == 0).all() and (guess.grad.numpy()[0, :17] == 0).all()
    if share_unknown == 0:
        assert (guess.grad.numpy()[1:] != 0).any(axis=1).all()


def test_cross_entropy_is_the_mean_over_known_classes():
    logits = torch.randn(4, 3).requires_grad_()
    classes = torch.tensor([2, -1, 0, -1])
    loss = masked_cross_entropy(logits, classes)
    shares = logits.detach().double().softmax(dim=1).numpy()
    np.testing.assert_allclose(loss.item(), -np.log(shares[[0, 2], [2, 0]]).mean(), rtol=1e-5)
    loss.backward()
    assert (logits.grad[[1, 3]] == 0).all()


def test_cross_entropy_of_nothing_known_is_zero():
    logits = torch.randn(4, 3).requires_grad_()
    loss = masked_cross_entropy(logits, torch.full((4,), -1))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()
