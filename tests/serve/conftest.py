"""A server of the tiny network, in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from galvote.inference import Predictor
from galvote.inference.calibrate import measure
from galvote.models import GalaxyNetwork, load_card, save_calibrated, save_model
from galvote.serve import ServeSettings, create_app
from galvote.serve.examples import draw_example
from galvote.trees import DecisionTree, load_tree

# What a client sends, and under what name.
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="session")
def predictor(calibrated: Path, one_thread: None) -> Predictor:
    """Return a predictor that computes in float32 where the processor would rather take bfloat16."""
    return Predictor.load(calibrated, "torch-float32")


@pytest.fixture(scope="session")
def own_tree(two_questions) -> DecisionTree:
    """Return a tree of two questions with names of its own."""
    return load_tree(two_questions.tree)


@pytest.fixture(scope="session")
def own_model(own_tree: DecisionTree, calibrated: Path, tmp_path_factory) -> Path:
    """Return the folder of a calibrated model, without training, for a tree of two questions."""
    torch.manual_seed(5)
    card = load_card(calibrated).model_copy(update={"name": "two-questions", "tree": own_tree.to_dict()})
    folder = tmp_path_factory.mktemp("two-questions")
    model = save_model(GalaxyNetwork(card.network, own_tree), card, folder / "plain")
    rng = np.random.default_rng(1)
    cutouts = rng.integers(0, 256, (30, 64, 64, 3), np.uint8)
    fractions, features = Predictor.load(model).predict_features(cutouts)
    calibration, _ = measure(own_tree, fractions[::2], fractions[1::2], features[::2], features[1::2])
    return save_calibrated(model, calibration, {"galaxies": 30}, folder / "calibrated")


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
    return draw_example("spiral")
