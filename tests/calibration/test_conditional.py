"""Intervals of the fractions among those who were asked hold, and are wide where few are."""

from functools import partial

import numpy as np
import pytest

from galvote.calibration import LEAST_ASKED, ConditionalIntervals, cross_fit, known_conditional
from galvote.trees import Answer, DecisionTree, Question, to_conditional

TREE = DecisionTree(
    "discs",
    (
        Question("shape", "Disc?", (Answer("disc", leads_to="bar"), Answer("ball"))),
        Question("bar", "Bar?", (Answer("bar"), Answer("plain"))),
    ),
)


def draw(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Forty volunteers vote; the model knows the chances of their answers."""
    rng = np.random.default_rng(seed)
    disc, bar = rng.uniform(size=(2, count))
    said_disc = rng.binomial(40, disc)
    said_bar = rng.binomial(said_disc, bar)
    columns = [disc, 1 - disc, disc * bar, disc * (1 - bar)]
    votes = [said_disc, 40 - said_disc, said_bar, said_disc - said_bar]
    return np.stack(columns, axis=1), np.stack(votes, axis=1) / 40


def test_they_hold_however_many_are_asked():
    predicted, actual = draw(2000)
    known = known_conditional(TREE, predicted, actual)
    fit = partial(ConditionalIntervals.fit, TREE)
    (measured,) = cross_fit(predicted, known, TREE, (0.9,), fit=fit, halves=10)
    assert measured.coverage.questions["bar"] == pytest.approx(0.9, abs=0.03)
    low, high = fit(predicted, known).ends(predicted, 0.9)
    held = (low <= known) & (known <= high)
    disc = predicted[:, 0]
    for rows in ((disc > LEAST_ASKED) & (disc < 0.3), (disc >= 0.3) & (disc < 0.6), disc >= 0.6):
        rows &= np.isfinite(known[:, 2])
        assert held[rows, 2].mean() == pytest.approx(0.9, abs=0.05)
    widths = high[:, 2] - low[:, 2]
    assert widths[(disc > 0.15) & (disc < 0.3)].mean() > 1.5 * widths[disc > 0.8].mean()


def test_where_hardly_anybody_is_asked_they_say_nothing():
    predicted, actual = draw(500)
    known = known_conditional(TREE, predicted, actual)
    few = predicted[:, 0] < LEAST_ASKED
    assert np.isnan(known[few, 2:]).all() and np.isfinite(known[:, :2]).all()
    low, high = ConditionalIntervals.fit(TREE, predicted, known).ends(predicted, 0.9)
    assert (low[few, 2:] == 0).all() and (high[few, 2:] == 1).all()
    conditional = to_conditional(TREE, predicted)
    assert (low <= conditional).all() and (conditional <= high).all()


def test_a_question_that_is_put_to_nobody_at_all_does_no_harm():
    predicted, actual = draw(500)
    predicted[:5] = [0, 1, 0, 0]
    low, high = ConditionalIntervals.fit(TREE, predicted, known_conditional(TREE, predicted, actual)).ends(
        predicted, 0.9
    )
    assert (low[:5, 2:] == 0).all() and (high[:5, 2:] == 1).all()
    assert ((high - low)[predicted[:, 0] > 0.9, 2] < 0.6).all()
