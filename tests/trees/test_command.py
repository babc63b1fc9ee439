"""`galvote tree` on the real command line."""

import re
import subprocess
import sys

from galvote.trees import GZ2


def test_prints_every_question_and_where_answers_lead() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "galvote", "tree"], capture_output=True, text=True, check=True, timeout=60
    )
    assert not run.stderr
    assert "gz2-challenge: 37 answers" in run.stdout
    lines = run.stdout.splitlines()
    for answer in GZ2.answers:
        (line,) = [line for line in lines if re.search(rf"\b{re.escape(answer.column)}\b", line)]
        assert (answer.leads_to.split("_")[0] if answer.leads_to else "end") in line


def test_is_listed_in_help_and_loads_no_torch() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "galvote", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Print the decision tree" in run.stdout
    assert not re.search(r"\| +(torch|lightning|numpy)$", run.stderr, flags=re.MULTILINE)
