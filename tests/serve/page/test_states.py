"""What the page is given, what it refuses, and what it says while it waits."""

import json
import re
import urllib.request

import pytest

GIVEN = """async ([name, paste]) => {
  const data = new DataTransfer();
  data.items.add(new File([await (await fetch("/v1/examples/round.jpg")).blob()], name));
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
    page.wait_for_tree()
    assert page.text("#answer-name") == "given.jpg"


def test_what_is_no_picture_is_told_beside_the_button(open_page, images):
    page = open_page(expects="422")
    page.choose(images / "notes.txt")
    page.wait_for_selector("#problem:not([hidden])")
    said = page.text("#problem")
    assert said.startswith("notes.txt: This is no image that galvote reads")
    assert "Choose another file" in said
    assert page.is_hidden("#answer")
    page.keep("error", at="main")
    assert page.violations() == []
    page.click("#examples button:has-text('round')")
    page.wait_for_tree()
    assert page.is_hidden("#problem")


def test_a_server_that_is_gone_can_be_tried_again_and_one_that_never_can_is_not(open_page):
    page = open_page(expects="Failed to load resource")
    page.wait_for_selector("#examples li")
    page.route("**/v1/predict*", lambda route: route.abort())
    page.click("#examples button:has-text('round')")
    page.wait_for_selector("#problem:not([hidden])")
    assert "cannot be reached" in page.text("#problem")
    page.unroute("**/v1/predict*")
    page.click("#problem button")
    page.wait_for_tree()
    body = json.dumps({"error": {"status": "not-available", "message": "An exported model cannot do that."}})
    page.route(
        "**/v1/predict*", lambda route: route.fulfill(status=501, content_type="application/json", body=body)
    )
    page.click("#examples button:has-text('round')")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.text("#problem") == "An exported model cannot do that."


def test_work_shows_its_progress_and_can_be_stopped(open_page, images):
    page = open_page()
    page.wait_for_selector("#examples li")
    held = []
    page.route("**/v1/predict*", lambda route: held.append(route))
    page.choose(images / "merger.jpg")
    page.wait_for_selector("#working:not([hidden])")
    assert page.text("#working-text") == "Looking at merger.jpg …"
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
    assert page.violations() == []
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The server does not know that token")
    page.fill("#token", "letmein")
    page.keyboard.press("Enter")
    page.wait_for_selector("#examples li")
    page.reload()
    page.click("#examples button:has-text('round')")
    page.wait_for_tree()
    assert page.is_hidden("#token-dialog")


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(address):
    with urllib.request.urlopen(address) as answer:
        policy, html = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", html)
    for place in re.findall(r"(?:src|href)=\"([^\"]+)\"", html):
        assert place.startswith(("/", "#", "https://doi.org/")), place


def test_the_documentation_has_samples_and_a_form(open_page, address, images, tmp_path, monkeypatch, capsys):
    page = open_page(path="docs", expects="JsonSchema_string_binary")  # of Swagger UI itself
    page.click("[data-path='/v1/predict']")
    page.wait_for_selector("pre:has-text('galvote-small')")
    page.set_input_files("input[type=file]", images / "edge-on.jpg")
    page.click("button.execute")
    page.wait_for_selector(".live-responses-table >> text=featured → edge-on")
    assert page.locator(".info pre code").count() == 3
    code = page.locator(".info pre:has-text('urllib')").inner_text()
    (tmp_path / "a.jpg").write_bytes((images / "round.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(code.replace("http://127.0.0.1:8000/", address))
    assert "completely round" in capsys.readouterr().out
