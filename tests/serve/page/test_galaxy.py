"""One galaxy on the page: its path and tree, what mattered, how it is rotated."""

import re

import numpy as np
from PIL import Image

from galvote.trees import load_tree

GZ2 = load_tree("gz2")

NASTY = '<img src=x onerror=alert(1)> & "quoted".jpg'


PHONE = {"width": 360, "height": 740}


def test_a_picture_becomes_a_path_and_a_tree_with_intervals(open_page, images, tmp_path):
    page = open_page()
    named = tmp_path / NASTY
    named.write_bytes((images / "edge-on.jpg").read_bytes())
    page.choose(named)
    page.wait_for_tree()
    assert page.text("#answer-name") == NASTY
    assert page.text("#answer-title") == "featured → edge-on, rounded bulge → nothing odd"
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


def test_picture_words_and_tree_are_seen_without_scrolling(open_page):
    page = open_page(viewport={"width": 1280, "height": 800})
    page.click("#examples button:has-text('merger')")
    page.wait_for_tree()
    for part in ("#answer-title", "#aperture", "#tree svg"):
        place = page.locator(part).bounding_box()
        assert place["y"] >= 0 and place["y"] + place["height"] <= 800, part
    assert "merger" in page.text("#answer-title")


def test_what_is_unlike_training_galaxies_has_no_bold_words(open_page, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page = open_page()
    page.choose(tmp_path / "noise.png")
    page.wait_for_tree()
    assert page.text("#answer-title").startswith("unknown, at best ")
    weights = "all => all.map(each => Number(getComputedStyle(each).fontWeight))"
    assert set(page.eval_on_selector_all("#answer-title, #tree .likely .words", weights)) == {400}


def test_what_mattered_is_shown_for_the_answer_that_is_chosen(open_page):
    page = open_page()
    page.click("#examples button:has-text('barred spiral')")
    page.wait_for_tree()
    heats = []
    for column, method in (
        ("Class3.1", "gradcam"),
        ("Class4.1", "gradcam"),
        ("Class4.1", "integrated-gradients"),
    ):
        page.click(f"#tree g.answer[data-answer='{column}']")
        page.wait_for_selector("#heat:not([hidden])")
        page.select_option("#method", method)
        page.until("!document.querySelector('.aperture.waiting')")
        heats.append(page.get_attribute("#heat", "src"))
        assert page.get_attribute(f"#tree g.answer[data-answer='{column}']", "aria-pressed") == "true"
    assert all(heat.startswith("data:image/png;base64,") for heat in heats)
    assert len(set(heats)) == 3
    assert "“spiral”" in page.text("#stage-caption")
    assert page.input_value("#question") == "spiral"
    page.select_option("#question", "bar")
    page.until("document.querySelector('#stage-caption').textContent.includes('bar”')")
    page.check("input[value=image]", force=True)
    assert page.is_hidden("#heat")


def test_the_rotated_galaxy_says_how_stable_it_is(open_page):
    page = open_page(reduced_motion="no-preference")
    page.click("#examples button:has-text('oval')")
    page.wait_for_tree()
    page.click("#rotate")
    page.until("Number(document.querySelector('#angle').value) >= 10")
    assert page.text("#rotate") == "Pause"
    page.click("#rotate")
    page.fill("#angle", "90")
    assert page.evaluate("getComputedStyle(document.querySelector('#image')).rotate") == "-90deg"
    assert "points from their mean" in page.text("#rotate-note")
    assert re.search(r"“smooth” has from \d+ % to \d+ %", page.get_attribute(".chart", "aria-label"))
    assert page.locator(".chart polyline").count() == 3
    page.click("#tree g.answer[data-answer='Class7.2']")
    page.wait_for_selector("#heat:not([hidden])")
    assert "“in between”" in page.get_attribute(".chart", "aria-label")
    assert page.evaluate("getComputedStyle(document.querySelector('#image')).rotate") in ("0deg", "none")


def test_the_model_that_answered_explains_even_if_another_is_chosen_for_the_next(open_page, own_tree):
    page = open_page(reduced_motion="reduce")
    page.click("#examples button:has-text('oval')")
    page.wait_for_tree()
    width = "document.querySelector('#image').style.scale"
    before = page.evaluate(width)
    page.click("summary:has-text('Settings')")
    page.select_option("#model", "two-questions")
    assert "two-questions" in page.text("#model-text")
    assert (own_tree.title or own_tree.name) in page.text("#tree-text")
    assert "Answered by galvote-small." in page.text("#tree-note")
    with page.expect_request("**/v1/explain?*") as explained:
        page.check("input[value=heat]", force=True)
    with page.expect_request("**/v1/rotate?*") as rotated:
        page.click("#rotate")
    for asked in (explained, rotated):
        assert "model=galvote-small&" in asked.value.url
    page.wait_for_selector(".chart")
    page.evaluate("document.querySelector('#image').onload()")
    assert page.evaluate(width) == before


def test_a_tree_of_two_questions_has_its_own_words(open_page, images, own_tree):
    page = open_page(reduced_motion="reduce")
    page.wait_for_selector("#examples li")
    page.click("summary:has-text('Settings')")
    page.select_option("#model", "two-questions")
    page.choose(images / "oval.jpg", images / "merger.jpg")
    page.wait_for_selector("#table tbody tr:nth-child(2)")
    page.wait_for_selector("#working", state="hidden")
    headings = page.locator("#table thead th").all_inner_texts()
    labels = dict(zip(own_tree.labels, own_tree.answers, strict=True))
    assert headings[2:-1] == [labels[label].phrase for label in own_tree.highlights]
    page.click("#table button:has-text('merger.jpg')")
    page.wait_for_tree()
    drawn = page.eval_on_selector_all("#tree g.answer", "all => all.map(each => each.dataset.answer)")
    assert drawn == list(own_tree.columns)
    options = page.locator("#question option").all_inner_texts()
    assert options == [question.text for question in own_tree.questions]
    last = own_tree.questions[-1]
    page.check("input[value=heat]", force=True)
    page.select_option("#question", last.name)
    page.wait_for_selector("#heat:not([hidden])")
    page.click("#rotate")
    page.wait_for_selector(".chart")
    assert page.locator(".chart polyline").count() == len(last.answers)
    assert page.violations() == []


def test_nothing_moves_for_those_who_do_not_want_it(open_page):
    page = open_page(reduced_motion="reduce")
    page.click("#examples button:has-text('oval')")
    page.wait_for_tree()
    page.click("#rotate")
    page.wait_for_selector(".chart")
    page.wait_for_timeout(200)
    assert page.input_value("#angle") == "0"
    assert page.evaluate("document.activeElement.id") == "angle"
    page.keyboard.press("ArrowRight")
    assert page.text("#angle-text") == "10°"


def test_the_drawing_follows_the_width_of_the_window(open_page):
    page = open_page()
    page.click("#examples button:has-text('round')")
    page.wait_for_tree()
    page.set_viewport_size(PHONE)
    page.until("document.querySelector('#tree svg').viewBox.baseVal.width < 400")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.until("document.querySelector('#tree svg').viewBox.baseVal.width > 800")
