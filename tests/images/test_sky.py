"""A field with a WCS: galaxies come out of it in the middle and at the scale of GZ2, whatever holds it."""

import bz2
import gzip
import pickle
import re
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from galvote.errors import ImageError
from galvote.images import decode_image
from galvote.images.sky import FRAME_WIDTH, SkyField
from galvote.io.bands import Look

SCALE = 0.4  # arcseconds a pixel
SIZE = 400
NOISE = (0.3, 0.5, 0.8)
COLOURS = (40.0, 100.0, 150.0)  # brightness of the galaxies' middles in g, r, i
R90 = 8.0  # arcseconds
PLACES = ((130.0, 150.0), (260.4, 240.7))  # x, y of two galaxies


def tan(angle: float = 0.0, scale: float = SCALE, size: int = SIZE, **more: object) -> fits.Header:
    """Return the header of a field around ra 150, dec 2, its north turned from up by an angle in degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [size / 2] * 2
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    wcs.wcs.cd = scale / 3600 * np.array([[-cos, sin], [sin, cos]])
    header = wcs.to_header()
    header.update(more)
    return header


def sky_of(header: fits.Header, places: object = PLACES) -> tuple[np.ndarray, np.ndarray]:
    """Return ra and dec, ICRS, of pixels."""
    coordinates = SkyCoord.from_pixel(*np.array(places).T, WCS(header)).icrs
    return coordinates.ra.deg, coordinates.dec.deg


def light(x: np.ndarray, y: np.ndarray, scale: float, places: object = PLACES) -> np.ndarray:
    """Return exponential discs of `R90`; a spot beside each, towards larger x, tells its orientation."""
    planted = np.zeros(x.shape)
    for column, row in np.array(places):
        radius = np.hypot(x - column, y - row) * scale / R90
        spot = np.hypot(x - column - 0.6 * R90 / scale, y - row) * scale / R90
        planted += np.exp(-3.89 * radius) + 0.3 * np.exp(-((spot / 0.06) ** 2))
    return planted


def planes(scale: float = SCALE, size: int = SIZE, seed: int = 3) -> np.ndarray:
    """Return g, r and i of the field, in the pixels of its header."""
    y, x = np.mgrid[:size, :size].astype(float)
    planted = light(x, y, scale)
    noise = np.random.default_rng(seed).normal(size=(3, size, size))
    bands = [
        level * planted + 10 + sigma * grain
        for level, sigma, grain in zip(COLOURS, NOISE, noise, strict=True)
    ]
    return np.array(bands, np.float32)


def write(path: Path, *units: object) -> Path:
    fits.HDUList(list(units)).writeto(path)
    return path


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sky") / "cube.fits", fits.PrimaryHDU(planes(), tan()))


def images(place: object, ra: np.ndarray, dec: np.ndarray, r90: float = R90) -> list[np.ndarray]:
    with SkyField.open(place) as field:
        return [make() for make in field.images(ra, dec, np.full(len(ra), r90))]


def failure(make: Callable[[], np.ndarray]) -> tuple[str, str]:
    with pytest.raises(ImageError) as failed:
        make()
    return failed.value.status, failed.value.reason


def middle(image: np.ndarray) -> tuple[float, float]:
    """Return where the brightest part is, from the centre of the frame, in pixels of the picture."""
    brightness = image.sum(axis=2, dtype=float)
    rows, columns = np.nonzero(brightness > 0.9 * brightness.max())
    return columns.mean() - (image.shape[1] - 1) / 2, rows.mean() - (image.shape[0] - 1) / 2


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two pictures."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_galaxies_are_in_the_middle_and_at_the_scale_of_gz2(cube: Path) -> None:
    for image in images(cube, *sky_of(tan())):
        assert image.shape == (424, 424, 3)
        assert image.dtype == np.uint8
        assert np.abs(middle(image)).max() < 2
        # The spot is 0.6 r90 to the right: 30 GZ2 pixels of 0.02 r90 from the centre, which is at 211.5.
        profile = image[202:222].sum(axis=(0, 2), dtype=float)
        right, left = profile[212:], profile[:212][::-1]
        assert 28.5 <= (right - left)[10:60].argmax() + 10 <= 30.5


@pytest.mark.parametrize("r90", [8.0, 20.0, 45.0], ids=["interpolated", "as it is", "averaged"])
@pytest.mark.parametrize("own", [False, True], ids=["one grid", "grids of their own"])
def test_no_part_of_a_pixel_is_lost_between_the_sky_and_the_frame(
    tmp_path: Path, r90: float, own: bool
) -> None:
    # A star between pixels, the same place on the sky in three images of 0.4, 0.3 and 0.2 arcseconds a pixel.
    star = sky_of(tan(), [(203.3, 196.8)])
    files = list[Path]()
    for band, scale in enumerate((0.4, 0.3, 0.2) if own else (0.4, 0.4, 0.4)):
        size = round(max(160, 6.5 * r90) / scale)
        header = tan(20.0 * band * own, scale, size)
        y, x = np.mgrid[:size, :size].astype(float)
        column, row = WCS(header).world_to_pixel_values(*star)
        plane = 500 * np.exp(-((np.hypot(x - column, y - row) * scale / 2) ** 2))
        plane += np.random.default_rng(band).normal(size=plane.shape)
        files.append(write(tmp_path / f"{band}.fits", fits.PrimaryHDU(plane.astype(np.float32), header)))
    [image] = images(files, *star, r90)
    half = round(5 * len(image) / (r90 * FRAME_WIDTH))  # 5 arcseconds
    middle = (len(image) - 1) / 2
    y, x = np.mgrid[: len(image), : len(image)] - middle
    inner = np.hypot(x, y) <= half
    for band in range(3):
        weights = image[:, :, band] * inner
        centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
        arcseconds = centre * r90 * FRAME_WIDTH / len(image)
        assert np.abs(arcseconds).max() < 0.04  # a tenth of a pixel


def test_one_galaxy_alone_looks_as_its_own_file(tmp_path: Path) -> None:
    # A field that is one frame: what is made of it by position is what is made of it as a picture.
    size = 424
    header = tan(size=size)
    path = write(tmp_path / "one.fits", fits.PrimaryHDU(planes(size=size), header))
    ra, dec = sky_of(header, [((size - 1) / 2, (size - 1) / 2)])
    with SkyField.open(path) as field:
        image = field.images(ra, dec, np.array([size * SCALE / FRAME_WIDTH]))[0]()
    np.testing.assert_allclose(image.astype(int), decode_image(path.read_bytes()), atol=1)


def test_the_real_picture_of_a_survey_as_its_own_file(real_galaxies: Path) -> None:
    path = real_galaxies / "fits" / "example_a.fits"
    whole = decode_image(path.read_bytes())
    with SkyField.open(path) as field:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            ra, dec = sky_of(fits.getheader(path), [((len(whole) - 1) / 2,) * 2])
        image = field.images(ra, dec, np.array([len(whole) * field.scale / FRAME_WIDTH]))[0]()
        assert field.scale == pytest.approx(0.262)
    np.testing.assert_array_equal(image, whole)


def test_the_same_whatever_holds_the_planes(cube: Path, tmp_path: Path) -> None:
    bands, header = planes(), tan()
    expected = images(cube, *sky_of(header))
    named = [fits.ImageHDU(bands[place], header, name=name) for place, name in ((2, "I"), (0, "G"), (1, "R"))]
    extensions = write(tmp_path / "extensions.fits", fits.PrimaryHDU(), *named)
    five = [*named, *(fits.ImageHDU(bands[0], header, name=name) for name in "ZY")]
    many = write(tmp_path / "many.fits", fits.PrimaryHDU(), *five)
    in_order = [fits.ImageHDU(plane, header) for plane in bands]
    unnamed = write(tmp_path / "unnamed.fits", fits.PrimaryHDU(), *in_order)
    for path in (extensions, many, unnamed):
        assert (decode_image(path.read_bytes()) == decode_image(cube.read_bytes())).all()
    files = [
        write(tmp_path / f"{band}.fits", fits.PrimaryHDU(plane, header)) for band, plane in enumerate(bands)
    ]
    among_others = write(
        tmp_path / "others.fits",
        fits.PrimaryHDU(),
        fits.ImageHDU(bands[None], header, name="SCI"),
        fits.ImageHDU(np.zeros((SIZE, SIZE), np.int16), header, name="DQ"),
    )
    for place in (
        extensions,
        many,
        unnamed,
        files,
        f"{among_others}[SCI]",
        f"{among_others}[1]",
        [str(file) for file in files],
    ):
        for image, wanted in zip(images(place, *sky_of(header)), expected, strict=True):
            np.testing.assert_array_equal(image, wanted)


def test_compressed_and_scaled_images_are_read_in_parts(cube: Path, tmp_path: Path) -> None:
    bands, header = planes(), tan()
    expected = images(cube, *sky_of(header))
    packed = [
        write(tmp_path / f"{band}.fits.fz", fits.PrimaryHDU(), fits.CompImageHDU(plane, header))
        for band, plane in enumerate(bands)
    ]
    scaled = list[Path]()
    for band, plane in enumerate(bands):
        unit = fits.PrimaryHDU(plane, header)
        unit.scale("int16", bscale=0.01, bzero=100)
        scaled.append(write(tmp_path / f"{band}.fits", unit))
    for place in (packed, scaled):
        for image, wanted in zip(images(place, *sky_of(header)), expected, strict=True):
            assert np.abs(image.astype(int) - wanted).max() <= 6


@pytest.mark.parametrize("angle", [37.0, 180.0])
def test_north_need_not_be_up(tmp_path: Path, angle: float) -> None:
    header = tan(angle)
    path = write(tmp_path / "turned.fits", fits.PrimaryHDU(planes(), header))
    for image in images(path, *sky_of(header)):
        assert np.abs(middle(image)).max() < 2


def test_other_frames_and_distortions(tmp_path: Path) -> None:
    galactic = tan()
    galactic["CTYPE1"], galactic["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    distorted = tan()
    distorted["CTYPE1"], distorted["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    distorted.update({"A_ORDER": 2, "A_2_0": 3e-4, "B_ORDER": 2, "B_0_2": -2e-4})
    for name, header in (("galactic", galactic), ("distorted", distorted)):
        path = write(tmp_path / f"{name}.fits", fits.PrimaryHDU(planes(), header))
        for image in images(path, *sky_of(header)):
            assert np.abs(middle(image)).max() < 2


def test_axes_may_be_swapped_and_frames_said_twice(cube: Path, tmp_path: Path) -> None:
    header, (ra, dec) = tan(), sky_of(tan())
    swapped = header.copy()
    for key in ("CTYPE", "CRVAL"):
        swapped[f"{key}1"], swapped[f"{key}2"] = header[f"{key}2"], header[f"{key}1"]
    across, up = header["PC1_1"], header["PC2_2"]
    swapped.update({"PC1_1": 0.0, "PC1_2": up, "PC2_1": across, "PC2_2": 0.0})
    galactic = header.copy()
    galactic.update({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "RADESYS": "ICRS"})
    sloppy = header.copy()
    sloppy.update(
        {"CUNIT1": "degrees", "CUNIT2": "Deg", "CTYPE1": "ra---tan", "EQUINOX": "J2000", "RADESYS": "FK5"}
    )
    for number, (own, there) in enumerate(
        (
            (swapped, (ra, dec)),
            (sloppy, (ra, dec)),
            (galactic, sky_of(tan(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN"))),
        )
    ):
        path = write(tmp_path / f"{number}.fits", fits.PrimaryHDU(planes(), own))
        for image, wanted in zip(images(path, *there), images(cube, ra, dec), strict=True):
            assert np.abs(middle(image)).max() < 2
            assert alike(image, wanted) > 0.95


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"CTYPE1": "RA--TAN"}, "CTYPE1 = 'RA--TAN'"),
        ({"CTYPE1": "RA", "CTYPE2": "DEC"}, "CTYPE1 = 'RA'"),
        ({"CTYPE1": "SLON-TAN", "CTYPE2": "SLAT-TAN"}, "CTYPE1 = 'SLON-TAN'"),
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, "CTYPE1 = 'ELON-TAN'"),
        ({"CTYPE1": "RA---TNX", "CTYPE2": "DEC--TNX", "WAT1_001": 'wtype=tnx lngcor = "3. 2."'}, "RA---TNX"),
        ({"RADESYS": "J2000"}, "RADESYS = 'J2000'"),
        ({"CUNIT1": "furlong"}, "CUNIT1 = 'furlong'"),
        ({"CRVAL1": "10:00:00"}, "CRVAL1 = '10:00:00'"),
        ({"CRVAL2": 200.0}, "CRVAL2 = 200"),
        ({"PC1_1": 0.0}, "singular"),
        ({"CRVAL1": None}, "no CRVAL1"),
    ],
)
def test_a_wcs_that_cannot_be_used_is_unsupported_by_its_keyword(
    tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    header = tan()
    for key, value in changed.items():
        header[key] = value
        if value is None:
            del header[key]
    with pytest.raises(ImageError, match=re.escape(named)) as failed:
        SkyField.open(write(tmp_path / "f.fits", fits.PrimaryHDU(planes()[0], header)))
    assert failed.value.status == "unsupported"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_packed_field_is_unpacked_once(cube: Path, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "cube.fits.packed"
    path.write_bytes(pack(cube.read_bytes()))
    for image, wanted in zip(images(path, *sky_of(tan())), images(cube, *sky_of(tan())), strict=True):
        np.testing.assert_array_equal(image, wanted)


@pytest.mark.parametrize(("fill", "unit"), [(-9999.0, 1.0), (1e30, 1.0), (0.0, 1e-29)])
def test_what_fills_half_of_a_field_is_no_sky_in_any_unit(
    cube: Path, tmp_path: Path, fill: float, unit: float
) -> None:
    bands = planes() * np.float32(unit)
    bands[:, :, :180] = fill
    path = write(tmp_path / "half.fits", fits.PrimaryHDU(bands, tan()))
    ra, dec = sky_of(tan())
    with SkyField.open(path) as field:
        made = field.images(ra, dec, np.full(2, R90))
        assert failure(made[0])[0] == "incomplete"
        assert alike(made[1](), images(cube, ra, dec)[1]) > 0.99


def test_bands_of_a_field_by_option_and_a_stretch(cube: Path, tmp_path: Path) -> None:
    bands, header, (ra, dec) = planes(), tan(), sky_of(tan())
    expected = images(cube, ra, dec)[0]
    red_first = write(tmp_path / "red.fits", fits.PrimaryHDU(bands[::-1], header))
    heeded = write(tmp_path / "rgb.fits", fits.PrimaryHDU(bands[::-1], tan(CTYPE3="RGB")))
    others = [fits.ImageHDU(bands[0].astype(kind), header) for kind in (np.int16, np.float32)]
    mixed = write(tmp_path / "mixed.fits", fits.PrimaryHDU(bands[1], header), *others)
    with pytest.raises(ImageError, match=r"of float32, int16, float32.*--bands"):
        SkyField.open(mixed)
    for place, bands_of, message in (
        (f"{mixed}[3]", None, r"no HDU 3; those it has, from 0 on, are unnamed, unnamed, unnamed"),
        (f"{mixed}[SCI]", None, r"no HDU SCI; those"),
        (red_first, "7", r"no plane 7; its planes are 0 to 2"),
    ):
        with pytest.raises(ImageError, match=message):
            SkyField.open(place, Look.of(bands_of))
    files = [write(tmp_path / f"{band}.fits", fits.PrimaryHDU(bands[band], header)) for band in (2, 1, 0)]
    for place, look in ((red_first, "i,r,g"), (heeded, None), (files, "i,r,g"), (mixed, "0")):
        with SkyField.open(place, Look.of(look)) as field:
            image = field.images(ra[:1], dec[:1], np.full(1, R90))[0]()
        assert (image == expected).all() if look != "0" else (image[:, :, 0] == image[:, :, 2]).all()
    with SkyField.open(files[1], Look.of(stretch="percentile")) as field:
        assert (field.images(ra[:1], dec[:1], np.full(1, R90))[0]() == 255).any()


def test_bands_on_grids_of_their_own_lie_on_one_another(cube: Path, tmp_path: Path) -> None:
    header = tan()
    files = [write(tmp_path / "g.fits", fits.PrimaryHDU(planes()[0], header))]
    # The red bands in other pixels: turned by 30 degrees and finer, mirrored and coarser.
    fine, coarse = tan(30.0, SCALE / 1.6, 700), tan(0.0, SCALE * 1.3, 320)
    coarse["PC1_1"] = -coarse["PC1_1"]
    for name, own, level in (("r", fine, 100.0), ("i", coarse, 150.0)):
        size = 700 if name == "r" else 320
        y, x = np.mgrid[:size, :size].astype(float)
        ra, dec = WCS(own).pixel_to_world_values(x, y)
        there = light(*WCS(header).world_to_pixel_values(ra, dec), SCALE)
        noise = np.random.default_rng(5).normal(size=there.shape)
        plane = (level * there + 10 + 0.5 * noise).astype(np.float32)
        files.append(write(tmp_path / f"{name}.fits", fits.PrimaryHDU(plane, own)))
    for image, wanted in zip(images(files, *sky_of(header)), images(cube, *sky_of(header)), strict=True):
        assert np.abs(middle(image)).max() < 2
        for band in range(3):
            assert alike(image[:, :, band], wanted[:, :, band]) > 0.93


def test_fine_images_are_averaged_to_about_the_pixels_of_a_frame(tmp_path: Path) -> None:
    scale, size = 0.05, 1400
    header = tan(scale=scale, size=size)
    places = [(size / 2, size / 2)]
    y, x = np.mgrid[:size, :size].astype(float)
    plane = 100 * light(x, y, scale, places) + np.random.default_rng(1).normal(size=x.shape)
    path = write(tmp_path / "fine.fits", fits.PrimaryHDU(plane.astype(np.float32), header))
    [image] = images(path, *sky_of(header, places))
    assert 424 <= len(image) < 848
    assert np.abs(middle(image)).max() < 2
    assert (image[:, :, 0] == image[:, :, 2]).all()


def test_what_cannot_be_pictured_says_why(cube: Path) -> None:
    ra, dec = sky_of(tan(), [*PLACES, (45.0, 200.0), (2.0, 2.0), (-40.0, 200.0)])
    extra = [(150.0, 91.0), (np.nan, 2.0), (330.0, -2.0), (150.0, np.inf)]
    ra, dec = np.append(ra, [place[0] for place in extra]), np.append(dec, [place[1] for place in extra])
    r90 = np.full(len(ra), R90)
    r90[1] = np.nan
    with SkyField.open(cube) as field:
        made = field.images(ra, dec, r90)
        assert made[0]().shape == (424, 424, 3)
        assert made[2]().shape == (424, 424, 3)  # part of its frame is beyond the edge, but not of its middle
        assert failure(made[1])[0] == "no-size"
        status, reason = failure(made[3])  # all but a little more than a quarter of its middle is beyond
        assert status == "incomplete"
        assert 70 <= int(reason.partition("% of the middle half of the frame is beyond")[0]) <= 75
        assert [failure(make)[0] for make in made[4:]] == [
            "outside",
            "no-position",
            "no-position",
            "outside",
            "no-position",
        ]
        for size, status in ((-1.0, "no-size"), (np.inf, "no-size"), (1e5, "too-large")):
            assert failure(field.images(ra[:1], dec[:1], np.array([size]))[0])[0] == status


@pytest.mark.parametrize("blank", [np.nan, 0.0, np.inf])
def test_where_a_survey_has_not_been_there_is_no_picture(tmp_path: Path, blank: float) -> None:
    bands = planes()
    bands[1, :, 125:] = blank
    bands[:, 200:220, 60:70] = blank
    path = write(tmp_path / "half.fits", fits.PrimaryHDU(bands, tan()))
    ra, dec = sky_of(tan(), [*PLACES, (65.0, 250.0)])
    with SkyField.open(path) as field:
        made = field.images(ra, dec, np.full(3, R90))
        assert "beyond the edge or has no data" in failure(made[0])[1]
        assert failure(made[1])[0] == "incomplete"
        assert made[2]().max() > 0  # a small gap is shown as sky


def test_zeros_that_packing_makes_of_the_sky_are_data(tmp_path: Path) -> None:
    sky = planes()[1] - 10
    packed = fits.CompImageHDU(sky, tan(), quantize_level=2)
    path = write(tmp_path / "packed.fits.fz", fits.PrimaryHDU(), packed)
    assert (fits.getdata(path) == 0).mean() > 0.1
    assert all(image.shape == (424, 424, 3) for image in images(path, *sky_of(tan())))


def test_masked_whole_numbers_have_gaps_but_zeros_are_data(tmp_path: Path) -> None:
    counts = np.random.default_rng(2).poisson(1.0, (SIZE, SIZE)).astype(np.int16)
    counts[:, 300:] = -32768
    path = write(tmp_path / "counts.fits", fits.PrimaryHDU(counts, tan(BLANK=-32768)))
    with SkyField.open(path) as field:
        made = field.images(*sky_of(tan(), [(100.0, 200.0), (330.0, 200.0)]), np.full(2, R90))
        assert made[0]().shape == (424, 424, 3)
        assert failure(made[1])[0] == "incomplete"


def test_files_that_are_no_field_are_refused_with_a_way_out(tmp_path: Path) -> None:
    plane, header = planes()[0], tan()
    oblong = tan()
    oblong["CDELT2"] = 2.0
    three = [fits.ImageHDU(plane, header, name=name) for name in ("SCI", "ERR", "DQ")]
    chips = [fits.ImageHDU(plane, header, name="SCI") for _ in range(3)]
    two = [fits.ImageHDU(plane, header, name="SCI"), fits.ImageHDU(plane, header, name="ERR")]
    refused = {
        "no WCS": fits.PrimaryHDU(plane),
        r"0.4 × 0.8 arcseconds large; resample": fits.PrimaryHDU(plane, oblong),
        r"shape \(4, 20, 20\)": fits.PrimaryHDU(np.zeros((4, 20, 20)), header),
        "no finite number": fits.PrimaryHDU(np.full((20, 20), np.nan), header),
        r"2 images \(SCI, ERR\), .*; say which one, as .*\[SCI\]": [fits.PrimaryHDU(), *two],
        r"3 images \(SCI, ERR, DQ\), .*; say which one, as .*\[SCI\]": [fits.PrimaryHDU(), *three],
        r"3 images \(SCI, SCI, SCI\), .*; say which one, as .*\[1\]": [fits.PrimaryHDU(), *chips],
        "holds 0 images": fits.PrimaryHDU(),
    }
    for number, (reason, units) in enumerate(refused.items()):
        path = write(tmp_path / f"{number}.fits", *(units if isinstance(units, list) else [units]))
        with pytest.raises(ImageError, match=reason):
            SkyField.open(path)
    whole = write(tmp_path / "whole.fits", fits.PrimaryHDU(plane, header))
    (tmp_path / "cut.fits").write_bytes(whole.read_bytes()[:300_000])
    (tmp_path / "text.fits").write_text("no FITS")
    (tmp_path / "packed.fits").write_bytes(gzip.compress(whole.read_bytes())[:100_000])
    for place, reason in (
        (tmp_path / "cut.fits", "cut short"),
        (tmp_path / "text.fits", "cannot be read as FITS"),
        (tmp_path / "packed.fits", "cannot be read as FITS"),
        (tmp_path / "none.fits", "There is no file"),
        (f"{whole}[9]", "has no HDU 9"),
        (f"{whole}[SCI]", "has no HDU SCI"),
        ([whole, whole], "Found 2 planes"),
    ):
        with pytest.raises(ImageError, match=reason):
            SkyField.open(place)


def test_an_image_that_is_damaged_somewhere_has_pictures_elsewhere(tmp_path: Path) -> None:
    plane, header = planes()[0], tan()
    path = write(
        tmp_path / "g.fits.fz",
        fits.PrimaryHDU(),
        fits.CompImageHDU(plane, header, compression_type="GZIP_1", quantize_level=0),
    )
    with SkyField.open(path) as field:
        made = field.images(*sky_of(header), np.full(2, 3.0))
        with path.open("rb+") as file:  # the upper rows
            file.seek(path.stat().st_size // 2)
            file.write(bytes(path.stat().st_size // 2))
        assert made[0]().shape == (424, 424, 3)
        status, reason = failure(made[1])
        assert status == "truncated"
        assert f"{path} is damaged here" in reason


def test_a_large_image_is_not_read_whole(tmp_path: Path) -> None:
    side = 12_000
    header = tan(size=side)
    path = tmp_path / "large.fits"
    unit = fits.PrimaryHDU(np.zeros((2, 2), np.float32), header)
    unit.header["NAXIS1"] = unit.header["NAXIS2"] = side
    path.write_bytes(unit.header.tostring().encode())
    counts = np.random.default_rng(1).poisson(4.0, (100, side)).astype(">f4")
    path.write_bytes(path.read_bytes() + counts.tobytes())
    with path.open("rb+") as file:  # a file with a hole, 576 MB of nothing
        file.truncate(len(unit.header.tostring()) + 4 * side**2)
    ra, dec = sky_of(header, np.random.default_rng(0).uniform(1000, 11_000, (20, 2)))
    tracemalloc.start()
    made = images(path, ra, dec)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == 20
    assert most < 60e6


def test_threads_and_other_processes_make_the_same_pictures(cube: Path) -> None:
    ra, dec = (np.repeat(values, 8) for values in sky_of(tan()))
    with SkyField.open(cube) as field, ThreadPoolExecutor(4) as pool:
        made = field.images(ra, dec, np.full(len(ra), R90))
        together = list(pool.map(lambda make: make(), made))
        elsewhere = pickle.loads(pickle.dumps(made[0]))
        np.testing.assert_array_equal(elsewhere(), together[0])
        elsewhere.func.__self__.close()
    for image in together[:8]:
        np.testing.assert_array_equal(image, together[0])


def test_sizes_are_measured_where_a_galaxy_is(cube: Path) -> None:
    with SkyField.open(cube) as field:
        measured = list(field.measure_r90(*sky_of(tan(), [*PLACES, (330.0, 60.0), (-50.0, 0.0)])))
    assert measured[:2] == pytest.approx([R90, R90], rel=0.1)
    assert np.isnan(measured[2:]).all()
