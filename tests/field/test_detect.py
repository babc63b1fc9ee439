"""Fields of galaxies whose places and sizes are known."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jaxtyping import UInt8

from galvote.errors import GalvoteError
from galvote.field import detect
from galvote.field.detect import cut_out, find_galaxies
from galvote.images import Geometry, decode_image, to_cutout
from galvote.images.measure import FieldGalaxy, petrosian_r90

EXPONENTIAL_R90 = 3.89  # scale lengths that hold 90 % of an exponential disc
GAUSSIAN_R90 = 2.146  # standard deviations that hold 90 % of a Gaussian: √(2 ln 10)


@dataclass(frozen=True)
class Blob:
    x: float
    y: float
    r90: float
    disc: bool = True
    axis_ratio: float = 1.0
    angle: float = 0.0
    peak: float = 1.0


def light_of(blobs: Sequence[Blob], height: int, width: int) -> np.ndarray:
    """Light of all blobs on a linear scale, in which 1 is white."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    light = np.zeros((height, width))
    for blob in blobs:
        turn = np.deg2rad(blob.angle)
        dx, dy = columns - blob.x, rows - blob.y
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = (dy * np.cos(turn) - dx * np.sin(turn)) / blob.axis_ratio
        radius = np.hypot(along, across) / blob.r90
        light += blob.peak * (
            np.exp(-radius * EXPONENTIAL_R90) if blob.disc else np.exp(-((radius * GAUSSIAN_R90) ** 2) / 2)
        )
    return light


def render(blobs: Sequence[Blob], height: int = 400, width: int = 500) -> UInt8[np.ndarray, "y x 3"]:
    """Stretch the blobs by a square root, as pictures for the eye are, on a noisy sky."""
    noise = np.random.default_rng(7).normal(0, 4, (height, width, 3))
    image = 20 + 200 * np.sqrt(light_of(blobs, height, width))[:, :, None] + noise
    return np.clip(image, 0, 255).astype(np.uint8)


def nearest(galaxies: Sequence[FieldGalaxy], blob: Blob) -> FieldGalaxy:
    return min(galaxies, key=lambda galaxy: np.hypot(galaxy.x - blob.x, galaxy.y - blob.y))


SCATTERED = (
    Blob(80.3, 70.6, 8),
    Blob(220.5, 90.0, 20),
    Blob(400.2, 110.9, 12, disc=False),
    Blob(110.0, 290.4, 30),
    Blob(300.7, 300.2, 15),
    Blob(430.0, 330.0, 6, disc=False),
)


def test_centres_are_found_within_a_pixel_and_sizes_within_15_percent() -> None:
    found = find_galaxies(render(SCATTERED)).galaxies
    assert len(found) == len(SCATTERED)
    for blob in SCATTERED:
        galaxy = nearest(found, blob)
        assert np.hypot(galaxy.x - blob.x, galaxy.y - blob.y) < 1
        assert galaxy.r90 == pytest.approx(blob.r90, rel=0.15)
        assert galaxy.axis_ratio > 0.85
        assert not galaxy.touches_edge
        assert not galaxy.crowded
    assert [galaxy.number for galaxy in found] == [1, 2, 3, 4, 5, 6]
    assert sorted(found, key=lambda galaxy: -galaxy.flux) == list(found)


def test_an_elongated_galaxy_has_its_axis_ratio_and_angle() -> None:
    blob = Blob(250, 200, 25, axis_ratio=0.4, angle=30)
    (galaxy,) = find_galaxies(render([blob])).galaxies
    assert galaxy.axis_ratio == pytest.approx(0.4, abs=0.08)
    assert galaxy.angle == pytest.approx(30, abs=4)


def test_a_close_pair_is_taken_apart() -> None:
    pair = (Blob(240, 200, 12, disc=False), Blob(260, 205, 10, disc=False, peak=0.7))
    found = find_galaxies(render(pair)).galaxies
    assert len(found) == 2
    for blob in pair:
        galaxy = nearest(found, blob)
        assert np.hypot(galaxy.x - blob.x, galaxy.y - blob.y) < 1
        assert galaxy.r90 == pytest.approx(blob.r90, rel=0.15)


def test_a_galaxy_with_a_neighbour_upon_it_is_crowded() -> None:
    large, small, apart = Blob(240, 200, 30), Blob(261, 200, 11, disc=False, peak=0.8), Blob(400, 200, 10)
    found = find_galaxies(render([large, small, apart])).galaxies
    assert nearest(found, large).crowded
    assert not nearest(found, apart).crowded


@pytest.mark.parametrize("sky", [0, 20, 128, 255])
def test_nothing_is_found_where_nothing_is(sky: int) -> None:
    assert find_galaxies(np.full((300, 200, 3), sky, np.uint8)).galaxies == ()
    noisy = np.random.default_rng(0).normal(sky, 6, (600, 600, 3)).clip(0, 255).astype(np.uint8)
    assert find_galaxies(noisy).galaxies == ()


def test_what_is_too_small_is_counted_and_left_out() -> None:
    blobs = (Blob(100, 100, 15), Blob(300, 100, 3, disc=False), Blob(300, 300, 3.5, disc=False))
    found = find_galaxies(render(blobs))
    assert len(found.galaxies) == 1
    assert found.too_small == 2
    assert len(find_galaxies(render(blobs), min_radius=2.0).galaxies) == 3


