"""Intervals hold the votes of galaxies that they were not calibrated on, as often as they promise."""

from typing import NamedTuple

import numpy as np
import pytest

from galvote.calibration import Intervals, cross_fit
from galvote.calibration.conformal import lower_quantile, random_halves, upper_quantile
from galvote.errors import FractionError
from galvote.metrics import measure_coverage
from galvote.trees import load_tree, to_cumulative

GZ2 = load_tree("gz2")


class Galaxies(NamedTuple):
    predicted: np.ndarray
    actual: np.ndarray


def draw(count: int, seed: int) -> Galaxies:
    """Predictions down the tree, and the votes of 40 volunteers who half agree with them: many are 0."""
    rng = np.random.default_rng(seed)

    def fractions() -> np.ndarray:
        questions = [rng.dirichlet(np.full(len(q.answers), 0.4), size=count) for q in GZ2.questions]
        return to_cumulative(GZ2, np.concatenate(questions, axis=1))

    predicted = fractions()
    believed = np.clip(predicted + 0.1 * (fractions() - predicted), 0, 1)
    return Galaxies(predicted.astype(np.float32), rng.binomial(40, believed) / 40)


@pytest.fixture(scope="module")
def galaxies() -> Galaxies:
    return draw(400, seed=0)


@pytest.fixture(scope="module")
def fresh() -> Galaxies:
    return draw(3000, seed=1)


@pytest.fixture(scope="module")
def intervals(galaxies) -> Intervals:
    return Intervals.fit(galaxies.predicted, galaxies.actual)


def held(fresh: Galaxies, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return (ends[0] <= fresh.actual) & (fresh.actual <= ends[1])


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
def test_as_many_votes_are_held_as_promised(intervals, fresh, level):
    within = held(fresh, intervals.ends(fresh.predicted, level))
    assert within.mean() == pytest.approx(level, abs=0.025)
    # Each column by itself: 400 galaxies tell its quantiles to about 2 %; zeros may raise it, not lower it.
    assert within.mean(axis=0).min() > level - 0.06


def test_the_prediction_lies_between_the_ends(intervals, fresh):
    for level in (0.01, 0.3, 0.9, 0.99):
        low, high = intervals.ends(fresh.predicted, level)
        assert low.dtype == high.dtype == np.float32
        assert (low >= 0).all() and (high <= 1).all()
        assert (low <= fresh.predicted).all() and (fresh.predicted <= high).all()


def test_a_higher_level_holds_what_a_lower_one_holds(intervals, fresh):
    low, high = intervals.ends(fresh.predicted, 0.02)
    for level in np.arange(5, 100, 5) / 100:
        wider_low, wider_high = intervals.ends(fresh.predicted, float(level))
        assert (wider_low <= low).all() and (high <= wider_high).all()
        low, high = wider_low, wider_high


def test_widths_follow_the_doubt(intervals):
    sure, torn = np.full((1, 37), 0.01, np.float32), np.full((1, 37), 0.5, np.float32)
    widths = [float(np.subtract(*intervals.ends(p, 0.9)[::-1]).mean()) for p in (sure, torn)]
    assert 0 < widths[0] < 0.6 * widths[1]


def test_the_promise_is_kept_where_volunteers_disagree(galaxies, fresh, intervals):
    apart = np.quantile(np.abs(galaxies.actual - galaxies.predicted), 0.9, axis=0)
    torn = (fresh.predicted > 0.35) & (fresh.predicted < 0.65)
    own = held(fresh, intervals.ends(fresh.predicted, 0.9))[torn].mean()
    one_width = held(fresh, (fresh.predicted - apart, fresh.predicted + apart))[torn].mean()
    assert one_width < own - 0.04
    assert own > 0.84


def test_levels_are_rounded_up(intervals, fresh):
    for asked, given in ((0.683, 0.69), (0.9, 0.9), (0.991, 0.995)):
        for end, same in zip(
            intervals.ends(fresh.predicted, asked), intervals.ends(fresh.predicted, given), strict=True
        ):
            np.testing.assert_array_equal(end, same)
    low, high = intervals.ends(fresh.predicted, 0.999)
    assert (low == 0).all() and (high == 1).all()


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, -0.5, float("nan")])
def test_a_level_that_is_none_is_refused(intervals, fresh, level):
    with pytest.raises(FractionError, match="between 0 and 1"):
        intervals.ends(fresh.predicted, level)


