"""The page for everybody: by keyboard, to a screen reader, on a phone, dark and light (axe)."""

from typing import Any

import pytest

DESK, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}


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
    page.wait_for_tree()
    page.until("document.activeElement.id === 'answer-title'")
    tab_to("rotate")
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


@pytest.mark.parametrize(
    ("size", "names"), [(DESK, {"light": "light", "dark": "dark"}), (PHONE, {"light": "phone"})]
)
def test_an_answer_is_accessible_at_a_desk_and_on_a_phone(open_page, size, names):
    page = open_page(viewport=size)
    page.wait_for_selector("#examples li")
    assert_accessible(page)
    page.click("#examples button:has-text('barred spiral')")
    page.wait_for_tree()
    page.click("#tree g.answer[data-answer='Class4.1']")
    page.wait_for_selector("#heat:not([hidden])")
    for scheme, name in names.items():
        page.emulate_media(color_scheme=scheme)
        page.keep(name)
    page.click("#rotate")
    page.wait_for_selector(".chart")
    page.click("#rotate")
    page.click("summary:has-text('All answers')")
    assert_accessible(page)
    narrow = page.evaluate("document.querySelector('#tree svg').viewBox.baseVal.width") < 400
    assert narrow == (size is PHONE)


def assert_accessible(page: Any) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.violations() == []
        assert page.fits()


def test_a_table_is_accessible_and_fits_a_phone(open_page, images):
    page = open_page(viewport=PHONE)
    page.choose(images / "merger.jpg", images / "notes.txt", images / "oval.jpg")
    page.wait_for_selector("#table tbody tr:nth-child(3)")
    page.wait_for_selector("#working", state="hidden")
    assert_accessible(page)
