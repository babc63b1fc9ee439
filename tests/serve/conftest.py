"""A server of the tiny network, in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from galvote.calibration import Calibration, Intervals, OodDetector
from galvote.inference import Predictor
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
def two_questions(tmp_path_factory) -> DecisionTree:
    """Return a tree with names, kinds and colours of its own."""
    path = tmp_path_factory.mktemp("trees") / "lopsided.toml"
    path.write_text(
        """
        name = "lopsided"
        title = "Lopsided discs"
        citation = "Somebody et al. 2026"
        highlights = ["disc", "much"]
        kinds = [
          { name = "lopsided disc", answer = "much", colour = "#4cc9f0" },
          { name = "disc", answer = "disc", colour = "#5eead4" },
        ]

        [[questions]]
        name = "disc"
        text = "Is there a disc?"
        answers = [{ name = "yes", phrase = "disc", label = "disc", leads_to = "lopsided" }, { name = "no" }]

        [[questions]]
        name = "lopsided"
        text = "How lopsided is it?"
        qualifies = true
        answers = [{ name = "much" }, { name = "little", text = "a little" }, { name = "not at all" }]
        """
    )
    return load_tree(path)


@pytest.fixture(scope="session")
def two_question_model(two_questions: DecisionTree, calibrated: Path, tmp_path_factory) -> Path:
    """Return the folder of a calibrated model, without training, for a tree of two questions."""
    torch.manual_seed(5)
    card = load_card(calibrated).model_copy(update={"name": "two-questions", "tree": two_questions.to_dict()})
    folder = tmp_path_factory.mktemp("two-questions")
    model = save_model(GalaxyNetwork(card.network, two_questions), card, folder / "plain")
    rng = np.random.default_rng(1)
    cutouts = rng.integers(0, 256, (30, 64, 64, 3), np.uint8)
    fractions, features = Predictor.load(model).predict_features(cutouts)
    ood = OodDetector.fit(features[1::2], features[::2], axes=4)
    calibration = Calibration(Intervals.fit(fractions, fractions[::-1]), ood)
    return save_calibrated(model, calibration, {"galaxies": 30}, folder / "calibrated")


@pytest.fixture
def serving(predictor: Predictor) -> Iterator[Callable[..., TestClient]]:
    """Start servers with settings of their own."""
    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            app = create_app([predictor], ServeSettings(**settings))
            return stack.enter_context(TestClient(app))

        yield start


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with TestClient(create_app([predictor])) as client:
        yield client


@pytest.fixture(scope="session")
def spiral() -> bytes:
    return draw_example("spiral")
