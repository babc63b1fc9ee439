"""Trees in TOML files: what they say, and what a wrong one is told."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from galvote.errors import CatalogueError, TreeError
from galvote.trees import (
    FORMS,
    DecisionTree,
    class_tree,
    decision_path,
    describe_path,
    expected_numbers,
    find_tree,
    list_trees,
    load_tree,
)

OWN = """\
name = "own"
kinds = [{ name = "barred", answer = "bar_yes", colour = "#ff0000" }]

[columns]
cumulative = "{question}.{answer_number}"
count = "n{question_number}_{stem}"

[[questions]]
name = "shape"
stem = "s"
answers = [
  { name = "smooth", stem = "1" },
  { name = "disc", leads_to = "bar", columns = { count = "discs" } },
]

# name = "nothing"
[[questions]]
name = "bar"
text = "Is there a bar?"
[[questions.answers]]
name = "yes"
stem = "yes"
label = "bar_yes"
[[questions.answers]]
name = "none at all"
"""


def write(folder: Path, text: str = OWN) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    tree = load_tree(write(tmp_path))
    assert (tree.name, len(tree), tree.highlights) == ("own", 4, ("smooth", "disc"))
    assert tree.columns == ("shape.1", "shape.2", "bar.1", "bar.2")
    assert tree.labels == ("smooth", "disc", "bar_yes", "none_at_all")
    assert tree.published_columns("count") == ("n1_s_1", "discs", "n2_yes", "n2_")
    assert tree.published_columns("debiased") == ("",) * 4
    assert tree.parents["bar"] == (1,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count = ", "counts = ", r"line 6: 'counts' is wrong: Input should be 'cumulative', "),
        ("[[questions]]", "[questions", r"no TOML: .*line 8"),
        ('text = "Is', 'txet = "Is', r"line 19: unknown key 'txet' of question 'bar'; did you mean 'text'\?"),
        ('stem = "1"', 'stem = 1', r"line 12: 'stem' of answer 'smooth' of question 'shape' .*string"),
        ('name = "none at all"', "", r"line 18: 'name' of answer '2' of question 'bar' is missing; add it"),
        ('leads_to = "bar"', 'leads_to = "bars"', r"line 13: .*leads to 'bars', .* are shape, bar"),
        ('leads_to = "bar", ', "", r"line 18: No answer leads from 'shape' to bar"),
        ('stem = "yes"', 'stem = "yes"\nleads_to = "shape"', r"line 9: .*lead back.*: shape, bar"),
        ('name = "none at all"', 'name = "yes"', r"line 25: Question 'bar' has these answers .*: yes"),
        ('name = "bar"', 'name = "shape"', r"line 18: Question names must be unique.*: shape"),
        ('[[questions.answers]]\nname = "none at all"', "", r"line 18: Question 'bar' needs two answers"),
        ('"bar_yes"\n', '"disc"\n', r"line 21: Labels must be unique.*: disc"),
        ('answer = "bar_yes"', 'answer = "bar"', r"line 2: No answer has the label 'bar'; .* are smooth"),
        ('name = "own"', 'name = "own"\nhighlights = ["x"]', r"line 2: No answer has the label 'x'"),
        ('colour = "#ff0000"', 'colour = "red"', r"line 2: 'colour' of kind 'barred' is wrong"),
        ("{question}.{answer_number}", "{qestion}", r"line 5: The pattern '{qestion}' .* {question}, "),
        ("{question}.{answer_number}", "a{answer_number}", r"line 21: Columns must be unique.*: a1, a2"),
        ('count = "n{question_number}_{stem}"', 'count = "ood"', r"line 4: .*these mean two: ood"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_its_line_and_the_mend(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    with pytest.raises(TreeError, match=rf"own\.toml.*{message}"):
        load_tree(write(tmp_path, OWN.replace(old, new, 1)))


def test_a_tree_that_does_not_exist() -> None:
    with pytest.raises(TreeError, match=r"No tree 'gz'; did you mean 'gz.'\? .*gz2.* or a TOML file"):
        load_tree("gz")


@pytest.mark.parametrize("name", list_trees())
def test_shipped_trees(name: str) -> None:
    tree = load_tree(name)
    assert load_tree(name) is tree and tree.name == name
    assert tree.title and tree.citation and tree.notes
    assert {kind.answer for kind in tree.kinds} | set(tree.highlights) <= set(tree.labels)
    assert all(re.fullmatch(r"\w+", label) for label in tree.labels)
    published = [column for form in FORMS for column in tree.published_columns(form) if column]
    assert find_tree(published, "table.csv") is tree


def test_a_table_of_no_tree_is_told_which_columns_come_near() -> None:
    with pytest.raises(CatalogueError, match=r"t\.csv has no .*'Clas1\.1' is nearly 'Class1\.1'.*--tree"):
        find_tree(["id", "Clas1.1"], "t.csv")


def test_classes_make_a_tree() -> None:
    tree = class_tree("has bar", ["bar", "no bar"])
    assert (tree.columns, tree.labels) == (("has_bar_bar", "has_bar_no_bar"), ("bar", "no_bar"))
    assert [kind.name for kind in tree.kinds] == ["bar", "no bar"]
    with pytest.raises(TreeError, match="two answers or more"):
        class_tree("bar", ["bar"])
    with pytest.raises(TreeError, match=r"must be unique.*no_bar"):
        class_tree("bar", ["no bar", "no-bar"])


NUMBERS = """\
name = "own"

[[questions]]
name = "arms"
unit = ""
answers = [{ name = "1", value = 1 }, { name = "2", value = 2 }, { name = "more", value = 4.5 }]
"""


def test_answers_that_are_numbers(tmp_path: Path) -> None:
    tree = load_tree(write(tmp_path, NUMBERS))
    assert tree.number is not None and tree.number.values == (1, 2, 4.5) and tree.number.unit == ""
    assert DecisionTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree
    assert expected_numbers(tree, np.array([[0.5, 0.3, 0.2]]))[0, 0] == pytest.approx(2.0)
    assert describe_path(decision_path(tree, np.array([0.5, 0.3, 0.2]))) == "arms 2"
    assert load_tree("gz2").number is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", value = 2", "", "line 4: Some answers of question 'arms' have a value and others have none"),
        ("value = 1", "value = 3", "line 4: The values.* must increase, and be finite; they are 3, 2, 4.5"),
        ("value = 1", "value = 'x'", "'value' of answer '1' of question 'arms' is wrong"),
    ],
)
def test_values_that_are_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TreeError, match=message):
        load_tree(write(tmp_path, NUMBERS.replace(old, new)))
    plain = re.sub(", value = [0-9.]+", "", NUMBERS)
    with pytest.raises(TreeError, match="has a unit, and its answers no values"):
        load_tree(write(tmp_path, plain))
