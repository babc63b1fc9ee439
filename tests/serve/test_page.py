"""The page in a real browser, before a real server: Debian's Chromium, driven by Playwright.

``GALVOTE_PICTURES=docs/pictures`` keeps the screenshots that the documentation shows.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galvote.images.simulate import simulate_galaxies
from galvote.serve.examples import EXAMPLES, draw_example
from galvote.tree import GZ2

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need: pip install playwright")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="they need: pip install axe-playwright-python"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="the page's tests need Chromium: make browser, or apt-get install chromium"
)

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 360, "height": 740}
NASTY = '<img src=x onerror=alert(1)> & "quoted".jpg'


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Run `galvote serve` on a free port."""
    command = [sys.executable, "-m", "galvote", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        assert process.stdout is not None
        said, found = "", None
        for line in process.stdout:
            said += line
            found = found or re.search(r"http://[^\s\"]+", line)
            if found and "ready" in line:
                break
        assert found, said
        reader = threading.Thread(target=process.stdout.read)  # so that its log never fills the pipe
        reader.start()
        yield found[0]
        process.send_signal(signal.SIGTERM)
        reader.join()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address: str) -> Iterator[Callable[..., object]]:
    """Open the page; it must ask nothing of others and have no errors but those that the test expects."""
    contexts, errors, asked = [], list[str](), list[str]()

    def open_(*, expects: str = "", path: str = "", prepare=lambda page: None, **settings):
        settings = {"viewport": {"width": 1280, "height": 860}, **settings}
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))

        def listen(message):
            if message.type in ("error", "warning") and not (expects and expects in message.text):
                errors.append(message.text)

        page.on("console", listen)
        prepare(page)
        page.goto(address + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Return a folder of eight galaxies, one of them with a nasty name, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in EXAMPLES:
        (folder / f"{name}.jpg").write_bytes(draw_example(name))
    (folder / "notes.txt").write_text("This is no picture.")
    return folder


@pytest.fixture(scope="module")
def wide_picture(tmp_path_factory) -> Path:
    """Return a wide picture with three rendered galaxies on it."""
    sky = np.random.default_rng(3).normal(9, 2.5, (300, 780, 3))
    galaxies = simulate_galaxies(3, seed=7, pixels=424, start=4)
    for place, galaxy in enumerate(galaxies):
        small = np.asarray(
            Image.fromarray(galaxy.picture).resize((212, 212), Image.Resampling.BOX), np.float64
        )
        left = 40 + 245 * place
        sky[44:256, left : left + 212] += (small - np.median(small)).clip(0)
    path = tmp_path_factory.mktemp("wide") / "field.png"
    Image.fromarray(sky.clip(0, 255).astype(np.uint8)).save(path)
    return path


def keep(page, name: str, *, at: str = "") -> None:
    """Keep a screenshot for the documentation, if that is wanted: of the whole page, or from some part on."""
    if folder := os.environ.get("GALVOTE_PICTURES"):
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        page.evaluate("at => at ? document.querySelector(at).scrollIntoView() : scrollTo(0, 0)", at)
        page.wait_for_timeout(300)
        page.screenshot(path=Path(folder) / f"page-{name}.png", full_page=not at)


def choose(page, *paths: Path) -> None:
    page.set_input_files("#file", [str(path) for path in paths])


def wait_for_tree(page) -> None:
    page.wait_for_selector("#tree svg")
    page.wait_for_selector("#working", state="hidden")


def until(page, expression: str, seconds: float = 20) -> None:
    """Wait until an expression is true; the page's policy forbids that the browser waits for it itself."""
    ends = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < ends, expression
        page.wait_for_timeout(50)


def text(page, selector: str) -> str:
    return page.inner_text(selector)


def fits(page) -> bool:
    """Return whether nothing sticks out at the side."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def violations(page) -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


def test_a_picture_becomes_a_path_and_a_tree_with_intervals(open_page, pictures, tmp_path):
    page = open_page()
    named = tmp_path / NASTY
    named.write_bytes((pictures / "edge-on.jpg").read_bytes())
    choose(page, named)
    wait_for_tree(page)
    assert text(page, "#answer-name") == NASTY
    assert text(page, "#answer-title") == "featured → edge-on, rounded bulge → nothing odd"
    answers = page.locator("#tree g.answer")
    assert answers.count() == len(GZ2)
    for place in range(len(GZ2)):
        assert re.search(
            r": <?\d+% of all volunteers, interval \d+% to \d+%$",
            answers.nth(place).get_attribute("aria-label"),
        )
    likely = page.eval_on_selector_all("#tree g.likely.answer", "all => all.map(each => each.dataset.answer)")
    assert likely == ["Class1.2", "Class2.1", "Class9.1", "Class6.2"]
    page.click("summary:has-text('All answers')")
    rows = page.locator("#answers tbody tr")
    assert rows.count() == len(GZ2)
    assert re.search(r"featur.* \d+ %\s+\d+–\d+", rows.nth(1).inner_text().replace("\t", " "))
    assert "featured → edge-on" in page.text_content("#status")


def test_what_mattered_is_shown_for_the_answer_that_is_chosen(open_page):
    page = open_page()
    page.click("#examples button:has-text('barred spiral')")
    wait_for_tree(page)
    heats = []
    for column, method in (
        ("Class3.1", "gradcam"),
        ("Class4.1", "gradcam"),
        ("Class4.1", "integrated-gradients"),
    ):
        page.click(f"#tree g.answer[data-answer='{column}']")
        page.wait_for_selector("#heat:not([hidden])")
        page.select_option("#method", method)
        until(page, "!document.querySelector('.aperture.waiting')")
        heats.append(page.get_attribute("#heat", "src"))
        assert page.get_attribute(f"#tree g.answer[data-answer='{column}']", "aria-pressed") == "true"
    assert all(heat.startswith("data:image/png;base64,") for heat in heats)
    assert len(set(heats)) == 3
    assert "“spiral”" in text(page, "#stage-caption")
    assert page.input_value("#question") == "spiral"
    page.select_option("#question", "bar")
    until(page, "document.querySelector('#stage-caption').textContent.includes('bar”')")
    page.check("input[value=picture]", force=True)
    assert page.is_hidden("#heat")


def test_the_turned_galaxy_says_how_stable_it_is(open_page):
    page = open_page(reduced_motion="no-preference")
    page.click("#examples button:has-text('oval')")
    wait_for_tree(page)
    page.click("#turn")
    until(page, "Number(document.querySelector('#angle').value) >= 10")
    assert text(page, "#turn") == "Pause"
    page.click("#turn")
    page.fill("#angle", "90")
    assert page.evaluate("getComputedStyle(document.querySelector('#picture')).rotate") == "-90deg"
    assert "points from their mean" in text(page, "#turn-note")
    assert re.search(r"“smooth” has from \d+ % to \d+ %", page.get_attribute(".chart", "aria-label"))
    assert page.locator(".chart polyline").count() == 3
    page.click("#tree g.answer[data-answer='Class7.2']")
    page.wait_for_selector("#heat:not([hidden])")
    assert "“in between”" in page.get_attribute(".chart", "aria-label")
    assert page.evaluate("getComputedStyle(document.querySelector('#picture')).rotate") in ("0deg", "none")


def test_nothing_moves_for_those_who_do_not_want_it(open_page):
    page = open_page(reduced_motion="reduce")
    page.click("#examples button:has-text('oval')")
    wait_for_tree(page)
    page.click("#turn")
    page.wait_for_selector(".chart")
    page.wait_for_timeout(200)
    assert page.input_value("#angle") == "0"
    assert page.evaluate("document.activeElement.id") == "angle"
    page.keyboard.press("ArrowRight")
    assert text(page, "#angle-text") == "10°"


def test_several_pictures_are_a_table_to_sort_and_download(open_page, pictures):
    page = open_page()
    choose(page, *sorted(pictures.iterdir()))
    page.wait_for_selector("#table tbody tr:nth-child(9)")
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
    assert names == sorted((path.name for path in pictures.iterdir()), reverse=True)
    assert "no picture that galvote reads" in text(page, "#table tr:has-text('notes.txt')")
    keep(page, "table")

    with page.expect_download() as download:
        page.click("#download")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["id"] for row in rows] == sorted(names)
    assert list(rows[0])[5 : 5 + len(GZ2)] == list(GZ2.columns)
    for row in rows:
        if row["status"] == "ok":
            assert float(row["Class1.1_low"]) <= float(row["Class1.1"]) <= float(row["Class1.1_high"])
    assert {row["id"]: row["status"] for row in rows}["notes.txt"] == "not-an-image"

    page.click("#table button:has-text('ring.jpg')")
    wait_for_tree(page)
    assert text(page, "#answer-name") == "ring.jpg"
    page.click("#back")
    assert page.evaluate("document.activeElement.textContent") == "ring.jpg"


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_wide_picture_shows_its_galaxies_to_click(open_page, wide_picture, tmp_path, kind):
    file = tmp_path / f"field.{kind}"  # no browser but Safari shows TIFF
    with Image.open(wide_picture) as picture:
        picture.save(file)
    page = open_page()
    page.check("input[value=field]")
    choose(page, file)
    page.wait_for_selector(".sky button")
    page.wait_for_selector("#working", state="hidden")
    found = page.locator(".sky button").count()
    assert found >= 3
    assert text(page, "#field-title") == f"{file.name}: {found} galaxies"
    assert page.evaluate("document.querySelector('.sky img').naturalWidth") == picture.width
    assert page.locator("#table tbody tr").count() == found
    page.click(".sky button >> nth=0")
    wait_for_tree(page)
    assert text(page, "#answer-name") == "galaxy 1"
    assert page.get_attribute(".sky button >> nth=0", "aria-pressed") == "true"
    page.check("input[value=heat]", force=True)
    page.wait_for_selector("#heat:not([hidden])")
    assert violations(page) == []


def test_a_sky_without_galaxies_says_what_to_do(open_page, tmp_path):
    sky = np.random.default_rng(0).normal(20, 4, (200, 300, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(sky).save(tmp_path / "sky.png")
    page = open_page()
    page.check("input[value=field]")
    choose(page, tmp_path / "sky.png")
    page.wait_for_selector("#field:not([hidden])")
    assert "no galaxies" in text(page, "#field-title")
    assert "If it shows one galaxy, say so above" in text(page, "#field-note")
    assert page.is_hidden("#list")


def test_what_is_no_picture_is_told_beside_the_button(open_page, pictures):
    page = open_page(expects="422")
    choose(page, pictures / "notes.txt")
    page.wait_for_selector("#problem:not([hidden])")
    said = text(page, "#problem")
    assert said.startswith("notes.txt: This is no picture that galvote reads")
    assert "Choose another file" in said
    assert page.is_hidden("#answer")
    keep(page, "error", at="main")
    assert violations(page) == []
    page.click("#examples button:has-text('round')")
    wait_for_tree(page)
    assert page.is_hidden("#problem")


def test_a_server_that_is_gone_can_be_tried_again(open_page):
    page = open_page(expects="Failed to load resource")
    page.wait_for_selector("#examples li")
    page.route("**/v1/predict*", lambda route: route.abort())
    page.click("#examples button:has-text('round')")
    page.wait_for_selector("#problem:not([hidden])")
    assert "cannot be reached" in text(page, "#problem")
    page.unroute("**/v1/predict*")
    page.click("#problem button")
    wait_for_tree(page)


GIVEN = """async ([name, paste]) => {
  const data = new DataTransfer();
  data.items.add(new File([await (await fetch("/v1/examples/star.jpg")).blob()], name));
  const event = paste
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("paste", [True, False])
def test_pictures_can_be_pasted_and_dropped(open_page, paste):
    page = open_page()
    page.wait_for_selector("#examples li")
    page.evaluate(GIVEN, ["given.jpg", paste])
    wait_for_tree(page)
    assert text(page, "#answer-name") == "given.jpg"


def test_work_shows_its_progress_and_can_be_stopped(open_page, pictures):
    page = open_page()
    page.wait_for_selector("#examples li")
    held = []
    page.route("**/v1/predict*", lambda route: held.append(route))
    choose(page, pictures / "ring.jpg")
    page.wait_for_selector("#working:not([hidden])")
    assert text(page, "#working-text") == "Looking at ring.jpg …"
    page.wait_for_timeout(100)
    page.click("#stop")
    page.wait_for_selector("#working", state="hidden")
    assert page.text_content("#status") == "Stopped."
    assert page.is_hidden("#problem")
    held[0].abort()


def test_a_token_is_asked_for_once(open_page):
    def guard(route):
        if route.request.headers.get("authorization") == "Bearer letmein":
            route.continue_()
        else:
            problem = {"schema": "1", "error": {"status": "unauthorized", "message": "a token"}}
            route.fulfill(status=401, content_type="application/json", body=json.dumps(problem))

    page = open_page(expects="401", prepare=lambda page: page.route("**/v1/**", guard))
    page.wait_for_selector("#token-dialog[open]")
    assert violations(page) == []
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The server does not know that token")
    page.fill("#token", "letmein")
    page.keyboard.press("Enter")
    page.wait_for_selector("#examples li")
    page.reload()
    page.click("#examples button:has-text('round')")
    wait_for_tree(page)
    assert page.is_hidden("#token-dialog")


def test_everything_can_be_done_with_the_keyboard(open_page):
    page = open_page(reduced_motion="reduce")
    page.wait_for_selector("#examples li")

    def focused() -> str:
        return page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")

    def tab_to(wanted: str, most: int = 40) -> None:
        for _ in range(most):
            if wanted == focused() or page.evaluate("document.activeElement.id") == wanted:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} cannot be reached; {focused()} has the focus")

    page.keyboard.press("Tab")
    assert focused() == "Skip to the results"
    tab_to("choose")
    tab_to("edge on")
    page.keyboard.press("Enter")
    wait_for_tree(page)
    until(page, "document.activeElement.id === 'answer-title'")
    tab_to("turn")
    page.keyboard.press("Enter")
    page.wait_for_selector(".chart")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.answer") == "Class1.2":
            break
    assert page.evaluate("document.activeElement.getAttribute('role')") == "button"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.answer") != "Class1.2"
    answer = page.evaluate("document.activeElement.dataset.answer")
    page.keyboard.press("Enter")
    page.wait_for_selector("#heat:not([hidden])")
    assert page.get_attribute(f"#tree g.answer[data-answer='{answer}']", "aria-pressed") == "true"
    outline = page.evaluate("getComputedStyle(document.activeElement.querySelector('.reach')).strokeWidth")
    assert float(outline.removesuffix("px")) >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_answer_is_accessible_at_a_desk_and_on_a_phone(open_page, scheme):
    for size, name in (({"width": 1280, "height": 860}, scheme), (PHONE, "phone")):
        page = open_page(viewport=size, color_scheme=scheme)
        page.wait_for_selector("#examples li")
        assert violations(page) == []
        assert fits(page)
        page.click("#examples button:has-text('barred spiral')")
        wait_for_tree(page)
        page.click("#tree g.answer[data-answer='Class4.1']")
        page.wait_for_selector("#heat:not([hidden])")
        if name != "phone" or scheme == "light":
            keep(page, name)
        page.click("#turn")
        page.wait_for_selector(".chart")
        page.click("#turn")
        page.click("summary:has-text('All answers')")
        assert violations(page) == []
        assert fits(page)
        narrow = page.evaluate("document.querySelector('#tree svg').viewBox.baseVal.width") < 400
        assert narrow == (size is PHONE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_is_accessible_and_fits_a_phone(open_page, pictures, scheme):
    page = open_page(viewport=PHONE, color_scheme=scheme)
    choose(page, pictures / "ring.jpg", pictures / "notes.txt", pictures / "oval.jpg")
    page.wait_for_selector("#table tbody tr:nth-child(3)")
    page.wait_for_selector("#working", state="hidden")
    assert violations(page) == []
    assert fits(page)


def test_the_drawing_follows_the_width_of_the_window(open_page):
    page = open_page()
    page.click("#examples button:has-text('round')")
    wait_for_tree(page)
    page.set_viewport_size(PHONE)
    until(page, "document.querySelector('#tree svg').viewBox.baseVal.width < 400")
    page.set_viewport_size({"width": 1280, "height": 800})
    until(page, "document.querySelector('#tree svg').viewBox.baseVal.width > 800")


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(address):
    with urllib.request.urlopen(address) as answer:
        policy, html = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", html)
    for place in re.findall(r"(?:src|href)=\"([^\"]+)\"", html):
        assert place.startswith(("/", "#", "https://doi.org/")), place


@pytest.mark.slow
def test_the_deep_field(open_page, tmp_path):
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.hubble_deep_field()[:600, :900]).save(tmp_path / "deep-field.jpg", quality=92)
    page = open_page()
    page.check("input[value=field]")
    choose(page, tmp_path / "deep-field.jpg")
    page.wait_for_selector(".sky button", timeout=60_000)
    page.click(".sky button >> nth=0")
    wait_for_tree(page)
    keep(page, "field", at="#field")
    assert page.locator(".sky button").count() > 40
    assert violations(page) == []
