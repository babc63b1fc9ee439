"""The saved model: a folder that says everything, or an error that says what to do."""

import json
import resource

import numpy as np
import pytest
import torch

from galvote.calibration import (
    Calibration,
    ConditionalIntervals,
    Intervals,
    OodDetector,
    known_conditional,
)
from galvote.errors import ModelError, OutputError
from galvote.images import Geometry
from galvote.models import (
    Card,
    GalaxyNetwork,
    find_model,
    load_calibration,
    load_card,
    load_model,
    save_calibrated,
    save_model,
    with_scores,
)
from galvote.training import load_recipe
from galvote.trees import DecisionTree, load_tree

GZ2 = load_tree("gz2")


@pytest.fixture
def network(tiny_recipe) -> GalaxyNetwork:
    torch.manual_seed(3)
    built = GalaxyNetwork(load_recipe(tiny_recipe).network, GZ2)
    built.features(torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8))  # statistics other than 0 and 1
    return built.eval()


@pytest.fixture
def saved(network, tmp_path):
    card = Card(name="tiny", tree=GZ2.to_dict(), cutout=Geometry(pixels=64), network=network.spec)
    return save_model(network, with_scores(card, {"rmse": 0.1}), tmp_path / "model")


def predict(network: GalaxyNetwork) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        return network(torch.from_numpy(images)).numpy()


def test_a_model_comes_back_as_it_was(network, saved):
    again, card = load_model(saved)
    assert not again.training
    np.testing.assert_allclose(predict(again), predict(network), atol=1e-6)
    assert (card.name, card.scores) == ("tiny", {"rmse": 0.1})
    assert card.cutout == Geometry(pixels=64)
    assert card.network.model_dump() == network.spec.model_dump(mode="json")
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert DecisionTree.from_dict(card.tree) == GZ2
    assert card.versions.keys() == {"galvote", "torch", "numpy"}


def test_a_model_is_two_files_without_pickle(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "weights.safetensors"]
    assert json.loads((saved / "card.json").read_text())["format"] == 2


def test_half_precision_halves_the_file_and_keeps_the_predictions(network, saved, tmp_path):
    half = save_model(network, load_card(saved), tmp_path / "half", dtype=torch.float16)
    weights = "weights.safetensors"
    assert (half / weights).stat().st_size < 0.65 * (saved / weights).stat().st_size
    again, _ = load_model(half)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    np.testing.assert_allclose(predict(again), predict(network), atol=2e-3)


def test_a_run_is_found_by_its_folder(saved, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    saved.rename(run / "best")
    assert find_model(run) == run / "best"


def test_no_model_there_lists_what_there_is(tmp_path):
    with pytest.raises(ModelError, match=r"No model at .*nowhere.*card\.json.*shipped model"):
        load_model(tmp_path / "nowhere")


def test_a_name_that_is_nearly_a_models_is_guessed():
    with pytest.raises(ModelError, match="did you mean 'galvote-small'"):
        load_model("galvote-smal")


def test_a_folder_without_its_card_is_no_model(saved):
    (saved / "card.json").unlink()
    with pytest.raises(ModelError, match=r"give a folder that holds card\.json"):
        load_model(saved)


def test_damaged_weights_are_noticed(saved):
    path = saved / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"not the file that its card describes; copy the model again"):
        load_model(saved)
    path.unlink()
    with pytest.raises(ModelError, match=r"cannot be used.*copy the model again"):
        load_model(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "name": "x"}', "\N{SNOWMAN}"])
def test_a_damaged_card_is_noticed(saved, text):
    (saved / "card.json").write_bytes(text.encode("utf-16"))
    with pytest.raises(ModelError, match=r"(?s)card\.json cannot be used.*copy the model again"):
        load_model(saved)


def test_another_format_says_so_whatever_else_it_has(saved):
    path = saved / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3, "new": {"members": 1}}))
    with pytest.raises(ModelError, match=r"format 3, this galvote reads format 2; install a version"):
        load_model(saved)


def test_weights_of_another_network_are_refused(saved):
    path = saved / "card.json"
    card = json.loads(path.read_text())
    card["network"]["widths"] = [8, 24]
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"(?s)cannot be used.*size mismatch.*copy the model again"):
        load_model(saved)


@pytest.fixture
def calibration() -> Calibration:
    rng = np.random.default_rng(0)
    predicted, features = rng.random((60, 37), dtype=np.float32), rng.random((80, 20), dtype=np.float32)
    actual = np.clip(predicted + rng.normal(0, 0.1, predicted.shape), 0, 1)
    intervals = Intervals.fit(predicted, actual)
    conditional = ConditionalIntervals.fit(GZ2, predicted, known_conditional(GZ2, predicted, actual))
    return Calibration(
        intervals, conditional.intervals, OodDetector.fit(features[:60], features[60:], axes=5)
    )


def test_a_calibration_comes_back_as_it_was(saved, calibration, tmp_path):
    assert load_calibration(saved) is None
    folder = save_calibrated(saved, calibration, {"galaxies": 60}, tmp_path / "calibrated")
    assert load_card(folder).calibration["galaxies"] == 60
    again = load_calibration(folder)
    assert again is not None
    predicted = np.random.default_rng(1).random((9, 37), dtype=np.float32)
    for level in (0.3, 0.9):
        np.testing.assert_array_equal(
            again.intervals.ends(predicted, level), calibration.intervals.ends(predicted, level)
        )
    features = np.random.default_rng(2).random((9, 20), dtype=np.float32)
    np.testing.assert_array_equal(again.ood.distances(features), calibration.ood.distances(features))
    assert again.ood.threshold == pytest.approx(calibration.ood.threshold)
    np.testing.assert_allclose(predict(load_model(folder)[0]), predict(load_model(saved)[0]))


def test_a_calibration_belongs_to_its_weights(network, saved, calibration):
    save_calibrated(saved, calibration, {}, saved)
    assert load_calibration(saved) is not None
    save_model(network, load_card(saved), saved, dtype=torch.float16)
    assert load_calibration(saved) is None
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "weights.safetensors"]


def test_a_damaged_calibration_is_noticed(saved, calibration):
    save_calibrated(saved, calibration, {}, saved)
    path = saved / "calibration.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="not the file that its card describes; copy the model again"):
        load_calibration(saved)
    path.unlink()
    with pytest.raises(ModelError, match=r"cannot be used.*copy the model again"):
        load_calibration(saved)


def test_without_room_nothing_is_left_half_written(network, tmp_path):
    card = Card(name="tiny", tree=GZ2.to_dict(), cutout=Geometry(pixels=64), network=network.spec)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written \(File too large\)\. Make room"):
            save_model(network, card, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(tmp_path.iterdir())
