import numpy as np
import pytest

from galvote.metrics import measure_reliability
from galvote.trees import load_tree

GZ2 = load_tree("gz2")


def constant(value: float, galaxies: int = 20) -> np.ndarray:
    return np.full((galaxies, len(GZ2)), value)


def test_predictions_that_come_true_are_reliable(crowd):
    found = measure_reliability(crowd.actual, crowd.actual, GZ2)
    assert list(found) == [question.name for question in GZ2.questions]
    for name, reliability in found.items():
        assert reliability.error == pytest.approx(0)
        assert reliability.count == crowd.actual[:, GZ2.slices[name]].size
        assert all(each.lower <= each.predicted <= each.upper for each in reliability.bins)


def test_predictions_that_are_too_high_by_a_tenth():
    found = measure_reliability(constant(0.75), constant(0.65), GZ2)["spiral"]
    (only,) = found.bins
    assert (only.lower, only.upper, only.count) == (0.7, 0.8, 40)
    assert (only.predicted, only.voted, only.low, only.high) == pytest.approx((0.75, 0.65, 0.65, 0.65))
    assert found.error == pytest.approx(0.1)


def test_bins_weigh_as_much_as_they_have_answers():
    predicted = np.concatenate([constant(0.05, 30), constant(0.95, 10)])
    actual = np.concatenate([constant(0.05, 30), constant(0.55, 10)])
    found = measure_reliability(predicted, actual, GZ2)["bar"]
    assert found.error == pytest.approx(0.1)
    assert found.worst.predicted == pytest.approx(0.95)


def test_zero_one_and_beyond_lie_in_the_outer_bins():
    predicted = np.concatenate([constant(-1e-7, 3), constant(1 + 1e-7, 4)]).astype(np.float32)
    first, last = measure_reliability(predicted, predicted.clip(0, 1), GZ2)["odd"].bins
    assert (first.lower, first.count, last.upper, last.count) == (0, 6, 1, 8)


def test_unknown_votes_are_left_out(crowd):
    actual = crowd.actual.copy()
    actual[:, GZ2.slices["arm_number"]] = np.nan
    actual[:10, GZ2.slices["spiral"]] = np.nan
    found = measure_reliability(crowd.predicted, actual, GZ2)
    assert "arm_number" not in found
    assert found["spiral"].count == 60
