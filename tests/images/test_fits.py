"""FITS planes become an image as SDSS would show it."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galvote.errors import GalvoteError, ImageError
from galvote.images import decode_image
from galvote.images.fits import decode_fits
from galvote.io.bands import Look


def encode(planes: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    fits.PrimaryHDU(planes).writeto(buffer)
    return buffer.getvalue()


@pytest.fixture
def planes() -> np.ndarray:
    """Return g, r, i of a red galaxy above the middle and a blue star to its right, as numpy reads FITS."""
    rng = np.random.default_rng(1)
    noise = np.array([0.02, 0.03, 0.06])
    y, x = np.mgrid[:90, :90]
    galaxy = np.exp(-np.hypot(y - 60, x - 45) / 5)
    star = np.exp(-((y - 60) ** 2 + (x - 75) ** 2) / 8)
    flux = np.array([1, 3, 6])[:, None, None] * galaxy + np.array([4, 2, 1])[:, None, None] * star
    return (flux + noise[:, None, None] * rng.standard_normal((3, 90, 90))).astype(np.float32)


def test_cube_runs_from_blue_to_red_and_from_bottom_to_top(planes: np.ndarray) -> None:
    rgb = decode_image(encode(planes))

    assert rgb.shape == (90, 90, 3)
    galaxy, star = rgb[29, 45].astype(int), rgb[29, 75].astype(int)
    assert galaxy[0] > galaxy[1] > galaxy[2]
    assert star[2] > star[1] > star[0]


def test_sky_is_as_dark_and_noisy_as_in_sdss_composites(planes: np.ndarray) -> None:
    sky = decode_image(encode(planes))[60:].reshape(-1, 3).astype(float)

    assert (np.median(sky, axis=0) < 10).all()
    assert (sky.std(axis=0) > 1).all()
    assert (sky.std(axis=0) < 8).all()


def test_units_and_background_do_not_matter(planes: np.ndarray) -> None:
    plain = decode_image(encode(planes)).astype(int)
    counts = decode_image(
        encode(planes * np.array([1e4, 2e4, 5e3], np.float32)[:, None, None] + 1200)
    ).astype(int)

    assert np.abs(plain - counts).max() <= 2


def test_three_files_are_g_r_i(planes: np.ndarray) -> None:
    files = tuple(encode(plane) for plane in planes)

    assert np.array_equal(decode_image(files), decode_image(encode(planes)))


def encode_extensions(*images: np.ndarray, names: str = "", primary: np.ndarray | None = None) -> bytes:
    buffer = io.BytesIO()
    given = names.split() or [""] * len(images)
    units = [fits.ImageHDU(image, name=name or None) for image, name in zip(images, given, strict=True)]
    fits.HDUList([fits.PrimaryHDU(primary), *units]).writeto(buffer)
    return buffer.getvalue()


def test_three_extensions_of_one_plane_each_are_g_r_i(planes: np.ndarray) -> None:
    mask = np.zeros((45, 45), np.int16)

    assert np.array_equal(decode_image(encode_extensions(*planes)), decode_image(encode(planes)))
    assert np.array_equal(decode_image(encode_extensions(*planes, mask)), decode_image(encode(planes)))
    in_primary = encode_extensions(*planes[1:], primary=planes[0])
    assert np.array_equal(decode_image(in_primary), decode_image(encode(planes)))


@pytest.mark.parametrize(
    ("names", "places"),
    [
        ("G R I", "012"),
        ("I G R", "201"),
        ("r i g", "120"),
        ("Z U G", "201"),
        ("Y I R G Z", "02102"),
        ("U G R Z Y", "10122"),
        ("R G B", "210"),
        ("R G SCI I", "1002"),
        ("MASK I R G", "-210"),
        ("G R I MASK", "012-"),
    ],
)
def test_named_bands_are_sorted_and_g_r_i_preferred(planes: np.ndarray, names: str, places: str) -> None:
    small = np.zeros((45, 45), np.float32)
    images = [small if place == "-" else planes[int(place)] for place in places]
    named = encode_extensions(*images, names=names)

    assert np.array_equal(decode_image(named), decode_image(encode(planes)))


@pytest.mark.parametrize(
    "names",
    ["SCI ERR DQ", "SCI MSK WGT", "SCI ERR", "G R", "G R SCI", "G G R", "G R I I", "A B C D E"],
)
def test_extensions_that_are_not_clearly_bands_are_refused_by_name(planes: np.ndarray, names: str) -> None:
    images = [planes[number % 3] for number in range(len(names.split()))]
    with pytest.raises(ImageError, match=names.replace(" ", ", ")) as failure:
        decode_image(encode_extensions(*images, names=names))

    assert failure.value.status == "unsupported"


@pytest.mark.parametrize("count", [2, 4])
def test_other_numbers_of_unnamed_extensions_are_refused(planes: np.ndarray, count: int) -> None:
    with pytest.raises(ImageError, match="unnamed, unnamed") as failure:
        decode_image(encode_extensions(*(planes[number % 3] for number in range(count))))

    assert failure.value.status == "unsupported"


def test_one_plane_among_others_of_other_shapes_and_one_in_the_primary_are_grey(planes: np.ndarray) -> None:
    grey = decode_image(encode(planes[0]))
    small = np.zeros((45, 45), np.float32)

    for data in (
        encode_extensions(planes[0]),
        encode_extensions(planes[0], names="SCI"),
        encode_extensions(planes[0], small, small, names="SCI ERR DQ"),
        encode_extensions(planes[1], primary=planes[0]),
        encode_extensions(planes[1], primary=planes[0], names="WGT"),
        encode_extensions(small, small, primary=planes[0]),
    ):
        assert np.array_equal(decode_image(data), grey)


def test_named_bands_of_different_shapes_are_unsupported(planes: np.ndarray) -> None:
    small = np.zeros((45, 45), np.float32)

    for names, images in (("G R Z I", [*planes, small]), ("G R Z", [*planes[:2], small])):
        with pytest.raises(ImageError, match="shape") as failure:
            decode_image(encode_extensions(*images, names=names))
        assert failure.value.status == "unsupported"


def test_packed_extensions_without_names_are_g_r_i(planes: np.ndarray) -> None:
    buffer = io.BytesIO()
    packed = [fits.CompImageHDU(plane, compression_type="GZIP_1", quantize_level=0) for plane in planes]
    fits.HDUList([fits.PrimaryHDU(), *packed]).writeto(buffer)

    assert np.array_equal(decode_image(buffer.getvalue()), decode_image(encode(planes)))


def test_one_plane_is_grey(planes: np.ndarray) -> None:
    for data in (encode(planes[1]), encode(planes[1:2])):
        rgb = decode_image(data)
        assert rgb.shape == (90, 90, 3)
        assert np.array_equal(rgb[:, :, 0], rgb[:, :, 2])
        assert rgb[29, 45, 0] > 60


def test_nan_and_infinity_are_sky(planes: np.ndarray) -> None:
    planes[:, :20, :20] = np.nan
    planes[0, :20, 70:] = np.inf
    rgb = decode_image(encode(planes))

    assert rgb[70:, :20].max() < 10
    assert rgb[70:, 70:, 2].max() < 10
    assert rgb[29, 45].max() > 100


def test_a_picture_without_noise() -> None:
    y, x = np.mgrid[:60, :60]
    blob = np.exp(-np.hypot(y - 30, x - 30) / 2) * (np.hypot(y - 30, x - 30) < 15)
    rgb = decode_image(encode(np.stack([blob, blob, blob])))

    assert rgb[30, 30].min() > 60
    assert rgb[0, 0].max() < 10


def test_image_in_an_extension_and_compressed(planes: np.ndarray) -> None:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(planes)]).writeto(buffer)

    assert np.array_equal(decode_image(buffer.getvalue()), decode_image(encode(planes)))
    assert np.array_equal(decode_image(gzip.compress(encode(planes))), decode_image(encode(planes)))


@pytest.mark.parametrize("shape", [(4, 30, 30), (30, 30, 3), (2, 3, 30, 30), (30,)])
def test_other_shapes_are_unsupported_and_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError) as failure:
        decode_image(encode(np.zeros(shape, np.float32)))

    assert failure.value.status == "unsupported"
    assert str(shape) in failure.value.reason or "no image" in failure.value.reason


def test_bands_of_different_shapes_and_planes_without_a_number_are_unsupported(planes: np.ndarray) -> None:
    uneven = (encode(planes[0]), encode(planes[1]), encode(planes[2, :50]))
    blank = encode(np.full((3, 20, 20), np.nan, np.float32))

    for data in (uneven, uneven[:2], blank):
        with pytest.raises(ImageError) as failure:
            decode_image(data)
        assert failure.value.status == "unsupported"


@pytest.mark.filterwarnings("ignore")  # as a user meets it
def test_cut_short(planes: np.ndarray) -> None:
    data = encode(planes)

    for short in (data[:2000], data[: len(data) // 2], gzip.compress(data)[:5000]):
        with pytest.raises(ImageError) as failure:
            decode_image(short)
        assert failure.value.status == "truncated"


def test_gzip_of_something_else_is_no_image() -> None:
    with pytest.raises(ImageError) as failure:
        decode_image(gzip.compress(b"GalaxyID,Class1.1\n"))

    assert failure.value.status == "not-an-image"


def test_a_bomb_is_refused_by_its_header() -> None:
    data = gzip.compress(encode(np.zeros((9000, 9000), np.uint8)), compresslevel=1)

    with pytest.raises(ImageError) as failure:
        decode_image(data)

    assert failure.value.status == "too-large"


@pytest.mark.parametrize("name", ["example_a.fits", "example_b.fits"])
def test_real_files_look_like_composites(real_galaxies: Path, name: str) -> None:
    rgb = decode_image((real_galaxies / "fits" / name).read_bytes())
    side = len(rgb)
    centre = rgb[side // 2 - 5 : side // 2 + 5, side // 2 - 5 : side // 2 + 5]

    assert np.median(rgb) < 10  # mostly sky
    assert centre.mean() > 60  # the galaxy is in the middle
    assert (rgb == 255).mean() < 0.01


@pytest.mark.parametrize("unit", [1e-29, 1e18, 1e-45, 1e60])
def test_the_unit_of_flux_does_not_matter(planes: np.ndarray, unit: float) -> None:
    in_unit = planes.astype(np.float64) * unit
    if 1e-30 < unit < 1e30:
        in_unit = in_unit.astype(np.float32)

    assert np.abs(decode_image(encode(in_unit)).astype(int) - decode_image(encode(planes))).max() <= 1


@pytest.mark.parametrize("fill", [-9999.0, 1e30, 0.0, 3.0, -32768])
def test_what_fills_gaps_is_no_sky(planes: np.ndarray, fill: float) -> None:
    counts = np.rint(planes * 1000 + 3000) if fill == -32768 else planes + 3
    half = np.s_[:, :, :40]
    filled = counts.copy()
    filled[half] = fill
    filled = filled.astype(np.int16 if fill == -32768 else np.float32)
    rgb = decode_image(encode(filled))

    np.testing.assert_allclose(rgb[:, 45:], decode_image(encode(counts[:, :, 45:])), atol=3)
    assert rgb[half[1], :40].max() < 10


def test_unnamed_image_flag_and_weight_are_no_bands_and_one_may_be_named(planes: np.ndarray) -> None:
    flag, weight = np.zeros((90, 90), np.int16), np.full((90, 90), 0.04, np.float32)
    flag[3, 3] = 1
    data = encode_extensions(flag, weight, primary=planes[1])
    with pytest.raises(ImageError, match=r"of float32, int16, float32.*--bands 0") as failure:
        decode_image(data)
    assert failure.value.status == "unsupported"
    for others in ((planes[0], weight), (planes[0], flag.astype(np.float32))):
        with pytest.raises(ImageError, match=r"HDU 2 has only (0.04|0 and 1), so it is no image.*--bands 0"):
            decode_image(encode_extensions(*others, primary=planes[1]))

    np.testing.assert_array_equal(decode(data, "0"), decode_image(encode(planes[1])))


def decode(data: bytes, bands: str | None = None, stretch: str = "lupton") -> np.ndarray:
    return decode_fits((data,), Look.of(bands, stretch))


def encode_cube(planes: np.ndarray, **header: object) -> bytes:
    buffer = io.BytesIO()
    unit = fits.PrimaryHDU(planes)
    unit.header.update(header)
    unit.writeto(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ({"CTYPE3": "RGB"}, "210"),
        ({"BANDS": "zrg"}, "210"),
        ({"BAND0": "r", "BAND1": "g", "BAND2": "z"}, "102"),
        ({"FILTER1": "g", "FILTER2": "i", "FILTER3": "r"}, "021"),
        ({"BANDS": "ugriz"}, "10122"),
        ({"CTYPE3": "FREQ"}, "012"),
    ],
)
def test_a_header_says_which_planes_of_a_cube_are_which(
    planes: np.ndarray, header: dict[str, str], order: str
) -> None:
    cube = encode_cube(planes[[int(place) for place in order]], **header)

    np.testing.assert_array_equal(decode_image(cube), decode_image(encode(planes)))


@pytest.mark.parametrize("bands", ["i,r,g", "2,1,0", "z,r,g"])
def test_an_option_says_which_planes_are_which(planes: np.ndarray, bands: str) -> None:
    expected = decode_image(encode(planes))

    np.testing.assert_array_equal(decode(encode(planes[::-1]), bands), expected)
    other = {"CTYPE3": "RGB"}  # less than what is asked for
    np.testing.assert_array_equal(decode(encode_cube(planes[::-1], **other), bands), expected)
    in_extensions = encode_extensions(*planes[1::-1], primary=planes[2])
    np.testing.assert_array_equal(decode(in_extensions, bands), expected)


def test_an_option_takes_some_of_many_planes_by_name_or_number(planes: np.ndarray) -> None:
    expected = decode_image(encode(planes))
    five = planes[[1, 0, 1, 2, 2]]
    for bands in ("u,g,r,i,z", "1,2,3"):
        np.testing.assert_array_equal(decode(encode(five), bands), expected)
    named = encode_extensions(*planes, planes[0], names="F435W F606W F814W WHT")
    np.testing.assert_array_equal(decode(named, "f435w,F606W,F814W"), expected)
    np.testing.assert_array_equal(decode(named, "F606W"), decode_image(encode(planes[1])))
    np.testing.assert_array_equal(decode(named, "2"), decode_image(encode(planes[1])))
    for bands in ("g,r,i", "7"):
        with pytest.raises(ImageError, match=f"{bands} chooses none of them"):
            decode(named, bands)
        wrong = "no plane 7; its planes are 0 to 4" if bands == "7" else f"not {bands}"
        with pytest.raises(ImageError, match=wrong):
            decode(encode(five), bands)


@pytest.mark.parametrize(("bands", "stretch"), [("g,r", "lupton"), ("g,,r", "lupton"), (None, "sqrt")])
def test_looks_that_cannot_be(bands: str | None, stretch: str) -> None:
    with pytest.raises(GalvoteError, match=r"at least three|one of lupton, asinh, percentile"):
        Look.of(bands, stretch)


def test_stretches_of_a_single_plane(planes: np.ndarray) -> None:
    linear, asinh = (decode(encode(planes[1]), stretch=stretch) for stretch in ("percentile", "asinh"))

    for rgb in (linear, asinh):
        assert (rgb[:, :, 0] == rgb[:, :, 2]).all()
        assert rgb[29, 45, 0] == 255
    assert asinh[29, 55, 0] > linear[29, 55, 0] + 30
    with pytest.raises(ImageError, match="for images of one plane"):
        decode(encode(planes), stretch="asinh")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_unpacked(planes: np.ndarray, pack: Callable[[bytes], bytes]) -> None:
    assert np.array_equal(decode_image(pack(encode(planes))), decode_image(encode(planes)))


@pytest.mark.filterwarnings("ignore")  # as a user meets it
def test_an_unknown_way_of_packing_is_unsupported_and_no_damage(planes: np.ndarray) -> None:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(planes[0])]).writeto(buffer)
    with pytest.raises(ImageError, match="FOO_1") as failure:
        decode_image(buffer.getvalue().replace(b"'RICE_1  '", b"'FOO_1   '"))
    assert failure.value.status == "unsupported"
