"""A tree that contradicts itself cannot exist."""

import json

import pytest

from galvote.errors import GalvoteError, TreeError
from galvote.trees import Answer, DecisionTree, Question, load_tree

GZ2 = load_tree("gz2")


def question(name: str, *leads_to: str | None, columns: str = "", always_asked: bool = False) -> Question:
    letters = columns or "abcdefg"[: len(leads_to)]
    return Question(
        name=name,
        text=f"{name}?",
        always_asked=always_asked,
        answers=tuple(
            Answer(letter, leads_to=target, column=f"{name}.{letter}", label=f"{name}.{letter}")
            for letter, target in zip(letters, leads_to, strict=True)
        ),
    )


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ((), "no questions"),
        (
            (question("q", "nowhere", None),),
            "'a' of 'q' leads to 'nowhere', which is no question of this tree",
        ),
        ((question("q", None, None), question("r", None, None)), "No answer leads from 'q' to r"),
        ((question("q", "q", None),), "lead back to themselves: q"),
        (
            (question("q", "r", None), question("r", "s", None), question("s", "r", None)),
            "lead back to themselves: r, s;",
        ),
        ((question("q", None, None, columns="aa"),), "'q' has these answers more than once: a"),
        ((question("q", "q", None), question("q", None, None)), "names must be unique.*q"),
        ((question("q", None),), "'q' needs two answers or more"),
        (
            (question("q", "r", "s"), question("r", "s", None, always_asked=True), question("s", None, None)),
            "'b' of 'q' leads past 'r', which is always asked, to 's'",
        ),
    ],
    ids=[
        "empty",
        "unknown-target",
        "unreachable",
        "self",
        "cycle",
        "answer-twice",
        "name-twice",
        "one-answer",
        "detour",
    ],
)
def test_a_contradictory_tree_is_refused(questions: tuple[Question, ...], message: str) -> None:
    with pytest.raises(TreeError, match=message):
        DecisionTree("wrong", questions)


def test_tree_errors_are_for_users() -> None:
    assert issubclass(TreeError, GalvoteError)


def test_columns_slices_and_parents_derive_from_the_questions() -> None:
    tree = DecisionTree(
        "t", (question("q", "r", "s", "r"), question("r", "s", None), question("s", None, None))
    )
    assert tree.columns == ("q.a", "q.b", "q.c", "r.a", "r.b", "s.a", "s.b")
    assert len(tree) == 7
    assert tree.slices == {"q": slice(0, 3), "r": slice(3, 5), "s": slice(5, 7)}
    assert tree.parents == {"q": (), "r": (0, 2), "s": (1, 3)}
    assert [q.name for q in tree.asking_order] == ["q", "r", "s"]
    assert tree.question("r").answers[0].leads_to == "s"
    with pytest.raises(TreeError, match="No question 'x'; there are q, r, s"):
        tree.question("x")


def test_plain_data_survives_json() -> None:
    assert DecisionTree.from_dict(json.loads(json.dumps(GZ2.to_dict()))) == GZ2


@pytest.mark.parametrize(
    "data", [{}, {"name": "t"}, {"name": "t", "questions": [{"name": "q"}]}, {"questions": 3}]
)
def test_other_data_is_refused_with_what_is_needed(data: dict[str, object]) -> None:
    with pytest.raises(TreeError, match="needs `name` and `questions`"):
        DecisionTree.from_dict(data)
