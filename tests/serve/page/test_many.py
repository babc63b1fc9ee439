"""Many galaxies on the page: a table of several images, and those of a wide one."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galvote.simulate import simulate_galaxies
from galvote.trees import load_tree

GZ2 = load_tree("gz2")


@pytest.fixture(scope="module")
def wide_image(tmp_path_factory) -> Path:
    """Return a wide image with three rendered galaxies on it."""
    sky = np.random.default_rng(3).normal(9, 2.5, (300, 780, 3))
    galaxies = simulate_galaxies(3, seed=7, pixels=424, start=4)
    for place, galaxy in enumerate(galaxies):
        small = np.asarray(Image.fromarray(galaxy.image).resize((212, 212), Image.Resampling.BOX), np.float64)
        left = 40 + 245 * place
        sky[44:256, left : left + 212] += (small - np.median(small)).clip(0)
    path = tmp_path_factory.mktemp("wide") / "field.png"
    Image.fromarray(sky.clip(0, 255).astype(np.uint8)).save(path)
    return path


def test_several_pictures_are_a_table_to_sort_and_download(open_page, images):
    page = open_page()
    page.choose(*sorted(images.iterdir()))
    page.wait_for_selector(f"#table tbody tr:nth-child({len(list(images.iterdir()))})")
    page.wait_for_selector("#working", state="hidden")
    assert "1 of them cannot be read" in page.text_content("#status")

    page.click("th button:has-text('smooth')")
    assert page.get_attribute("th:has-text('smooth')", "aria-sort") == "descending"
    shares = page.locator("#table tbody tr td:nth-child(4)").all_inner_texts()
    numbers = [int(re.sub("[<%]", "", share.split()[0])) for share in shares[:-1]]
    assert numbers == sorted(numbers, reverse=True) and shares[-1] == "–"
    page.click("th button:has-text('name')")
    page.click("th button:has-text('name')")
    assert page.get_attribute("th:has-text('name')", "aria-sort") == "descending"
    assert page.get_attribute("th:has-text('smooth')", "aria-sort") == "none"
    names = page.locator("#table tbody th").all_inner_texts()
    assert names == sorted((path.name for path in images.iterdir()), reverse=True)
    assert "no image that galvote reads" in page.text("#table tr:has-text('notes.txt')")
    page.keep("table")

    with page.expect_download() as download:
        page.click("#download")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["id"] for row in rows] == sorted(names)
    assert list(rows[0])[7 : 7 + len(GZ2)] == list(GZ2.columns)
    for row in rows:
        if row["status"] == "ok":
            assert float(row["Class1.1_low"]) <= float(row["Class1.1"]) <= float(row["Class1.1_high"])
    assert {row["id"]: row["status"] for row in rows}["notes.txt"] == "not-an-image"

    page.click("#table button:has-text('merger.jpg')")
    page.wait_for_tree()
    assert page.text("#answer-name") == "merger.jpg"
    page.click("#back")
    assert page.evaluate("document.activeElement.textContent") == "merger.jpg"


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_wide_picture_shows_its_galaxies_to_click(open_page, wide_image, tmp_path, kind):
    file = tmp_path / f"field.{kind}"  # no browser but Safari shows TIFF
    with Image.open(wide_image) as image:
        image.save(file)
    page = open_page()
    page.check("input[value=field]")
    page.choose(file)
    page.wait_for_selector(".sky button")
    page.wait_for_selector("#working", state="hidden")
    found = page.locator(".sky button").count()
    assert found >= 3
    assert page.text("#field-title") == f"{file.name}: {found} galaxies"
    assert page.evaluate("document.querySelector('.sky img').naturalWidth") == image.width
    assert page.locator("#table tbody tr").count() == found
    page.click(".sky button >> nth=0")
    page.wait_for_tree()
    assert page.text("#answer-name") == "galaxy 1"
    assert page.get_attribute(".sky button >> nth=0", "aria-pressed") == "true"
    page.check("input[value=heat]", force=True)
    page.wait_for_selector("#heat:not([hidden])")
    assert page.violations() == []


def test_a_picture_of_another_scale_is_measured_or_searched(open_page, tmp_path):
    (galaxy,) = simulate_galaxies(1, seed=3, pixels=424)
    Image.fromarray(galaxy.image[132:292, 132:292]).save(tmp_path / "near.png")
    page = open_page()
    page.choose(tmp_path / "near.png")
    page.wait_for_tree()
    assert "larger than in GZ2 frames" in page.text("#scale-note") and "--scale" not in page.text(
        "#scale-note"
    )
    page.click("#scale-note button:has-text('Measure')")
    page.until("document.querySelector('#answer-model').textContent.includes('times that of a GZ2 frame')")
    page.wait_for_tree()
    assert page.is_hidden("#scale-note")
    assert page.violations() == []
    page.select_option("#scale", "", force=True)
    page.choose(tmp_path / "near.png")
    page.click("#scale-note button:has-text('Search')")
    page.wait_for_selector("#field:not([hidden])")


def test_a_sky_without_galaxies_says_what_to_do(open_page, tmp_path):
    sky = np.random.default_rng(0).normal(20, 4, (200, 300, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(sky).save(tmp_path / "sky.png")
    page = open_page()
    page.check("input[value=field]")
    page.choose(tmp_path / "sky.png")
    page.wait_for_selector("#field:not([hidden])")
    assert "no galaxies" in page.text("#field-title")
    assert "If it shows one galaxy, say so above" in page.text("#field-note")
    assert page.is_hidden("#list")


@pytest.mark.slow
def test_the_deep_field(open_page, tmp_path):
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.hubble_deep_field()[:600, :900]).save(tmp_path / "deep-field.jpg", quality=92)
    page = open_page()
    page.check("input[value=field]")
    page.choose(tmp_path / "deep-field.jpg")
    page.wait_for_selector(".sky button", timeout=60_000)
    page.click(".sky button >> nth=0")
    page.wait_for_tree()
    page.keep("field", at="#field")
    assert page.locator(".sky button").count() > 40
    assert page.violations() == []
