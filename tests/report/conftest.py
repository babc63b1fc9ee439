"""Votes of a made-up crowd, and predictions that are somewhat wrong."""

from typing import NamedTuple

import numpy as np
import pytest

from galvote.trees import GZ2, to_cumulative


class Crowd(NamedTuple):
    ids: list[str]
    predicted: np.ndarray
    actual: np.ndarray


@pytest.fixture
def crowd() -> Crowd:
    rng = np.random.default_rng(11)

    def fractions() -> np.ndarray:
        questions = [rng.dirichlet(np.ones(len(question.answers)), size=40) for question in GZ2.questions]
        return to_cumulative(GZ2, np.concatenate(questions, axis=1))

    actual = fractions()
    # A mixture of two galaxies that obey the tree obeys it as well.
    share = rng.uniform(0, 0.6, size=(40, 1))
    return Crowd([f"galaxy {i:02}" for i in range(40)], share * fractions() + (1 - share) * actual, actual)
