"""What must hold for any tree and any fractions."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galvote.trees import (
    DecisionTree,
    asked_share,
    decision_path,
    find_violations,
    load_tree,
    to_conditional,
    to_cumulative,
)

GALAXIES = 12
PATIENT = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # busy machines are no bug


@st.composite
def descriptions(draw: st.DrawFn) -> dict[str, Any]:
    """Describe trees whose questions may be reached by several answers, in any column order after the root.

    Plain data, because beartype checks a random item of a tuple and hypothesis wants no chance in strategies.
    """
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=7))
    targets = [[None] * size for size in sizes]
    free = []
    for child in range(1, len(sizes)):
        free += [(child - 1, place) for place in range(sizes[child - 1])]
        question, place = free.pop(draw(st.integers(0, len(free) - 1)))  # so that each can be reached
        targets[question][place] = child
    for question, place in free:
        targets[question][place] = draw(st.none() | st.integers(question + 1, len(sizes) - 1))
    order = [0, *draw(st.permutations(range(1, len(sizes))))]
    candidates = [i for i in range(len(sizes)) if not leads_past(targets, i)]
    always_asked = draw(st.sets(st.sampled_from(candidates), max_size=2))
    return {
        "name": "random",
        "questions": [
            {
                "name": f"q{i}",
                "text": f"q{i}?",
                "always_asked": i in always_asked,
                "answers": [
                    {
                        "name": f"q{i}.{place}",
                        "text": "t",
                        "leads_to": None if target is None else f"q{target}",
                    }
                    for place, target in enumerate(targets[i])
                ],
            }
            for i in order
        ],
    }


def leads_past(targets: list[list[int | None]], start: int) -> bool:
    """Tell whether what follows a question can be reached without it."""
    follow = {start}
    for i in range(start, len(targets)):  # answers lead to later questions only
        if i in follow:
            follow |= set(targets[i]) - {None}
    others = (target for i, leads_to in enumerate(targets) if i not in follow for target in leads_to)
    return any(target in follow - {start} for target in others)


def draw_conditional(tree: DecisionTree, seed: int) -> np.ndarray:
    """Return fractions that sum to 1 within each question, a third of them hard zeros."""
    rng = np.random.default_rng(seed)
    conditional = np.empty((GALAXIES, len(tree)))
    for columns in tree.slices.values():
        size = columns.stop - columns.start
        votes = rng.exponential(size=(GALAXIES, size)) * (rng.random((GALAXIES, size)) > 1 / 3)
        votes[votes.sum(axis=1) == 0, rng.integers(size)] = 1
        conditional[:, columns] = votes / votes.sum(axis=1, keepdims=True)
    return conditional


seeds = st.integers(0, 2**32 - 1)


@PATIENT
@given(descriptions(), seeds)
def test_cumulative_fractions_sum_to_the_share_that_was_asked(description: dict[str, Any], seed: int) -> None:
    tree = DecisionTree.from_dict(description)
    cumulative = to_cumulative(tree, draw_conditional(tree, seed))
    assert cumulative.min() >= 0 and cumulative.max() <= 1 + 1e-12
    asked = asked_share(tree, cumulative)
    for i, (question, columns) in enumerate(zip(tree.questions, tree.slices.values(), strict=True)):
        if i == 0 or question.always_asked:
            np.testing.assert_allclose(cumulative[:, columns].sum(axis=1), 1)
        np.testing.assert_allclose(cumulative[:, columns].sum(axis=1), asked[:, i], atol=1e-4)
    assert not find_violations(tree, cumulative).galaxies.any()


@PATIENT
@given(descriptions(), seeds)
def test_conditional_to_cumulative_and_back(description: dict[str, Any], seed: int) -> None:
    tree = DecisionTree.from_dict(description)
    conditional = draw_conditional(tree, seed)
    cumulative = to_cumulative(tree, conditional)
    back = to_conditional(tree, cumulative)
    asked = asked_share(tree, cumulative) > 1e-4
    for i, columns in enumerate(tree.slices.values()):
        np.testing.assert_allclose(back[asked[:, i], columns], conditional[asked[:, i], columns], atol=1e-9)
        assert np.isnan(back[~asked[:, i], columns]).all()
    np.testing.assert_allclose(to_cumulative(tree, back), cumulative, atol=1e-12)


@PATIENT
@given(descriptions(), seeds, st.sets(st.integers(0, GALAXIES - 1)), st.data())
def test_planted_violations_are_found_and_no_other_galaxy_is_named(
    description: dict[str, Any], seed: int, planted: set[int], data: st.DataObject
) -> None:
    tree = DecisionTree.from_dict(description)
    cumulative = to_cumulative(tree, draw_conditional(tree, seed))
    for row in planted:
        column = data.draw(st.integers(0, len(tree) - 1))
        cumulative[row, column] += data.draw(st.sampled_from([0.01, -0.01, 0.3, -2.0, np.inf, -np.inf]))
    violations = find_violations(tree, cumulative)
    assert set(np.flatnonzero(violations.galaxies)) == planted
    assert {row for row in range(GALAXIES) if violations.describe(row)} == planted


@PATIENT
@given(descriptions(), seeds)
def test_unknown_fractions_are_no_violation(description: dict[str, Any], seed: int) -> None:
    tree = DecisionTree.from_dict(description)
    cumulative = to_cumulative(tree, draw_conditional(tree, seed))
    unknown = np.random.default_rng(seed).random(cumulative.shape) < 0.3
    assert not find_violations(tree, np.where(unknown, np.nan, cumulative)).galaxies.any()


@PATIENT
@given(descriptions(), seeds)
def test_decision_path_takes_the_strongest_answer_at_each_step(
    description: dict[str, Any], seed: int
) -> None:
    tree = DecisionTree.from_dict(description)
    conditional = draw_conditional(tree, seed)
    cumulative = to_cumulative(tree, conditional)
    for row in range(GALAXIES):
        expected: str | None = tree.questions[0].name
        for step in decision_path(tree, cumulative[row]):
            assert step.question.name == expected
            assert step.fraction == pytest.approx(conditional[row, tree.slices[expected]].max())
            expected = step.answer.leads_to
        # It goes on to the end, or to where hardly anybody (1e-4 and less) was asked.
        assert expected is None or cumulative[row, tree.slices[expected]].sum() == 0


@PATIENT
@given(descriptions())
def test_plain_data_gives_the_same_tree(description: dict[str, Any]) -> None:
    tree = DecisionTree.from_dict(description)
    assert DecisionTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree


@PATIENT
@given(descriptions())
def test_a_file_gives_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory, description: dict[str, Any]
) -> None:
    lines = ['name = "random"']
    for question in description["questions"]:
        answers = (
            f'{{ name = "{one["name"]}"'
            + (f', leads_to = "{one["leads_to"]}" }}' if one["leads_to"] else " }")
            for one in question["answers"]
        )
        lines += ["[[questions]]", f'name = "{question["name"]}"', f"answers = [{', '.join(answers)}]"]
        lines += ["always_asked = true"] if question["always_asked"] else []
    path = tmp_path_factory.mktemp("trees") / "random.toml"
    path.write_text("\n".join(lines))
    tree, other = load_tree(path), DecisionTree.from_dict(description)
    assert (tree.slices, tree.parents) == (other.slices, other.parents)
    assert [answer.name for answer in tree.answers] == [answer.name for answer in other.answers]
    assert [question.always_asked for question in tree.questions] == [
        question.always_asked for question in other.questions
    ]


@PATIENT
@given(descriptions())
def test_questions_are_asked_after_all_that_lead_to_them(description: dict[str, Any]) -> None:
    tree = DecisionTree.from_dict(description)
    asked = [question.name for question in tree.asking_order]
    for question in tree.questions:
        for answer in question.answers:
            assert answer.leads_to is None or asked.index(question.name) < asked.index(answer.leads_to)
