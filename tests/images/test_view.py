"""Views turn, flip, magnify and shift a cutout, and agree with the plain average where they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galvote.images import View, tta_views, warp_cutout


@pytest.fixture
def cutout() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


def block_means(rgb: np.ndarray, factor: int) -> np.ndarray:
    side = len(rgb) // factor
    return rgb.reshape(side, factor, side, factor, 3).mean((1, 3))


def smooth(size: int) -> np.ndarray:
    """Return a smooth picture without symmetry."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    spots = [np.exp(-((y - b) ** 2 + (x - a) ** 2) / 0.02) for a, b in ((0.3, 0.4), (0.6, 0.45), (0.5, 0.7))]
    return np.stack([200 * spot + 20 for spot in spots], axis=-1).astype(np.uint8)


def test_identity_is_the_cutout_itself_or_its_average(cutout: np.ndarray) -> None:
    assert np.array_equal(warp_cutout(cutout, View(), 128), cutout)
    assert np.abs(warp_cutout(cutout, View(), 64) - block_means(cutout, 2)).max() <= 1
    assert np.abs(warp_cutout(cutout, View(), 32) - block_means(cutout, 4)).max() <= 1


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_quarter_turns_and_flips_are_exact(cutout: np.ndarray, turns: int, flip: bool) -> None:
    expected = np.rot90(cutout[:, ::-1] if flip else cutout, turns)

    assert np.array_equal(warp_cutout(cutout, View(angle=90.0 * turns, flip=flip), 128), expected)


def test_zoom_shows_the_central_part() -> None:
    magnified = warp_cutout(smooth(256), View(zoom=2.0), 128).astype(int)

    assert np.abs(magnified - smooth(256)[64:192, 64:192]).max() <= 1


def test_shift_moves_the_galaxy_right_and_down(cutout: np.ndarray) -> None:
    shifted = warp_cutout(cutout, View(shift=(0.125, 0.25)), 128)

    assert np.array_equal(shifted[32:, 16:], cutout[:-32, :-16])
    assert np.array_equal(shifted[31], shifted[32])  # mirrored beyond the edge, not black


@given(angle=st.floats(-360, 360), flip=st.booleans(), zoom=st.floats(0.8, 1.25))
def test_a_view_of_the_large_and_of_the_small_cutout_agree(angle: float, flip: bool, zoom: float) -> None:
    view = View(angle, flip, zoom, (0.03, -0.02))

    of_large = warp_cutout(smooth(256), view, 64).astype(int)
    of_small = warp_cutout(smooth(128), view, 64).astype(int)

    assert np.abs(of_large - of_small)[8:-8, 8:-8].max() <= 3


@given(angle=st.floats(0, 360), flip=st.booleans(), zoom=st.floats(0.7, 1.4), right=st.floats(-0.2, 0.2))
def test_matrix_is_the_map_that_the_warp_follows(angle: float, flip: bool, zoom: float, right: float) -> None:
    view, size, pixels = View(angle, flip, zoom, (right, 0.05)), 128, 96
    cutout = smooth(size)
    y, x = np.mgrid[:pixels, :pixels]
    u, v = np.moveaxis(np.stack([x, y, np.ones_like(x)], axis=-1) @ view.matrix(size, pixels).T, -1, 0)
    inside = (u > 1) & (u < size - 2) & (v > 1) & (v < size - 2)
    a, b = u[inside].astype(int), v[inside].astype(int)
    s, t = (u[inside] - a)[:, None], (v[inside] - b)[:, None]
    expected = (1 - t) * ((1 - s) * cutout[b, a] + s * cutout[b, a + 1])
    expected += t * ((1 - s) * cutout[b + 1, a] + s * cutout[b + 1, a + 1])

    assert np.abs(warp_cutout(cutout, view, pixels)[inside] - expected).max() <= 1.5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 16, 60])
def test_standard_views_are_different_and_begin_with_the_identity(count: int) -> None:
    views = tta_views(count)

    assert len(set(views)) == count
    assert views[0] == View()


def test_eight_standard_views_are_the_symmetries_of_the_square(cutout: np.ndarray) -> None:
    shown = {warp_cutout(cutout, view, 128).tobytes() for view in tta_views(8)}
    symmetries = {
        np.ascontiguousarray(np.rot90(side, turns)).tobytes()
        for side in (cutout, cutout[:, ::-1])
        for turns in range(4)
    }

    assert shown == symmetries


def test_no_views_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        tta_views(0)
