"""A server of the tiny network, in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from galvote.inference import Predictor
from galvote.serve import ServeSettings, create_app
from galvote.serve.examples import EXAMPLES

# What a client sends, and under what name.
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="session")
def predictor(calibrated: Path, one_thread: None) -> Predictor:
    """Return a predictor that computes in float32 where the processor would rather take bfloat16."""
    return Predictor.load(calibrated, "torch-float32")


@pytest.fixture
def serving(predictor: Predictor) -> Iterator[Callable[..., TestClient]]:
    """Start servers with settings of their own."""
    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            app = create_app([predictor], ServeSettings(**settings))
            return stack.enter_context(TestClient(app))

        yield start


@pytest.fixture(scope="session")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with TestClient(create_app([predictor])) as client:
        yield client


@pytest.fixture(scope="session")
def spiral() -> bytes:
    return EXAMPLES["spiral"].read_bytes()
