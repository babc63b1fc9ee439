"""The tree as a drawing: what a reader sees, and what a screen reader says."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galvote.errors import FractionError
from galvote.report.canvas import NIGHT
from galvote.report.figures import INK, VALIDATION
from galvote.report.style import palette, style_sheet
from galvote.report.tree_drawing import NARROW, WIDE, draw_tree
from galvote.trees import Answer, DecisionTree, Question, decision_path, load_tree, to_cumulative

GZ2 = load_tree("gz2")

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def galaxy(seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    conditional = [rng.dirichlet(np.full(len(question.answers), 0.7)) for question in GZ2.questions]
    return to_cumulative(GZ2, np.concatenate(conditional)[None])[0]


def parse(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def answers(drawing: str) -> dict[str, ElementTree.Element]:
    groups = parse(drawing).findall("svg:g[@data-answer]", NAMES)
    return {group.get("data-answer", ""): group for group in groups}


def bands(drawing: str) -> dict[str, ElementTree.Element]:
    paths = parse(drawing).findall("svg:path", NAMES)
    return {path.get("data-answer", ""): path for path in paths}


def width_of(band: ElementTree.Element) -> float:
    """Return how wide a band ends: from the end of its left edge to the start of its right."""
    left, right = band.get("d", "").split("L")
    return float(right.split()[0]) - float(re.findall(r"([\d.-]+) [\d.-]+(?=[VC]|$)", left)[-1])


def text_of(element: ElementTree.Element) -> str:
    return " ".join(part for text in element.iter() if "text" in text.tag for part in text.itertext())


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_answer_has_its_fraction_and_its_interval(width: int) -> None:
    fractions = galaxy()
    low, high = (fractions - 0.05).clip(0, 1), (fractions + 0.1).clip(0, 1)
    drawn = answers(draw_tree(GZ2, fractions, low, high, width=width))
    assert list(drawn) and set(drawn) == set(GZ2.columns)
    for i, answer in enumerate(GZ2.answers):
        group = drawn[answer.column]
        title = group.findtext("svg:title", "", NAMES)
        assert title.startswith(f"{answer.text}: ")
        assert f"interval {low[i]:.0%} to {high[i]:.0%}" in title
        assert f"{100 * low[i]:.0f}–{100 * high[i]:.0f}" in text_of(group)
        assert group.find(".//svg:line[@class='interval']", NAMES) is not None
        assert answer.text.replace(" ", "") in text_of(group).replace(" ", "")


def test_bands_are_as_wide_as_their_fractions() -> None:
    fractions = galaxy()
    drawn = bands(draw_tree(GZ2, fractions))
    largest = int(fractions.argmax())
    unit = width_of(drawn[GZ2.columns[largest]]) / fractions[largest]
    for column, fraction in zip(GZ2.columns, fractions, strict=True):
        if fraction * unit > 1:
            assert width_of(drawn[column]) == pytest.approx(fraction * unit, abs=0.25)


def test_the_likely_path_is_marked_and_said() -> None:
    fractions = galaxy()
    drawing = draw_tree(GZ2, fractions)
    path = {step.answer.column for step in decision_path(GZ2, fractions)}
    for drawn in (bands(drawing), answers(drawing)):
        assert {column for column, each in drawn.items() if "likely" in each.get("class", "")} == path
    image = parse(drawing)
    assert image.get("role") == "img"
    first = next(iter(decision_path(GZ2, fractions)))
    assert f"Most likely: {first.answer.phrase}" in image.get("aria-label", "")
    assert f"{first.fraction:.0%} of those asked" in image.findtext("svg:desc", "", NAMES)


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("seed", range(6))
def test_no_answer_covers_another(width: int, seed: int) -> None:
    drawing = draw_tree(GZ2, galaxy(seed), width=width)
    assert parse(drawing).get("width") == f"{width}"
    boxes = sorted(reach(group) for group in answers(drawing).values())
    for (top, left, across), (other_top, other_left, other_across) in pairwise(boxes):
        assert left >= 0 and left + across <= width
        if top == other_top:
            assert left + across <= other_left + 4.1, "their edges, which only the pointer sees, may touch"
            assert other_left + other_across <= width


def reach(group: ElementTree.Element) -> tuple[float, float, float]:
    x, y = re.findall(r"[\d.]+", group.get("transform", ""))
    box = group.find("svg:rect", NAMES)
    assert box is not None
    return float(y), float(x) + float(box.get("x", "")) + 2, float(box.get("width", "")) - 4


def test_unknown_and_voted_fractions() -> None:
    fractions, voted = galaxy(), galaxy(4)
    fractions[GZ2.slices["arm_number"]] = np.nan
    voted[0] = np.nan
    drawn = answers(draw_tree(GZ2, fractions, voted=voted))
    assert drawn["Class11.2"].findtext("svg:title", "", NAMES) == "2: unknown"
    assert "–" in text_of(drawn["Class11.2"])
    assert drawn["Class1.1"].find(".//svg:line[@class='voted']", NAMES) is None
    assert drawn["Class1.2"].find(".//svg:line[@class='voted']", NAMES) is not None
    assert f"{voted[1]:.0%} voted so" in drawn["Class1.2"].findtext("svg:title", "", NAMES)
    assert not re.search(r"\bnan\b", draw_tree(GZ2, np.full(37, np.nan)))


def test_words_are_escaped_and_nothing_needs_an_inline_style() -> None:
    nasty = DecisionTree(
        name="nasty",
        questions=(
            Question("a<b>", "Is it <script>?", (Answer('"', "<i>&", "<&>"), Answer("'", "no", "no"))),
        ),
    )
    drawing = draw_tree(nasty, np.array([0.9, 0.1]))
    assert text_of(answers(drawing)['"']).startswith("<i>&")
    assert "style=" not in drawing and "<script" not in drawing


def question(name: str, *answers: tuple[str, str | None], text: str = "Which?") -> Question:
    return Question(name, text, tuple(Answer(f"{name}_{a}", a, a, leads_to) for a, leads_to in answers))


def test_a_tree_of_two_questions() -> None:
    dusty = question("dusty", ("yes", "lanes"), ("no", None), text="Is there dust in front of it?")
    tree = DecisionTree("dust", (dusty, question("lanes", ("one", None), ("more", None))))
    drawing = draw_tree(tree, np.array([0.25, 0.75, 0.2, 0.05]))
    drawn, image = answers(drawing), parse(drawing)
    assert list(drawn) == list(tree.columns)
    assert drawn["lanes_one"].findtext("svg:title", "", NAMES) == "one: 20% of all volunteers"
    heights = [float(re.findall(r"[\d.]+", group.get("transform", ""))[1]) for group in drawn.values()]
    assert heights[0] == heights[1] < heights[2] == heights[3]
    assert "Most likely: no" in image.get("aria-label", "")
    widths = {column: width_of(band) for column, band in bands(drawing).items()}
    assert widths["dusty_yes"] == pytest.approx(widths["lanes_one"] + widths["lanes_more"], abs=0.2)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_one_question_with_many_long_answers_becomes_wider(width: int) -> None:
    names = [f"an answer that is rather long, number {number}" for number in range(15)] + [
        "with_no_spaces_at_all"
    ]
    tree = DecisionTree("classes", (question("class", *((name, None) for name in names)),))
    drawing = draw_tree(tree, np.full(16, 1 / 16), width=width)
    assert parse(drawing).get("class") == "tree wider"
    assert len(answers(drawing)) == 16
    assert "with no spaces" in " ".join(text_of(group) for group in answers(drawing).values())
    few = DecisionTree("bars", (question("bar", ("bar", None), ("no bar", None)),))
    assert parse(draw_tree(few, np.array([1.0, 0.0]), width=width)).get("class") == "tree"


def test_fractions_of_another_tree_are_refused() -> None:
    with pytest.raises(FractionError, match="37 answers"):
        draw_tree(GZ2, np.zeros(36))


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(2, 9), min_size=1, max_size=6),
    leads=st.lists(st.integers(0, 3), min_size=60, max_size=60),
    width=st.sampled_from([NARROW, WIDE]),
)
def test_any_tree_can_be_drawn(counts: list[int], leads: list[int], width: int) -> None:
    jumps = iter(leads)
    questions = []
    for number, count in enumerate(counts):
        # The first answer leads to the next question, so that all can be reached; others jump or end.
        targets = [number + 1, *(number + next(jumps) for _ in range(count - 1))]
        questions.append(
            Question(
                f"q{number}",
                f"question {number}?",
                tuple(
                    Answer(
                        f"c{number}.{i}", f"answer {i}", f"{i}", f"q{t}" if number < t < len(counts) else None
                    )
                    for i, t in enumerate(targets)
                ),
            )
        )
    tree = DecisionTree("any", tuple(questions))
    conditional = np.concatenate([np.full(count, 1 / count) for count in counts])
    drawn = answers(draw_tree(tree, to_cumulative(tree, conditional[None])[0], width=width))
    assert set(drawn) == set(tree.columns)


def test_figures_and_pictures_have_the_colours_of_the_style_sheet() -> None:
    light, dark = palette(), palette(dark=True)
    assert light.keys() == dark.keys() and light["ink"] != dark["ink"]
    assert (light["ink"], light["model"], dark["paper"]) == (INK, VALIDATION, NIGHT)
    assert set(re.findall(r"var\(--([a-z-]+)\)", style_sheet())) <= set(light)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "paper"), ("muted", "paper"), ("model", "paper"), ("low", "card"), ("ink", "likely")],
)
def test_texts_stand_out_from_their_ground(text: str, ground: str, dark: bool) -> None:
    colours = palette(dark=dark)
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
