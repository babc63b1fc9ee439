"""`galvote tree` on the real command line."""

import re
import subprocess
import sys

from galvote.trees import list_trees, load_tree


def test_lists_the_trees(command) -> None:
    run = command("tree")
    assert run.returncode == 0 and not run.stderr
    for name in list_trees():
        (line,) = [line for line in run.stdout.splitlines() if re.search(rf"^{name} ", line)]
        assert f" {len(load_tree(name))} " in line


def test_prints_every_question_and_where_answers_lead(command) -> None:
    tree = load_tree("gz2")
    run = command("tree", "gz2")
    assert run.returncode == 0 and not run.stderr
    assert "gz2: 37 answers" in run.stdout
    lines = run.stdout.splitlines()
    for answer in tree.answers:
        (line,) = [line for line in lines if re.search(rf"^  {re.escape(answer.column)} ", line)]
        assert line.endswith(answer.leads_to or "end") and answer.label in line
    assert tree.citation in run.stdout


def test_a_file_is_checked_and_the_wrong_line_named(command, tmp_path) -> None:
    path = tmp_path / "own.toml"
    lines = [
        'name = "own"',
        "[[questions]]",
        'name = "bar"',
        'answers = [{ name = "yes" }, { name = "no", leads_to = "arms" }]',
    ]
    path.write_text("\n".join(lines))
    run = command("tree", path)
    assert run.returncode == 2
    assert re.search(r"own.toml, line 4: Answer 'no' of 'bar' leads to 'arms'", run.stderr.replace("\n", " "))
    path.write_text("\n".join(lines).replace(', leads_to = "arms"', ""))
    run = command("tree", path)
    assert run.returncode == 0 and "own: 2 answers" in run.stdout and "bar_yes" in run.stdout


def test_is_listed_in_help_and_loads_no_torch() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "galvote", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "List the decision trees" in run.stdout
    assert not re.search(r"\| +(torch|lightning|numpy|pydantic)$", run.stderr, flags=re.MULTILINE)
