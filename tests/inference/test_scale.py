"""The scale of images in what predicts them: Python, the command line, a file, shards."""

import csv
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from PIL import Image

import galvote
from galvote.errors import CatalogueError, GalvoteError, ScaleWarning
from galvote.simulate import simulate_galaxies


@pytest.fixture(scope="module")
def near(tmp_path_factory):
    """Return a folder of galaxies that look about twice as large as in GZ2 frames, and a table of sizes."""
    folder = tmp_path_factory.mktemp("near")
    (folder / "images").mkdir()
    lines = ["id,half"]
    for galaxy in simulate_galaxies(8, seed=5, pixels=424):
        Image.fromarray(galaxy.image[112:312, 112:312]).save(folder / "images" / f"{galaxy.id}.png")
        lines.append(f"{galaxy.id},10")
    (folder / "sizes.csv").write_text("\n".join(lines[:-1]))
    return folder


def test_python_warns_once_and_measures(near, calibrated):
    model, images = galvote.load(calibrated), near / "images"
    with pytest.warns(ScaleWarning, match=r'larger than in GZ2 frames.*scale="auto"'):
        as_it_is = galvote.predict(images, model)
    assert as_it_is.to_table().meta["comments"][1:] == [as_it_is.remark] and as_it_is.scale_factor is None
    measured = galvote.predict(images, model, scale="auto")
    np.testing.assert_allclose(np.median(measured.scale_factor), 2.12, rtol=0.2)
    assert measured.remark == "" and measured.to_arrow().column_names[3:5] == ["r90_pixels", "scale_factor"]
    with pytest.raises(GalvoteError, match="field of view says the scale"):
        galvote.predict(images, model, scale="auto", field_of_view=4.0)
    with pytest.raises(CatalogueError, match="No image has a size"):
        galvote.predict(images, model, scale=galvote.Sizes(0.4, {"another": 3.0}))
    empty = dict.fromkeys(as_it_is.ids, math.nan)
    with pytest.raises(CatalogueError, match="has 8 of 8 images, and a positive size of none"):
        galvote.predict(images, model, scale=galvote.Sizes(0.4, empty))


def test_sizes_of_a_catalogue_bring_images_to_scale(command, near, calibrated, tmp_path):
    how = ("predict", near / "images", "--model", calibrated, "--out")
    sized = (
        "--pixel-scale",
        0.4,
        "--catalogue",
        near / "sizes.csv",
        "--size-column",
        "half",
        "--size-factor",
        2,
    )
    ran = command(*how, tmp_path / "sized.csv", *sized)
    assert ran.returncode == 0 and "1 of 8 images have no size" in " ".join(ran.stderr.split())
    rows = list(csv.DictReader((tmp_path / "sized.csv").read_text().splitlines()))
    assert [(row["r90_pixels"], row["scale_factor"]) for row in rows[:-1]] == [("50", "2.12")] * 7
    assert (rows[-1]["scale_factor"], rows[-1]["r90_pixels"]) == ("1", "")
    assert "no size" in rows[-1]["reason"] and rows[-1]["status"] == "ok"
    (tmp_path / "named.csv").write_text("galaxy" + (near / "sizes.csv").read_text().removeprefix("id"))
    own = [tmp_path / "named.csv" if word == near / "sizes.csv" else word for word in sized]
    ran = command(*how, tmp_path / "own.csv", *own, "--id-column", "galaxy")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "own.csv").read_text() == (tmp_path / "sized.csv").read_text()
    assert command(*how, tmp_path / "shards", *sized).returncode == 0
    assert "0.4 arcsec/pixel" in json.loads((tmp_path / "shards" / "manifest.json").read_text())["scale"]
    again = command(*how, tmp_path / "shards", "--scale", "auto")
    assert again.returncode == 2 and "scale 0.4 arcsec" in " ".join(again.stderr.split())
    refused = command(*how, tmp_path / "x.csv", "--pixel-scale", 0.4)
    assert refused.returncode == 2 and "--catalogue" in refused.stderr


def test_a_table_keeps_what_was_said_of_the_scale(command, near, calibrated, tmp_path):
    for ending in ("parquet", "fits"):
        ran = command(
            "predict", near / "images", "--model", calibrated, "--out", tmp_path / f"votes.{ending}"
        )
        assert "with --scale auto" in " ".join(ran.stderr.split())
    assert b"larger than in GZ2" in pq.read_schema(tmp_path / "votes.parquet").metadata[b"remark"]
    table = tmp_path / "votes.parquet"
    scored = galvote.evaluate(table, predictions=table)
    assert "larger than in GZ2" in " ".join(scored.remarks)
    assert pq.read_schema(tmp_path / "votes.parquet").metadata[b"computed_by"].startswith(b"tiny, ")
    assert "larger than in GZ2" in " ".join(Table.read(tmp_path / "votes.fits").meta["comments"])
    assert math.isnan(galvote.Sizes(0.4, {"a": math.nan}).pixels("a"))
