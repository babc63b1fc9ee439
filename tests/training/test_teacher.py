"""A trained model as a teacher: its fractions in the labels, asked once."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from galvote.errors import RecipeError, TrainingError
from galvote.inference.tta import predict_tta
from galvote.models import load_model, run_network, save_model
from galvote.training import Recipe, TrainingData, fit, load_recipe
from galvote.training.teacher import distil
from galvote.trees import class_tree

pytestmark = pytest.mark.usefixtures("one_thread", "quick")


@pytest.fixture
def recipe(tiny_recipe, trained) -> Recipe:
    settings = [f"training.teacher={trained / 'best'}", "training.teacher_weight=0.25", "training.epochs=3"]
    return load_recipe(tiny_recipe, settings)


def ask(recipe: Recipe, data: TrainingData, tta: int) -> np.ndarray:
    teacher, card = load_model(recipe.training.teacher[0])
    cutouts = data.store.cutouts[data.training.rows]
    return predict_tta(partial(run_network, teacher), card.network.geometry, cutouts, card.cutout, tta)[0]


def refuse(*arguments: object) -> None:
    pytest.fail("the teacher was asked again")


@pytest.mark.parametrize("tta", [1, 2])
def test_labels_are_the_mean_of_votes_and_teacher(tiny_recipe, recipe, training_data, tmp_path, tta):
    fractions = training_data.training.fractions.copy()
    fractions[3], fractions[5, 10:] = np.nan, np.nan
    data = replace(training_data, training=replace(training_data.training, fractions=fractions))
    training = recipe.training.model_copy(update={"teacher_tta": tta})
    learned = distil(recipe.model_copy(update={"training": training}), data, tmp_path)
    predicted = ask(recipe, data, tta)
    known = np.isfinite(fractions)
    labels = learned.training.fractions
    np.testing.assert_allclose(labels[~known], predicted[~known])
    np.testing.assert_allclose(labels[known], 0.75 * fractions[known] + 0.25 * predicted[known], atol=1e-6)
    assert np.abs(labels[known] - fractions[known]).max() > 0.01
    assert learned.validation is data.validation
    assert learned.training.ids == data.training.ids


def test_several_teachers_teach_their_mean(tiny_recipe, trained, training_data, tmp_path):
    network, card = load_model(trained / "best")
    for weights in network.head.parameters():
        weights.data *= 0.5
    names = [str(trained / "best"), str(save_model(network, card, tmp_path / "other"))]

    def learned(*teachers: str) -> np.ndarray:
        settings = [f"training.teacher={json.dumps(teachers)}", "training.teacher_weight=1"]
        return distil(load_recipe(tiny_recipe, settings), training_data, tmp_path).training.fractions

    first, second = learned(names[0]), learned(names[1])
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(learned(*names), (first + second) / 2, atol=1e-6)


def test_the_teacher_is_asked_once_a_run(recipe, training_data, tmp_path, monkeypatch):
    first = distil(recipe, training_data, tmp_path)
    monkeypatch.setattr("galvote.training.teacher.predict_tta", refuse)
    again = distil(recipe, training_data, tmp_path)
    np.testing.assert_array_equal(again.training.fractions, first.training.fractions)
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("teacher-")


def test_the_teacher_is_asked_where_networks_run(recipe, training_data, tmp_path, monkeypatch):
    asked = set[str]()

    def note(compute, seen, cutouts, *rest: object) -> tuple[np.ndarray, None]:
        asked.add(next(compute.args[0].parameters()).device.type)
        return np.zeros((len(cutouts), 37), dtype=np.float32), None

    monkeypatch.setattr("galvote.training.teacher.best_device", lambda: "meta")  # stands for a GPU
    monkeypatch.setattr("galvote.training.teacher.predict_tta", note)
    distil(recipe, training_data, tmp_path)
    assert asked == {"meta"}


def test_a_run_with_a_teacher_resumes_to_the_same_end(recipe, training_data, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fit(recipe, training_data, whole)

    def stop(*measured: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, training_data, stopped, on_epoch=stop)
    with monkeypatch.context() as context:
        context.setattr("galvote.training.teacher.predict_tta", refuse)
        fit(recipe, training_data, stopped, resume=True)
    assert (whole / "metrics.csv").read_text() == (stopped / "metrics.csv").read_text()
    weights = Path("last") / "weights.safetensors"
    assert (whole / weights).read_bytes() == (stopped / weights).read_bytes()


def test_a_teacher_of_other_cutouts_or_another_tree_is_refused(recipe, training_data, tmp_path):
    wide = recipe.model_copy(update={"cutout": recipe.cutout.model_copy(update={"pixels": 128})})
    with pytest.raises(TrainingError, match=r"5\.12 r90 wide on 64 pixels; give the recipe the same"):
        fit(wide, training_data, tmp_path / "run")
    other = replace(training_data, tree=class_tree("bars", ["bar", "no bar"]))
    with pytest.raises(TrainingError, match=r"the tree gz2, and the votes have the tree bars; choose"):
        fit(recipe, other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_command_trains_teacher_and_pupil(tiny_recipe, training_data, tmp_path):
    first = tmp_path / "first.toml"
    first.write_text(tiny_recipe.read_text().replace("epochs = 10", "epochs = 2"))
    settings = ["training.epochs=2", "training.pretrained=teacher", f"training.teacher_recipe={first}"]
    recipe, one, two = load_recipe(tiny_recipe, settings), tmp_path / "one", tmp_path / "two"
    told = list[tuple[str, int]]()

    def stop(recipe: Recipe, epoch: int, measured: object) -> None:
        told.append((recipe.name, epoch))
        if told == [("first", 1)] or told[-1] == ("tiny", 1):
            raise KeyboardInterrupt

    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, training_data, one, resume=resume, on_epoch=stop)
    fit(recipe, training_data, one, resume=True, on_epoch=stop)
    assert told == [("first", 1), ("first", 2), ("tiny", 1), ("tiny", 2)]

    fit(load_recipe(first), training_data, two / "teacher")
    taught = load_recipe(tiny_recipe, [*settings, f"training.teacher={two / 'teacher' / 'last'}"])
    fit(taught, training_data, two / "pupil")
    weights = Path("last") / "weights.safetensors"
    assert (one / weights).read_bytes() == (two / "pupil" / weights).read_bytes()


def test_a_teacher_with_other_data_is_refused(tiny_recipe, training_data, tmp_path):
    first = tmp_path / "first.toml"
    first.write_text(tiny_recipe.read_text().replace("classes_weight = 0.02", "classes_weight = 0.0"))
    recipe = load_recipe(tiny_recipe, [f"training.teacher_recipe={first}"])
    with pytest.raises(TrainingError, match=r"first has training.classes_weight = 0.0, the recipe 0.02"):
        fit(recipe, training_data, tmp_path / "run")


def test_beginning_with_a_teacher_needs_one(tiny_recipe):
    with pytest.raises(RecipeError, match="pretrained = 'teacher' needs a teacher"):
        load_recipe(tiny_recipe, ["training.pretrained=teacher"])
