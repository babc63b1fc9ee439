"""FITS files in several bands, and the options that name bands and a stretch, as a user runs them."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import galvote
from galvote.images import PackedStore
from galvote.io import read_table

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bands() -> dict[str, np.ndarray]:
    """Return planes of one galaxy that differ from band to band."""
    y, x = np.mgrid[:96, :96]
    noise = np.random.default_rng(4).normal(size=(3, 96, 96))
    discs = [np.exp(-np.hypot(y - 48, x - 48 - 6 * band) / (5 + 4 * band)) for band in range(3)]
    planes = [disc * level + grain for disc, level, grain in zip(discs, (60, 90, 40), noise, strict=True)]
    return dict(zip("gri", np.array(planes, np.float32), strict=True))


@pytest.fixture
def folder(bands: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """Return a folder of one FITS file a band, a red-first cube, and image, flag and weight in one file."""
    folder = tmp_path / "in"
    folder.mkdir()
    for band, plane in bands.items():
        fits.writeto(folder / f"one_{band.upper()}.fits", plane)
    fits.writeto(folder / "lone_r.fits", bands["r"])
    fits.writeto(folder / "cube.fits", np.stack([bands[band] for band in "irg"]))
    units = [fits.PrimaryHDU(bands["r"]), fits.ImageHDU(np.eye(96, dtype=np.int16))]
    fits.HDUList([*units, fits.ImageHDU(np.full((96, 96), 0.1, np.float32))]).writeto(folder / "mixed.fits")
    return folder


def predict(command, folder, trained, out, *more):
    ran = command("predict", folder, "--model", trained, "--out", out, *more)
    assert ran.returncode == 0, ran.stderr
    return {row["id"]: row for row in read_table(out).to_pylist()}, ran.stderr


def test_bands_of_a_galaxy_are_one_row_and_an_option_names_them(command, trained, folder, tmp_path):
    plain, said = predict(command, folder, trained, tmp_path / "plain.csv")
    assert "4 galaxies; 3 bands g, r, i for 1 galaxy; 1 lone band; ids from file names." in said
    assert plain["mixed"]["status"] == "unsupported"
    assert "--bands 0" in plain["mixed"]["reason"]
    named, _ = predict(command, folder, trained, tmp_path / "named.csv", "--bands", "i,r,g")
    assert named["cube"]["Class1.1"] == pytest.approx(plain["one"]["Class1.1"], abs=1e-6)
    assert named["cube"]["Class1.1"] != pytest.approx(plain["cube"]["Class1.1"], abs=1e-6)
    assert named["one"] == plain["one"]
    assert named["lone_r"]["status"] == "unsupported"  # one plane for three bands
    first, _ = predict(command, folder / "mixed.fits", trained, tmp_path / "first.csv", "--bands", "0")
    assert first["mixed"]["Class1.1"] == pytest.approx(plain["lone_r"]["Class1.1"], abs=1e-6)
    told = galvote.predict(folder / "cube.fits", trained, bands="2,1,0", scale="gz2")
    assert told.fractions[0, 0] == pytest.approx(plain["one"]["Class1.1"], abs=1e-6)
    listed = galvote.predict(folder / "cube.fits", trained, bands=[2, 1, 0], scale="gz2")
    assert (listed.fractions == told.fractions).all()
    plane = galvote.predict(folder / "mixed.fits", trained, bands=0, scale="gz2")
    assert plane.fractions[0, 0] == pytest.approx(plain["lone_r"]["Class1.1"], abs=1e-6)


def test_a_stretch_is_part_of_shards_and_stores(command, trained, folder, tmp_path):
    lone, shards, store = folder / "lone_r.fits", tmp_path / "shards", tmp_path / "store"
    as_table, _ = predict(command, lone, trained, tmp_path / "one.csv", "--stretch", "asinh")
    in_shards, _ = predict(command, lone, trained, shards, "--stretch", "asinh")
    other, _ = predict(command, lone, trained, tmp_path / "other.csv")
    (one, two, three) = (rows["lone_r"]["Class1.1"] for rows in (as_table, in_shards, other))
    assert one == pytest.approx(two, abs=1e-6)
    assert one != pytest.approx(three, abs=1e-6)
    again = command("predict", lone, "--model", trained, "--out", shards)
    assert again.returncode == 2
    assert "stretch asinh, now lupton" in " ".join(again.stderr.split())
    packed = command("pack", lone, "--out", store, "--pixels", 64, "--stretch", "percentile")
    assert packed.returncode == 0, packed.stderr
    assert (PackedStore.open(store).cutouts[0] == 255).any()
    refused = command("predict", lone, "--model", trained, "--out", tmp_path / "no.csv", "--bands", "g,r")
    assert refused.returncode == 2
    assert "name one, or at least three" in " ".join(refused.stderr.split())
