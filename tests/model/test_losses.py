"""Losses that know what is unknown."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galvote.model import masked_cross_entropy, masked_squared_error


@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1), st.floats(0, 1))
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
