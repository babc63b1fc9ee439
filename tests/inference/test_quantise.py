"""A model's graph in 8-bit integers: smaller steps, the same votes, and the default of ONNX Runtime."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import galvote
from galvote.cli import app
from galvote.errors import ModelError
from galvote.finetuning.head import Head
from galvote.finetuning.writing import save_with_head
from galvote.inference import quantise as module
from galvote.inference.export import export_as
from galvote.models import load_calibration, load_card, load_model, save_model
from galvote.models.card import QUANTISED
from galvote.trees import class_tree
from galvote.weights import FOLDER

FILES = galvote.example_images()[:8]


@pytest.fixture(scope="module")
def quantised(simulated, build_once) -> Path:
    """Return a shipped model with a graph in 8-bit integers."""

    def make(folder: Path) -> None:
        shutil.copytree(FOLDER / "galvote-small", folder)
        (folder / QUANTISED).unlink(missing_ok=True)
        words = ["export", "--model", str(folder), "--quantise", str(simulated / "images_training")]
        said = CliRunner().invoke(app, words, catch_exceptions=False)
        assert said.exit_code == 0 and "change by at most 0.0" in said.output

    return build_once("quantised", make)


def test_it_is_computed_by_default_and_nearly_the_same(quantised):
    exact, rounded = (galvote.load(quantised, name).predict(FILES) for name in ("onnx-float32", "onnx"))
    assert (exact.computed_by, rounded.computed_by) == (
        "galvote-small, onnx float32 cpu",
        "galvote-small, onnx int8 cpu",
    )
    change = np.abs(exact.fractions - rounded.fractions)
    assert 1e-5 < change.max() < module.TOLERANCE
    assert (quantised / QUANTISED).stat().st_size < 1e6


def test_another_head_is_on_the_same_features(quantised, tmp_path):
    card, tree = load_card(quantised), class_tree("shape", ("round", "long"))
    calibration = load_calibration(quantised)
    assert calibration is not None
    features = galvote.load(quantised, "onnx").predict(FILES, features=True).features
    assert features is not None
    weight = np.random.default_rng(0).normal(size=(2, features.shape[1]))
    head = Head(tree, weight, np.zeros(2), (1.0,))
    own = card.model_copy(update={"tree": tree.to_dict()})
    save_with_head(quantised, own, head, calibration, {}, tmp_path)
    found = galvote.load(tmp_path, "onnx").predict_features(
        np.stack([galvote.images.decode_cutout(file.read_bytes(), card.cutout) for file in FILES])
    )
    np.testing.assert_allclose(found[1], features, rtol=1e-4, atol=1e-4)


def test_what_is_too_far_from_float32_is_not_written(quantised, simulated, tmp_path, monkeypatch):
    shutil.copytree(quantised, tmp_path / "model")
    before = (tmp_path / "model" / QUANTISED).read_bytes()
    monkeypatch.setattr(module, "_with_integers", lambda *_: onnx.load_model_from_string(before))
    words = ["export", "--model", str(tmp_path / "model"), "--quantise", str(simulated / "images_training")]
    assert "--overwrite" in str(CliRunner().invoke(app, words).exception)
    monkeypatch.setattr(module, "TOLERANCE", 0.0)
    with pytest.raises(ModelError, match="nothing is written"):
        CliRunner().invoke(app, [*words, "--overwrite"], catch_exceptions=False)
    assert (tmp_path / "model" / QUANTISED).read_bytes() == before
    with pytest.raises(ModelError, match="32 are the fewest"):
        module.quantise_on_images(tmp_path / "model", FILES, overwrite=True)


def test_weights_in_float32_are_rounded_as_well(simulated, tmp_path):
    network, card = load_model("galvote-small")
    save_model(network, card, tmp_path / "own")
    export_as(FOLDER / "galvote-small", tmp_path / "own")
    change = module.quantise_on_images(tmp_path / "own", [simulated / "images_training"])
    assert 0 < change < module.TOLERANCE
    assert galvote.load(tmp_path / "own", "onnx").computed_by == "galvote-small, onnx int8 cpu"
