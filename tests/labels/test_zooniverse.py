"""Votes of a tree of two questions from an invented Zooniverse export."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galvote import count_votes
from galvote.errors import CatalogueError, TreeError
from galvote.labels import read_votes
from galvote.trees import load_tree

TREE = """
name = "whirls"

[columns]
count = "{answer}_count"

[[questions]]
name = "look"
answers = [{ name = "plain" }, { name = "busy", text = "Busy, or full", leads_to = "whirl" }]

[[questions]]
name = "whirl"
answers = [{ name = "whirls" }, { name = "rests" }]

[zooniverse.tasks]
T0 = "look"
T2 = "whirl"

[zooniverse.answers.whirl]
"It turns!" = "whirls"
"""

PLAIN = [{"task": "T0", "value": "![plain.png](https://x.org/plain.png)  Plain"}]
WHIRLS = [{"task": "T0", "value": "busy, or full"}, {"task": "T2", "value": ["It turns!"]}]
COMBINED = [
    {"task": "T9", "value": [*PLAIN[:0], {"task": "T0", "value": "busy"}, {"task": "T2", "value": "rests"}]}
]
AGAIN = [{"task": "T0", "value": "plain"}, {"task": "T0", "value": "busy"}, {"task": "T2", "value": None}]
COMMENT = [*PLAIN, {"task": "T5", "value": 'over two\nlines, "quoted"'}]

ROWS = [
    ("ann", 7, "12.10", PLAIN, 501),
    ("ann", 7, "12.10", WHIRLS, 501),
    ("ann", 7, "12.9", WHIRLS, 502),
    ("bob", 7, "12.10", WHIRLS, 501),
    ("not-logged-in-1f", 7, "12.10", COMBINED, 501),
    ("", 7, "12.10", AGAIN, 502),
    ("", 7, "12.10", COMMENT, 502),
    ("cid", 7, "12.10", [{"task": "T0", "value": "Sprial"}], 502),
    ("dan", 7, "12.10", "[{", 502),
    ("eve", 7, "11.2", PLAIN, 503),
]  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    def write(rows: list[tuple[Any, ...]] = ROWS, tree: str = TREE) -> tuple[Path, Path]:
        with (tmp_path / "export.csv").open("w", newline="") as file:
            out = csv.writer(file)
            names = [
                "user_name",
                "workflow_id",
                "workflow_version",
                "annotations",
                "subject_data",
                "subject_ids",
            ]
            out.writerow(["classification_id", *names])
            for number, (user, workflow, version, annotations, subject) in enumerate(rows):
                said = annotations if isinstance(annotations, str) else json.dumps(annotations)
                data = json.dumps({subject: {"retired": None, "#Filename": f"galaxy-{subject}.jpg"}})
                out.writerow([number, user, workflow, version, said, data, subject])
        (tmp_path / "tree.toml").write_text(tree)
        return tmp_path / "export.csv", tmp_path / "tree.toml"

    return write


def test_each_volunteer_counts_once_and_what_is_left_out_is_told(written: Callable[..., Any]) -> None:
    told = list[str]()
    votes = count_votes(*written(), report=told.append)
    assert votes.ids == ("501", "502")
    np.testing.assert_array_equal(votes.counts, [[1, 2, 1, 1], [1, 2, 1, 0]])
    np.testing.assert_allclose(votes.fractions, [[1 / 3, 2 / 3, 1 / 3, 1 / 3], [1 / 3, 2 / 3, 2 / 3, 0]])
    assert told == [
        "1 classifications do not count, as their workflow_version is not [12] but [11] or missing; "
        "--workflow-version (versions=) chooses others.",
        "1 classifications do not count, as their volunteers saw the galaxy before.",
        "2 classifications cannot be read and do not count, first of them row 8: 'Sprial' is no answer of "
        "task T0.",
        "The tasks T5 are no questions of the tree and do not count.",
        "6 classifications of 2 galaxies count. Ids are the subjects' numbers.",
    ]


def test_versions_ids_and_workflows_are_chosen(written: Callable[..., Any]) -> None:
    export, tree = written()
    votes = count_votes(export, tree, versions=[11, 12], id_column="filename")
    assert votes.ids == ("galaxy-501", "galaxy-502", "galaxy-503")
    for chosen, message in (
        ({"versions": [13]}, r"has the workflow_version \[11, 12\]; choose of these with --workflow-version"),
        ({"workflow": 8}, r"has the workflow_id \[7\]; choose"),
        ({"id_column": "iauname"}, r"no classification that can be counted"),
    ):
        with pytest.raises(CatalogueError, match=message):
            count_votes(export, tree, **chosen)
    with pytest.raises(CatalogueError, match=r"several workflows, \[7, 8\]; choose one with --workflow"):
        count_votes(*written([*ROWS, ("fay", 8, "1.1", PLAIN, 504)]))


def test_a_wrong_mapping_is_told_with_its_line(written: Callable[..., Any]) -> None:
    for old, new, message in (
        (
            'T2 = "whirl"',
            'T2 = "wirl"',
            "line 17: There is no question 'wirl'; the questions are look, whirl",
        ),
        (
            '"It turns!" = "whirls"',
            '"It turns!" = "yes"',
            "line 20: The question 'whirl' has no answer 'yes'",
        ),
        ("[zooniverse.tasks]", "[zooniverse.task]", "'tasks' is missing; add it"),
        (
            "[zooniverse.answers.whirl]",
            "[zooniverse.answer.whirl]",
            "unknown key 'answer'; did you mean 'answers'",
        ),
    ):
        export, tree = written(tree=TREE.replace(old, new))
        with pytest.raises(TreeError, match=message):
            load_tree(tree)
    with pytest.raises(TreeError, match=r"no table \[zooniverse\], .*docs/trees.md"):
        count_votes(export, "gz2")


def test_the_command_writes_a_table_of_votes(
    written: Callable[..., Any], command: Callable[..., Any]
) -> None:
    export, tree = written()
    out = export.with_name("votes.csv")
    ran = command("votes", export, "--tree", tree, "--out", out)
    assert ran.returncode == 0 and "6 classifications of 2 galaxies count" in " ".join(ran.stderr.split())
    votes = read_votes(out, load_tree(tree))
    assert votes.ids == ("501", "502") and votes.form == "cumulative"
    np.testing.assert_array_equal(votes.counts, [[1, 2, 1, 1], [1, 2, 1, 0]])
    ran = command("votes", export, "--tree", tree, "--out", out)
    assert ran.returncode == 2 and "exists already" in " ".join(ran.stderr.split())
