"""Pictures unlike the training galaxies are flagged, and few of those that are like them."""

import numpy as np
import pytest

from galvote.calibration import OodDetector, measure_false_alarms
from galvote.errors import GalvoteError


def draw(count: int, seed: int) -> np.ndarray:
    """Features that spread along four directions of forty, as pooled activations do."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(4, 40))
    along = rng.normal(size=(count, 4)) * [1.0, 0.5, 0.3, 0.2]
    spread = 0.03 * rng.normal(size=(count, 40))
    return (
        rng.uniform(0.5, 2, size=(count, 1)) * np.maximum(2 + along @ directions * 0.3 + spread, 0)
    ).astype(np.float32)


def flagged(galaxies: OodDetector, features: np.ndarray) -> np.ndarray:
    """What the flag says of features alone: their pictures show something."""
    noise = np.random.default_rng(8).integers(0, 256, (len(features), 4, 4, 3), dtype=np.uint8)
    return galaxies.judge(features, noise)[0]


@pytest.fixture(scope="module")
def galaxies() -> OodDetector:
    return OodDetector.fit(draw(1000, 0), draw(500, 1), false_alarms=0.02, axes=4)


def test_few_galaxies_are_flagged(galaxies):
    assert flagged(galaxies, draw(5000, 2)).mean() == pytest.approx(0.02, abs=0.012)


def test_other_features_are_flagged(galaxies):
    rng = np.random.default_rng(3)
    further = draw(50, 4).mean(axis=0) + 4 * (draw(50, 4) - draw(50, 4).mean(axis=0))
    assert flagged(galaxies, rng.uniform(0, 2, (50, 40)).astype(np.float32)).all(), (
        "outside of the galaxies' directions"
    )
    assert flagged(galaxies, further.astype(np.float32)).mean() > 0.5, "too far along them"
    assert flagged(galaxies, np.zeros((1, 40), np.float32)).all(), "none at all"


def test_pictures_of_one_colour_are_flagged_whatever_their_features(galaxies):
    features = draw(4, 2)
    assert not galaxies.distances(features).max() > galaxies.threshold
    cutouts = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    cutouts[1] = (10, 20, 30)
    cutouts[2, :, :, 1] = np.arange(8)
    cutouts[3, 0, 7] = 1
    flags, scores = galaxies.judge(features, cutouts)
    assert flags.tolist() == [True, True, False, False]
    assert scores[:2].tolist() == [100, 100]


def test_only_the_direction_counts(galaxies):
    features = draw(20, 5)
    np.testing.assert_allclose(galaxies.distances(7 * features), galaxies.distances(features), rtol=1e-4)


def test_more_axes_than_features_or_galaxies_are_not_needed():
    found = OodDetector.fit(draw(30, 0), draw(100, 1))
    assert found.axes.shape[0] < 30
    assert np.isfinite(found.distances(draw(10, 2))).all()
    with pytest.raises(GalvoteError, match="some hundreds"):
        OodDetector.fit(draw(1, 0), draw(100, 1))


def test_false_alarms_are_measured_on_other_galaxies(galaxies):
    share, spread = measure_false_alarms(galaxies.distances(draw(500, 6)), 0.02)
    assert share == pytest.approx(0.02, abs=0.008)
    assert 0 < spread < 0.02
