"""The size of the galaxy in the middle, and images that are brought to scale by it."""

import math

import numpy as np
import pytest

import galvote
from galvote.images import Geometry, scale
from galvote.images.scale import Shown, describe_scale
from galvote.simulate import simulate_galaxies

CUTOUT, SEEN = Geometry(), Geometry(field_of_view=4.16, pixels=96)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [galaxy.image for galaxy in simulate_galaxies(12, seed=2, pixels=424)]


def show(image: np.ndarray | bytes, **how: object) -> Shown:
    (shown,) = scale.finish([scale.show(image, CUTOUT, SEEN, **how)])
    return shown


def measure(image: np.ndarray) -> float | None:
    return scale.measure([image])[0]


def middle(frame: np.ndarray, width: int) -> np.ndarray:
    start = (len(frame) - width) // 2
    return np.ascontiguousarray(frame[start : start + width, start : start + width])


def test_cuts_of_a_frame_are_shown_at_its_scale(frames):
    for width, least in ((424, 0), (250, 8), (190, 11)):
        shown = [show(middle(frame, width), measured="applied") for frame in frames]
        factors = np.log([one.factor * width / 424 for one in shown])
        assert abs(np.median(factors)) < 0.12 and np.abs(factors).max() < 0.6
        assert sum(one.factor > 1.1 for one in shown) >= least
    whole = [show(frame).cutout for frame in frames]
    assert np.array_equal(show(frames[0], r90=50.0).cutout, whole[0])


def test_a_small_galaxy_in_a_wide_image_is_found(frames):
    wide = np.zeros((2000, 2000, 3), np.uint8)
    wide[788:1212, 788:1212] = frames[0]
    assert measure(wide) == pytest.approx(50 / 2000, rel=0.3)


@pytest.mark.parametrize(
    "image",
    [np.zeros((60, 90, 3), np.uint8), np.full((9, 9, 3), 200, np.uint8), np.full((1, 3, 3), 9, np.uint8)],
)
def test_nothing_is_measured_where_nothing_is(image):
    assert measure(image) is None
    shown = show(image, measured="applied")
    assert (shown.factor, math.isnan(shown.r90)) == (1.0, True) and "cannot be measured" in shown.remark


def test_what_is_beyond_the_edge_is_sky_and_said(frames):
    whole = show(frames[0])
    rim = show(middle(frames[0], 220), r90=50.0)
    assert (
        rim.remark == ""
        and np.abs(rim.cutout[30:-30].astype(int) - whole.cutout[30:-30])[:, 30:-30].max() <= 1
    )
    padded = show(middle(frames[0], 150), r90=50.0)
    assert "72% of the width" in padded.remark and (padded.cutout[:20] == padded.cutout[0, 0]).all()


def test_the_scale_of_images_is_said_once_it_differs(frames):
    assert describe_scale(show(frame, measured="only") for frame in frames) == ""
    cut = [show(middle(frame, 240), measured="only") for frame in frames]
    said = describe_scale(cut)
    assert "larger than in GZ2 frames" in said and "--scale auto" in said and "12 images" in said
    assert all(one.factor == 1 for one in cut)


@pytest.mark.parametrize(
    ("size", "count", "said"),
    [
        (1.2, 100, "20% larger"),
        (1 / 1.2, 100, "17% smaller"),
        (1.1, 100, ""),
        (1 / 1.1, 100, ""),
        (2.0, 1, ""),
        (2.5, 1, "150% larger"),
        (0.4, 1, "60% smaller"),
    ],
)
def test_how_far_off_a_scale_may_be(size, count, said):
    blank = np.zeros((1, 1, 3), np.uint8)
    remark = describe_scale([Shown(blank, measured=size)] * count)
    assert said in remark if said else not remark


def test_no_example_alone_is_remarkable():
    for path in galvote.example_images():
        assert describe_scale([show(path.read_bytes(), measured="only")]) == "", path.stem


def test_a_neighbour_does_not_count(frames):
    alone, beside = frames[0], frames[0].copy()
    beside[20:160, 300:420] = np.maximum(beside[20:160, 300:420], alone[142:282, 152:272])
    assert measure(beside) == pytest.approx(measure(alone), rel=0.15)


def test_galaxies_measured_together_are_measured_as_alone(frames):
    images = [*frames[:5], np.zeros((60, 90, 3), np.uint8), middle(frames[5], 190), frames[6][::3, ::3]]
    assert scale.measure(images) == [measure(image) for image in images]
