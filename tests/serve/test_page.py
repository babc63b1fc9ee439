"""The page in a real browser, served by a real process."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from galvote.images.simulate import simulate_galaxies
from galvote.serve.examples import draw_example

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
expect = playwright.expect
expect.set_options(timeout=30_000)  # the first search imports much, and machines are busy

CHROMIUM = shutil.which("chromium")
KEEP = "GALVOTE_SCREENSHOTS" in os.environ  # pictures for the docs, of the default model
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium on the PATH; `make browser` installs Debian's"
)


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve the tiny model, or the default one where its pictures are kept."""
    model = [] if KEEP else ["--model", str(request.getfixturevalue("calibrated"))]
    process = subprocess.Popen(
        [sys.executable, "-m", "galvote", "serve", "--port", "0", *model],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stderr
    address = ""
    for line in process.stderr:
        said = json.loads(line) if line.startswith("{") else {}
        address = said.get("url", address)
        if said.get("event") == "Application startup complete.":
            break
    yield address
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Open the page in windows of some kind; whatever they complain of fails the test."""
    complaints, windows = [], []

    def open_page(**options: Any) -> Any:
        window = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        windows.append(window)
        page = window.new_page()
        # The browser itself notes each refusal of the server; those are told apart by their text.
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        expect(page.locator("#examples button")).to_have_count(8)
        return page

    yield open_page
    for window in windows:
        window.close()
    assert [each for each in complaints if "status of 422" not in each] == []


@pytest.fixture
def keep() -> Callable[..., None]:
    """Keep pictures for the docs, if asked to."""

    def take(page: Any, name: str) -> None:
        if KEEP:
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(400)
            data = page.screenshot(full_page=True)
            shot = Image.open(io.BytesIO(data)).convert("RGB")
            shot.quantize(128).save(PICTURES / f"page-{name}.png", optimize=True)

    return take


def picture(name: str, data: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": data}


def choose(page: Any, *pictures: dict[str, Any]) -> None:
    page.set_input_files("#files", list(pictures))


def accessible(page: Any) -> None:
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_galaxy_its_path_tree_heat_map_and_turning(visit, keep, spiral, scheme):
    page = visit(color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("#empty")).to_be_visible()
    accessible(page)
    choose(page, picture("spiral.jpg", spiral))
    expect(page.get_by_role("heading", name="spiral.jpg")).to_be_focused()
    assert re.search(r"\(\d+\s%\)", page.locator("#one .path").inner_text())
    tree = page.locator(".drawings .wide svg")
    expect(tree.locator("g.answer")).to_have_count(37)
    assert tree.locator("path.band.likely").count() > 0
    assert tree.locator("line.interval").count() == 37
    tree.locator('[data-answer="Class4.1"][role=button]').click()
    expect(page.get_by_label("Question")).to_have_value("spiral")
    page.get_by_role("button", name="Show what mattered").click()
    overlay = page.get_by_alt_text(re.compile("Heat map"))
    expect(overlay).to_be_visible()
    assert overlay.evaluate("image => image.naturalWidth") == 256
    accessible(page)
    keep(page, scheme)
    page.get_by_role("button", name="Turn it").click()
    expect(page.get_by_text("on average over 24 angles")).to_be_visible()
    expect(overlay).to_be_visible()
    page.get_by_role("slider").press("ArrowRight")
    assert "rotate(-15deg)" in page.locator(".frame-of-galaxy").get_attribute("style")
    accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_several_pictures_are_a_table_to_sort_and_download(visit, keep, spiral, scheme):
    page = visit(color_scheme=scheme)
    names = ["spiral", "round", "edge-on", "oval"]
    good = [picture(f"{name}.jpg", draw_example(name)) for name in names]
    choose(page, *good, picture("=notes.txt", b"prose", "text/plain"))
    expect(page.locator("#status")).to_contain_text("4 of 5 pictures classified")
    rows = page.locator(".galaxies tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.last).to_contain_text("not-an-image")
    accessible(page)
    if scheme == "light":
        keep(page, "table")
    page.get_by_role("button", name="smooth").click()
    heading = page.get_by_role("columnheader", name="smooth")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    shares = [int(text.strip("<%\xa0")) for text in rows.locator("td:nth-child(3)").all_inner_texts()[1:]]
    assert shares == sorted(shares)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["id"] for row in table] == [*(f"{name}.jpg" for name in names), "'=notes.txt"]
    assert 0 <= float(table[0]["Class1.1_low"]) <= float(table[0]["Class1.1"]) <= 1
    page.get_by_role("button", name="round.jpg").click()
    expect(page.get_by_role("heading", name="round.jpg")).to_be_visible()
    page.get_by_role("button", name="Back to all").click()
    expect(rows).to_have_count(5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_no_picture_is_told_beside_the_button(visit, spiral, scheme):
    page = visit(color_scheme=scheme)
    choose(page, picture("notes.txt", b"prose", "text/plain"))
    expect(page.get_by_role("alert")).to_contain_text("notes.txt")
    accessible(page)
    choose(page, picture("<b>good.jpg", spiral))  # no markup
    expect(page.get_by_role("heading", name="<b>good.jpg")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_keyboard_alone_is_enough(visit):
    page = visit(reduced_motion="reduce")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the result")).to_be_focused()
    example = page.locator("#examples button").first
    for _ in range(8):
        page.keyboard.press("Tab")
        if example.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#one h2")).to_be_focused()
    answer = page.locator('.wide [data-answer="Class2.1"][role=button]')
    for _ in range(40):
        page.keyboard.press("Tab")
        if answer.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(answer).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Question")).to_have_value("edge_on")


def test_a_phone_shows_all_within_its_width(visit, keep, spiral):
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True, reduced_motion="reduce")
    choose(page, picture("spiral.jpg", spiral))
    expect(page.locator(".drawings .narrow svg")).to_be_visible()
    expect(page.locator(".drawings .wide svg")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    accessible(page)
    keep(page, "phone")


def test_a_wide_picture_is_searched_and_its_galaxies_open(visit):
    galaxies = simulate_galaxies(2, seed=7, pixels=424, start=6)
    file = io.BytesIO()
    Image.fromarray(np.hstack([galaxy.picture for galaxy in galaxies])).save(file, "PNG")
    page = visit(reduced_motion="reduce")
    page.get_by_label("Search a wide picture").check()
    choose(page, picture("field.png", file.getvalue(), "image/png"))
    expect(page.locator("#status")).to_contain_text("galaxies found")
    boxes = page.locator(".field .box")
    assert boxes.count() == page.locator(".galaxies tbody tr").count() >= 2
    accessible(page)
    boxes.first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="galaxy 1")).to_be_visible()
    page.get_by_role("button", name="Back to all").click()
    expect(boxes.first).to_be_visible()


def test_pasted_pictures_are_taken(visit, spiral):
    page = visit()
    page.evaluate(
        """async (url) => {
            const data = new DataTransfer();
            data.items.add(new File([await (await fetch(url)).blob()], "pasted.jpg", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        "/v1/examples/ring.jpg",
    )
    expect(page.get_by_role("heading", name="pasted.jpg")).to_be_visible()