def test_unknown_votes_are_left_out(galaxies, fresh):
    actual = galaxies.actual.copy()
    actual[100:, 0] = np.nan
    actual[:, 5] = np.nan
    found = Intervals.fit(galaxies.predicted, actual)
    low, high = found.ends(fresh.predicted, 0.9)
    assert (low[:, 5] == 0).all() and (high[:, 5] == 1).all()
    fewer = Intervals.fit(galaxies.predicted[:100], galaxies.actual[:100]).ends(fresh.predicted, 0.9)
    np.testing.assert_allclose(high[:, 0], fewer[1][:, 0], atol=1e-6)
    whole = Intervals.fit(galaxies.predicted, galaxies.actual).ends(fresh.predicted, 0.9)
    np.testing.assert_array_equal(high[:, 7], whole[1][:, 7])


def test_too_few_galaxies_promise_nothing(galaxies, fresh):
    low, high = Intervals.fit(galaxies.predicted[:5], galaxies.actual[:5]).ends(fresh.predicted, 0.9)
    assert (low == 0).all() and (high == 1).all()


def test_a_column_nobody_ever_voted_for(galaxies, fresh):
    actual = galaxies.actual.copy()
    actual[:, 36] = 0
    low, high = Intervals.fit(galaxies.predicted, actual).ends(fresh.predicted, 0.9)
    assert np.isfinite(high).all()
    assert (low[:, 36] == 0).mean() > 0.85


def test_quantiles_count_the_next_galaxy():
    scores = np.arange(1.0, 20.0)
    np.testing.assert_array_equal(
        upper_quantile(scores, np.array([0.5, 0.9, 0.95, 0.96])), [10, 18, 19, np.inf]
    )
    np.testing.assert_array_equal(
        lower_quantile(scores, np.array([0.5, 0.1, 0.05, 0.04])), [10, 2, 1, -np.inf]
    )


def test_halves_are_halves():
    halves = list(random_halves(11, 3))
    assert [int(half.sum()) for half in halves] == [5, 5, 5]
    assert (halves[0] != halves[1]).any()
    np.testing.assert_array_equal(halves[2], list(random_halves(11, 3))[2])


def test_cross_fit_foretells_the_coverage(galaxies, fresh, intervals):
    found = cross_fit(galaxies.predicted, galaxies.actual, GZ2, (0.8, 0.9), halves=5)
    assert [one.level for one in found] == [0.8, 0.9]
    real = measure_coverage(fresh.actual, *intervals.ends(fresh.predicted, 0.9), GZ2)
    assert found[1].coverage.overall == pytest.approx(real.overall, abs=0.02)
    assert found[1].coverage.mean_width == pytest.approx(real.mean_width, rel=0.1)
    assert found[1].coverage.questions.keys() == set(GZ2.slices)
    assert 0 < found[1].spread < 0.03


def test_they_are_wider_for_surprising_images_and_hold_there_too(galaxies, fresh):
    def blur(drawn: Galaxies, seed: int) -> tuple[Galaxies, np.ndarray]:
        """Predictions are wrong by as much as the image is surprising; of half of them it is not."""
        rng = np.random.default_rng(seed)
        surprisal = rng.exponential(size=len(drawn.predicted)) + 4 * (np.arange(len(drawn.predicted)) % 2)
        wrong = drawn.predicted + 0.03 * surprisal[:, None] * rng.normal(size=drawn.predicted.shape)
        return Galaxies(wrong.clip(0, 1).astype(np.float32), drawn.actual), surprisal

    (learned, its), (new, surprisal) = blur(galaxies, 2), blur(fresh, 3)
    low, high = Intervals.fit(*learned, its).ends(new.predicted, 0.9, surprisal)
    blind = Intervals.fit(*learned).ends(new.predicted, 0.9)
    strange = surprisal > 4
    assert held(new, (low, high))[strange].mean() == pytest.approx(0.9, abs=0.03)
    assert held(new, blind)[strange].mean() < held(new, (low, high))[strange].mean() - 0.02
    assert (high - low)[strange].mean() > 1.3 * (high - low)[~strange].mean()


def test_copies_of_a_galaxy_are_in_one_half(galaxies):
    noise = np.random.default_rng(5).normal(0, 0.1, galaxies.predicted.shape)
    changed = (galaxies.predicted + noise).clip(0, 1).astype(np.float32)
    twice = np.concatenate([galaxies.predicted, changed]), np.concatenate([galaxies.actual] * 2)
    surprisal = np.repeat([0.5, 6.0], len(galaxies.actual))
    found = [
        cross_fit(*twice, GZ2, (0.9,), surprisal=surprisal, copies=2, copy=copy, halves=4)[0].coverage
        for copy in range(2)
    ]
    assert [one.overall for one in found] == pytest.approx([0.9, 0.9], abs=0.04)
    assert found[1].mean_width > 1.1 * found[0].mean_width
