"""A real browser before a real server: Debian's Chromium, driven by Playwright.

``GALVOTE_PICTURES=docs/pictures`` keeps the screenshots that the documentation shows.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from galvote.serve.examples import EXAMPLES

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Visit:
    """Playwright's page, with what the tests do on it again and again."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def __getattr__(self, name: str) -> Any:
        return getattr(self._page, name)

    def keep(self, name: str, *, at: str = "") -> None:
        """Keep a screenshot for the documentation, if wanted: of the whole page, or from some part on."""
        if folder := os.environ.get("GALVOTE_PICTURES"):
            self.mouse.move(0, 0)
            self.evaluate("document.activeElement.blur()")
            self.evaluate("at => at ? document.querySelector(at).scrollIntoView() : scrollTo(0, 0)", at)
            self.wait_for_timeout(300)
            self.screenshot(path=Path(folder) / f"page-{name}.png", full_page=not at)

    def choose(self, *paths: Path) -> None:
        self.set_input_files("#file", [str(path) for path in paths])

    def wait_for_tree(self) -> None:
        self.wait_for_selector("#tree svg")
        self.wait_for_selector("#working", state="hidden")

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true; the page's policy forbids the browser to wait itself."""
        ends = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < ends, expression
            self.wait_for_timeout(50)

    def text(self, selector: str) -> str:
        return self.inner_text(selector)

    def fits(self) -> bool:
        """Return whether nothing sticks out at the side."""
        return self.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def violations(self) -> list[str]:
        """Return what axe finds inaccessible."""
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="this needs: pip install axe-playwright-python"
        )
        found = axe.Axe().run(self._page).response["violations"]
        return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


@pytest.fixture(scope="session")
def address(own_model: Path) -> Iterator[str]:
    """Run `galvote serve` on a free port: a shipped model, and one with a tree of two questions."""
    command = [sys.executable, "-m", "galvote", "serve", "--port", "0"]
    command += ["--model", "galvote-small", "--model", str(own_model)]
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


@pytest.fixture(scope="module")  # its event loop would be in the way of other tests
def browser():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the page's tests need: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("the page's tests need Chromium: make browser, or apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address: str) -> Iterator[Callable[..., Visit]]:
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
        return Visit(page)

    yield open_
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Return a folder of galaxies and a file that is no picture."""
    folder = tmp_path_factory.mktemp("images")
    for name, path in EXAMPLES.items():
        (folder / f"{name}.jpg").write_bytes(path.read_bytes())
    (folder / "notes.txt").write_text("This is no picture.")
    return folder
