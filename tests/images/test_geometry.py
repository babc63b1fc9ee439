"""A picture is brought to one geometry whatever its size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from galvote.errors import ImageError
from galvote.images import COMPACT, Geometry, decode_image, to_cutout


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def block_means(rgb: np.ndarray, factor: int) -> np.ndarray:
    side = len(rgb) // factor
    return rgb.reshape(side, factor, side, factor, 3).mean((1, 3))


def test_the_challenge_frame_is_averaged_over_its_central_256_pixels() -> None:
    frame = noise(424, 424)
    centre = frame[84:340, 84:340]

    assert np.abs(to_cutout(frame, COMPACT) - block_means(centre, 2)).max() <= 0.5
    assert np.abs(to_cutout(frame, Geometry(pixels=64)) - block_means(centre, 4)).max() <= 0.5
    thirds = centre.repeat(3, axis=0).repeat(3, axis=1)
    assert np.abs(to_cutout(frame, Geometry(pixels=96)) - block_means(thirds, 8)).max() <= 0.51
    assert np.array_equal(to_cutout(frame, Geometry(field_of_view=5.12, pixels=256)), centre)
    assert np.array_equal(to_cutout(frame, Geometry(field_of_view=8.48, pixels=424)), frame)


def test_a_crop_within_pixels_weighs_them_by_area() -> None:
    frame = noise(424, 424)
    # The central 207 begin and end in the middle of a pixel: refine each pixel to 2 × 2, then average 6 × 6.
    fine = frame.repeat(2, axis=0).repeat(2, axis=1)[217 : 217 + 414, 217 : 217 + 414]

    cutout = to_cutout(frame, Geometry(field_of_view=4.14, pixels=69))

    assert np.abs(cutout - block_means(fine, 6)).max() <= 0.51


@given(
    side=st.integers(60, 300),
    field_of_view=st.floats(5.0, 18.0),
    pixels=st.integers(8, 150),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_a_flat_picture_stays_flat(
    side: int, field_of_view: float, pixels: int, colour: tuple[int, int, int]
) -> None:
    cutout = to_cutout(np.full((side, side, 3), colour, np.uint8), Geometry(pixels=pixels), field_of_view)

    assert cutout.shape == (pixels, pixels, 3)
    assert (cutout == np.array(colour)).all()


@given(side=st.integers(200, 400), pixels=st.integers(16, 64), field_of_view=st.floats(5.12, 14.0))
def test_a_point_stays_in_its_place(side: int, pixels: int, field_of_view: float) -> None:
    y, x = np.mgrid[:side, :side]
    place = (0.02 * side, -0.03 * side)  # from the centre, in pixels of the picture
    middle = (side - 1) / 2
    spot = np.exp(-((y - middle - place[0]) ** 2 + (x - middle - place[1]) ** 2) / (2 * (side / 60) ** 2))
    image = np.repeat((250 * spot)[:, :, None], 3, axis=2).astype(np.uint8)

    cutout = to_cutout(image, Geometry(pixels=pixels), field_of_view)[:, :, 0].astype(float)

    scale = pixels * field_of_view / 5.12 / side
    rows, columns = np.mgrid[:pixels, :pixels] - (pixels - 1) / 2
    found = np.array([(cutout * rows).sum(), (cutout * columns).sum()]) / cutout.sum()
    assert np.allclose(found, np.array(place) * scale, atol=0.1)


def test_a_coarse_picture_is_interpolated() -> None:
    ramp = np.tile(np.arange(0, 160, 8, dtype=np.uint8)[None, :, None], (20, 1, 3))

    cutout = to_cutout(ramp, Geometry(field_of_view=8.48, pixels=40))

    assert np.diff(cutout[10, 1:-1, 0].astype(int)).tolist() == [4] * 37
    assert (cutout[0] == cutout[-1]).all()


def test_the_central_square_of_an_oblong_picture_is_used() -> None:
    wide = noise(424, 600)

    assert np.array_equal(to_cutout(wide, COMPACT), to_cutout(wide[:, 88:512], COMPACT))
    assert np.array_equal(
        to_cutout(wide.transpose(1, 0, 2).copy(), COMPACT), to_cutout(wide, COMPACT).transpose(1, 0, 2)
    )


def test_what_a_picture_shows_can_be_said() -> None:
    image = noise(300, 300)

    assert np.array_equal(
        to_cutout(image, Geometry(pixels=150), field_of_view=10.24),
        to_cutout(image[75:225, 75:225].copy(), Geometry(pixels=150), field_of_view=5.12),
    )
    assert np.array_equal(to_cutout(noise(128, 128), COMPACT, 5.12), noise(128, 128))


@pytest.mark.parametrize("side", [127, 128, 129])
def test_a_whole_frame_is_one_on_any_number_of_pixels(side: int) -> None:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    frame = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (side, side, 3)))

    cutout = to_cutout(frame, Geometry(pixels=64))[0, :, 0].astype(int)

    assert (cutout[0], cutout[-1]) == pytest.approx((51, 203), abs=2)  # of 255: 8.48 r90 less 5.12


def test_a_picture_that_lacks_a_rim_is_filled_with_its_edge() -> None:
    image = noise(245, 245)

    cutout = to_cutout(image, Geometry(field_of_view=5.12, pixels=256), field_of_view=4.9)

    assert cutout.shape == (256, 256, 3)
    assert np.abs(cutout[128, 0].astype(int) - cutout[128, 4]).max() <= 1


def test_a_picture_that_shows_too_little_says_how_to_say_what_it_shows() -> None:
    with pytest.raises(
        ImageError, match=r"only 5.12 r90 wide, and 8.48 are needed.*--field-of-view"
    ) as failure:
        to_cutout(noise(128, 128), Geometry(field_of_view=8.48, pixels=64), 5.12)

    assert failure.value.status == "unsupported"


@pytest.mark.parametrize(
    "wrong", [{"field_of_view": 0.0}, {"field_of_view": float("nan")}, {"pixels": 2}, {"size": 64}]
)
def test_a_wrong_geometry_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Geometry(**wrong)


def originals_and_compact(galaxies: Path, count: int) -> Iterator[tuple[bytes, bytes]]:
    for shard in sorted((galaxies / "compact").glob("*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(256):
            for row in batch.to_pylist():
                original = galaxies / "images_training" / f"{row['GalaxyID']}.jpg"
                if original.exists():
                    yield original.read_bytes(), row["image"]["bytes"]
                    count -= 1
                    if count == 0:
                        return


@pytest.mark.parametrize("pixels", [128, 64])
def test_compact_and_original_give_the_same_cutout(real_galaxies: Path, pixels: int) -> None:
    geometry = Geometry(field_of_view=5.12, pixels=pixels)
    differences = [
        np.abs(
            to_cutout(decode_image(original), geometry).astype(int)
            - to_cutout(decode_image(compact), geometry, COMPACT.field_of_view)
        ).mean()
        for original, compact in originals_and_compact(real_galaxies / "galaxyzoo", 40)
    ]

    assert len(differences) == 40
    assert np.mean(differences) < 2.2  # what WebP at quality 85 loses, of 255