def test_a_galaxy_at_the_edge_says_so() -> None:
    found = find_galaxies(render([Blob(12, 200, 10), Blob(250, 200, 10)])).galaxies
    assert nearest(found, Blob(12, 200, 10)).touches_edge
    assert not nearest(found, Blob(250, 200, 10)).touches_edge


def test_one_galaxy_that_fills_the_picture_is_found() -> None:
    (galaxy,) = find_galaxies(render([Blob(60, 60, 30)], 120, 120)).galaxies
    assert galaxy.r90 == pytest.approx(30, rel=0.2)


def test_galaxies_on_the_borders_of_tiles_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_TILE", 110)
    monkeypatch.setattr(detect, "_MARGIN", 90)
    blobs = (
        Blob(110, 110, 12),
        Blob(219.5, 50, 9),
        Blob(330, 329.7, 8),
        Blob(60, 220.4, 10),
        Blob(405, 160, 9),
    )
    tiles = list[tuple[int, int]]()
    found = find_galaxies(render(blobs), on_progress=lambda *progress: tiles.append(progress)).galaxies
    assert len(found) == len(blobs)
    for blob in blobs:
        assert nearest(found, blob).r90 == pytest.approx(blob.r90, rel=0.15)
    assert tiles == [(done, 20) for done in range(1, 21)]


def test_galaxies_of_a_fits_picture_are_found() -> None:
    light = 100 * light_of(SCATTERED, 400, 500)
    planes = np.stack([light, light, light]) + np.random.default_rng(1).normal(0, 0.5, (3, 400, 500))
    data = io.BytesIO()
    fits.PrimaryHDU(planes.astype(np.float32)).writeto(data)
    rgb = decode_image(data.getvalue())
    found = find_galaxies(rgb).galaxies
    assert len(found) == len(SCATTERED)
    for blob in SCATTERED:
        # `decode_image` shows the first row of a FITS plane at the bottom, as astronomers do.
        assert min(np.hypot(galaxy.x - blob.x, 399 - galaxy.y - blob.y) for galaxy in found) < 1


def test_petrosian_r90_of_known_profiles() -> None:
    rings = np.arange(200) + 0.5
    r90, flux = petrosian_r90(np.exp(-rings / 8))
    assert r90 == pytest.approx(8 * EXPONENTIAL_R90, rel=0.03)
    assert flux == pytest.approx(2 * np.pi * 64, rel=0.02)
    assert petrosian_r90(np.exp(-((rings / 10) ** 2) / 2))[0] == pytest.approx(10 * GAUSSIAN_R90, rel=0.02)
    assert petrosian_r90(np.where(rings < 20, 1.0, 0.0))[0] == pytest.approx(20 * np.sqrt(0.9), rel=0.02)


def test_a_cutout_has_its_galaxy_in_the_middle_at_the_scale_of_gz2() -> None:
    blob = Blob(220.4, 190.7, 20)
    (galaxy,) = find_galaxies(render([blob])).galaxies
    cutout = cut_out(render([blob]), galaxy, Geometry(field_of_view=5.12, pixels=128))
    (again,) = find_galaxies(cutout).galaxies
    assert (again.x, again.y) == pytest.approx((63.5, 63.5), abs=0.7)
    assert again.r90 == pytest.approx(50 * 128 / 256, rel=0.1)


def test_a_small_galaxy_is_enlarged_without_moving() -> None:
    galaxy = FieldGalaxy(50.25, 40.5, 5.0, 1.0, 0.0, 1.0, crowded=False)
    wide = render([Blob(50.25, 40.5, 5, disc=False)])
    image = cut_out(wide, galaxy, Geometry(field_of_view=5.12, pixels=256))
    light = np.clip(image.mean(axis=2) - 60, 0, None)
    rows, columns = np.mgrid[:256, :256]
    assert (columns * light).sum() / light.sum() == pytest.approx(127.5, abs=3)
    assert (rows * light).sum() / light.sum() == pytest.approx(127.5, abs=3)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (499.0, 0.0), (0.0, 399.0), (499.0, 399.0)])
def test_beyond_the_edge_of_the_field_there_is_sky(x: float, y: float) -> None:
    galaxy = FieldGalaxy(x, y, 10.0, 1.0, 0.0, 1.0, crowded=False)
    image = cut_out(render([Blob(x, y, 10)]), galaxy, Geometry(field_of_view=5.12, pixels=128))
    outside = image[0 if y == 0 else -1, 0 if x == 0 else -1]
    assert np.abs(outside.astype(int) - 20).max() <= 6
    assert image[63:65, 63:65].min() > 120


def test_without_scikit_image_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galvote.images.measure.find_spec", lambda name: None)
    with pytest.raises(GalvoteError, match=r"pip install 'galvote\[field\]'"):
        find_galaxies(render([]))


def test_real_gz2_galaxies_measure_50_gz2_pixels(real_galaxies: Path) -> None:
    files = sorted((real_galaxies / "galaxyzoo" / "images_training").glob("*.jpg"))[:30]
    sizes = list[float]()
    for file in files:
        # As small as galaxies of a wide picture are
        frame = to_cutout(decode_image(file.read_bytes()), Geometry(field_of_view=8.48, pixels=106))
        found = find_galaxies(frame, min_radius=3.0).galaxies
        sizes += [4 * galaxy.r90 for galaxy in found if max(abs(galaxy.x - 52.5), abs(galaxy.y - 52.5)) < 4]
    assert len(sizes) > 25
    assert np.median(sizes) == pytest.approx(50, abs=5)
