"""Fixtures that the tests of commands share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

PYTHON = (sys.executable, "-m", "galvote")


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command in a process of its own, which does not outlive the test."""
    started = list[subprocess.Popen[str]]()

    def run(*arguments: object, program: tuple[object, ...] = PYTHON) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*map(str, (*program, *arguments))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
