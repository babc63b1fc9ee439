"""The whole network learns a user's own labels, is compared with a head, and goes on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

import galvote
from galvote.errors import GalvoteError
from galvote.finetuning.whole import WORK
from galvote.inference.explanation import explain
from galvote.io.tables import read_table
from galvote.models import CARD, load_card

pytestmark = pytest.mark.usefixtures("quick", "one_thread")
QUICK = ("training.epochs=2", "training.batch_size=16", "training.precision=float32")


@pytest.fixture(scope="module")
def learn(parent, simulated, labels):
    return partial(
        galvote.finetune, parent, simulated / "images_training", labels, scale="gz2", settings=QUICK
    )


@pytest.fixture(scope="module")
def head(learn, tmp_path_factory):
    return learn(tmp_path_factory.mktemp("head") / "look", mode="head", settings=())


@pytest.fixture(scope="module")
def whole(learn, tmp_path_factory):
    said = list[str]()
    return learn(tmp_path_factory.mktemp("whole") / "look", mode="full", report=said.append), said


def test_a_network_that_was_trained_whole_is_like_those_that_ship(whole, parent, simulated, labels):
    (found, said), images = whole, simulated / "images_training"
    assert found.mode == "full" and found.comparison in said
    assert not (found.folder / WORK).exists()
    card = load_card(found.folder)
    assert card.recipe["mode"] == "full" and card.recipe["training"]["pretrained"] == "tiny"
    assert card.data["pretrained"]["name"] == "tiny" and card.data["training_galaxies"] == 51
    assert {"torch", "scikit-learn"} <= card.versions.keys()
    prediction = galvote.predict(images, found.folder, scale="gz2", backend="onnx", features=True)
    assert prediction.ood is not None and prediction.low is not None
    exact = galvote.predict(images, found.folder, scale="gz2", backend="torch-float32")
    np.testing.assert_allclose(exact.fractions, prediction.fractions, atol=1e-4)
    before = galvote.predict(images, parent, scale="gz2", backend="onnx", features=True)
    assert np.abs(prediction.features - before.features).max() > 1e-3, "the encoder has learned"
    scores = galvote.evaluate(labels, model=found.folder, images=images, scale="gz2")
    assert any("has learned these labels" in remark for remark in scores.remarks)
    predictor = galvote.load(found.folder)
    cutout = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert explain(predictor, cutout, "look").heat.shape == (32, 32)
    assert found.comparison in (found.folder / "index.html").read_text()


def test_gains_are_differences_of_scores(whole, head):
    found, _ = whole
    for name, gain in found.gains.items():
        difference = found.scores[name].value - head.scores[name].value
        assert gain.value == pytest.approx(difference, abs=1e-6), name
        assert gain.low <= gain.value <= gain.high
    # The same galaxies are drawn for both: their difference is surer than either.
    own = found.scores["log_loss"]
    assert found.gains["log_loss"].high - found.gains["log_loss"].low < own.high - own.low


def test_too_small_a_budget(learn, head, tmp_path):
    said = list[str]()
    found = learn(tmp_path / "auto", mode="auto", budget=1e-6, report=said.append)
    assert found.mode == "head" and not found.gains
    np.testing.assert_array_equal(found.out_of_fold, head.out_of_fold)
    assert said[-1].startswith("A head alone is learned: training the whole network would take up to")
    with pytest.raises(GalvoteError, match="--budget"):
        learn(tmp_path / "full", mode="full", budget=1e-6)
    assert not (tmp_path / "full").exists()
    with pytest.raises(GalvoteError, match="add --mode full"):
        learn(tmp_path / "full", mode="head")


def test_ctrl_c_leaves_no_model(learn, tmp_path):
    said = list[str]()

    def interrupt(done: int, total: int) -> None:
        if total < 60:  # steps, not pictures
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "look", mode="full", report=said.append, on_progress=interrupt)
    assert "The same command goes on" in said[-1]
    assert [path.name for path in (tmp_path / "look").iterdir()] == [WORK]


@pytest.fixture
def start(parent, simulated, labels, tmp_path):
    """Start the command in a process of its own, which does not outlive the test; return it and its words."""
    started = list[subprocess.Popen[str]]()
    words = ("finetune", parent, "--images", simulated / "images_training", "--labels", labels)
    words += ("--out", tmp_path / "look", "--scale", "gz2")

    def run(*more: str) -> tuple[subprocess.Popen[str], tuple[object, ...]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "galvote", *map(str, (*words, *more))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process, (*words, *more)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_auto_is_killed_and_goes_on_to_the_same_model(start, command, whole, head, tmp_path):
    process, words = start("--budget", "60", *(word for each in QUICK for word in ("--set", each)))
    while not any((tmp_path / "look").glob(f"{WORK}/*/fold-1/checkpoint.safetensors")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "look" / CARD).exists()
    again = command(*words)
    assert again.returncode == 0, again.stderr
    assert "Going on with the training" in again.stdout and "is kept" in again.stdout
    assert not (tmp_path / "look" / WORK).exists()
    better = whole[0] if whole[0].gains["log_loss"].value < 0 else head  # what is less surprised
    assert json.loads((tmp_path / "look" / "scores.json").read_text())["mode"] == better.mode
    table = read_table(tmp_path / "look" / "out_of_fold.csv")
    predicted = np.stack([table[column].to_numpy() for column in better.tree.columns], axis=1)
    np.testing.assert_allclose(predicted, better.out_of_fold, atol=1e-4)


def test_ctrl_c_while_a_head_learns(start, tmp_path):
    process, _ = start("--mode", "head")
    assert process.stdout is not None
    while "galaxies with labels" not in (line := process.stdout.readline()):
        assert line, "the command has ended"
    process.send_signal(signal.SIGINT)
    said = process.stdout.read()
    assert process.wait() == 130 and "Traceback" not in said, said
    assert list(tmp_path.iterdir()) == []
