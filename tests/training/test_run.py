"""A training run: the same twice, true at every moment, and honest when it cannot go on."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import galvote
from galvote.errors import TrainingError
from galvote.io import list_sources
from galvote.labels import read_votes
from galvote.models import load_model
from galvote.report import plot_curves
from galvote.training import Recipe, fit, load_recipe

COLUMNS = ["epoch", "training_loss", "validation_loss", "training_rmse", "validation_rmse"]
WEIGHTS = "weights.safetensors"

pytestmark = pytest.mark.usefixtures("one_thread", "quick")


@pytest.fixture(scope="module")
def recipe(tiny_recipe) -> Recipe:
    return load_recipe(tiny_recipe, ["training.epochs=3"])


@pytest.fixture(scope="module")
def reference(recipe, training_data, tmp_path_factory) -> Path:
    """Return the folder of a finished run of that recipe; its curves alone are drawn."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    with patch("galvote.training.run_folder.plot_curves", plot_curves):
        fit(recipe, training_data, folder)
    return folder


def read_metrics(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    for name in ("last", "best"):
        assert (one / name / WEIGHTS).read_bytes() == (other / name / WEIGHTS).read_bytes()


def test_the_run_folder_holds_numbers_curves_and_models(reference):
    assert {path.name for path in reference.iterdir()} == {
        "run.json",
        "metrics.csv",
        "loss.png",
        "rmse.png",
        "checkpoint.safetensors",
        "best",
        "last",
    }
    assert {path.suffix for path in reference.rglob("*") if path.is_file()} == {
        ".json",
        ".csv",
        ".png",
        ".safetensors",
    }
    for name in ("loss.png", "rmse.png"):
        assert (reference / name).read_bytes().startswith(b"\x89PNG\r\n")
    rows = read_metrics(reference)
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["validation_rmse"] < rows[0]["validation_rmse"], "it learns"
    for row in rows:
        assert row["validation_rmse"] == pytest.approx(row["validation_loss"] ** 0.5)


def test_the_card_says_what_was_trained_on_what(reference, recipe, training_data):
    card = json.loads((reference / "best" / "card.json").read_text())
    best = min(read_metrics(reference), key=lambda row: row["validation_rmse"])
    assert card["scores"] == best
    assert Recipe.model_validate(card["recipe"]) == recipe
    assert card["data"]["training_galaxies"] == len(training_data.training) == 45
    assert card["data"]["validation_galaxies"] == 15
    mean = training_data.training.fractions.mean(axis=0)
    rmse = np.sqrt(np.mean((training_data.validation.fractions - mean) ** 2))
    assert card["data"]["mean_predictor_rmse"] == pytest.approx(rmse)
    assert card["data"]["training_galaxies_with_class"] == 15
    assert card["data"]["training_sha256"] == training_data.training.digest()
    assert card["data"]["class_names"] == ["disc", "round"]


def test_the_same_seed_gives_the_same_run(reference, recipe, training_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as where it is not installed
    torch.rand(3)
    told = list[tuple[int, dict[str, float]]]()
    best = fit(
        recipe,
        training_data,
        tmp_path / "again",
        on_epoch=lambda _, epoch, measured: told.append((epoch, dict(measured))),
    )
    assert best == tmp_path / "again" / "best"
    assert_same_run(reference, tmp_path / "again")
    assert [{"epoch": epoch, **measured} for epoch, measured in told] == read_metrics(reference)


def test_another_seed_gives_another_run(reference, tiny_recipe, training_data, tmp_path):
    fit(load_recipe(tiny_recipe, ["seed=1", "training.epochs=1"]), training_data, tmp_path / "run")
    assert read_metrics(tmp_path / "run")[0] != read_metrics(reference)[0]


def test_validation_rmse_is_the_rmse_of_the_saved_models_predictions(reference, simulated, training_data):
    ids = training_data.validation.ids
    predictor = galvote.load(reference / "last", "torch-float32")
    prediction = predictor.predict(list_sources(simulated / "images_training").select(ids))
    assert prediction.ids == ids
    predicted = prediction.fractions
    votes = read_votes(simulated / "training_solutions.csv")
    actual = votes.fractions[[votes.ids.index(galaxy) for galaxy in ids]]
    rmse = np.sqrt(np.mean((predicted - actual) ** 2))
    assert rmse == pytest.approx(read_metrics(reference)[-1]["validation_rmse"], abs=1e-5)


class KilledError(BaseException):
    """Stands for a process that ends without a word."""


@pytest.mark.parametrize("written", [WEIGHTS, "card.json", "checkpoint.safetensors", "metrics.csv"])
def test_a_run_killed_before_a_file_is_in_place_ends_the_same(
    reference, recipe, training_data, tmp_path, monkeypatch, written
):
    count, replace = 0, Path.replace

    def die_the_third_time(self: Path, target: Path) -> Path:
        nonlocal count
        count += Path(target).name == written
        if count == 3:
            raise KilledError
        return replace(self, target)

    run = tmp_path / "run"
    with monkeypatch.context() as context:
        context.setattr(Path, "replace", die_the_third_time)
        with pytest.raises(KilledError):
            fit(recipe, training_data, run)
    fit(recipe, training_data, run, resume=True)
    assert_same_run(reference, run)


def test_resuming_a_finished_run_changes_nothing(reference, recipe, training_data):
    files = [path for path in reference.rglob("*") if path.is_file() and path.suffix != ".png"]
    before = {path: path.read_bytes() for path in files}
    fit(recipe, training_data, reference, resume=True)
    assert {path: path.read_bytes() for path in before} == before


def test_resuming_nothing_starts_a_run(tiny_recipe, training_data, tmp_path):
    recipe = load_recipe(tiny_recipe, ["training.epochs=1"])
    fit(recipe, training_data, tmp_path / "run", resume=True)
    assert len(read_metrics(tmp_path / "run")) == 1


def test_an_existing_run_is_refused_unless_it_may_be_replaced(tiny_recipe, training_data, tmp_path):
    recipe, other = (load_recipe(tiny_recipe, ["training.epochs=1", f"seed={seed}"]) for seed in range(2))
    run = tmp_path / "run"
    fit(recipe, training_data, run)
    with pytest.raises(TrainingError, match=r"holds a run already; go on with --resume"):
        fit(recipe, training_data, run)
    with pytest.raises(TrainingError, match=r"give one of them"):
        fit(recipe, training_data, run, resume=True, overwrite=True)
    first = read_metrics(run)

    def stop(recipe: object, epoch: int, measured: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        fit(other, training_data, run, overwrite=True, on_epoch=stop)
    assert read_metrics(run) != first


def test_nothing_of_a_replaced_run_stays(tiny_recipe, training_data, tmp_path, monkeypatch):
    recipe = load_recipe(tiny_recipe, ["training.epochs=1"])
    run = tmp_path / "run"
    fit(recipe, training_data, run)
    (run / "tensorboard").mkdir(exist_ok=True)
    (run / "tensorboard" / "events.out.tfevents.1.host").write_bytes(b"of the run before")
    diverging = load_recipe(tiny_recipe, ["training.learning_rate=1e30"])
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as where it is not installed
    with pytest.raises(TrainingError):
        fit(diverging, training_data, run, overwrite=True)
    assert [path.name for path in run.iterdir()] == ["run.json"]


def test_another_recipe_or_other_data_are_not_resumed(reference, tiny_recipe, recipe, training_data):
    slower = load_recipe(tiny_recipe, ["training.learning_rate=1e-4"])
    with pytest.raises(TrainingError, match=r"recipe \(.*training\.learning_rate 0\.005, now 0\.0001\)"):
        fit(slower, training_data, reference, resume=True)
    fewer = replace(training_data, training=training_data.training.select(range(20)))
    with pytest.raises(
        TrainingError, match=r"data \(training_galaxies 45, now 20; .*training galaxies changed"
    ):
        fit(recipe, fewer, reference, resume=True)
    with pytest.raises(TrainingError, match=r"with other data \(votes.csv is new\); resume it with the same"):
        fit(recipe, training_data, reference, resume=True, hashes={"votes.csv": "0" * 64})


@pytest.fixture
def plain() -> list[str]:
    """Return settings of a recipe none of which is a share of the epochs."""
    return ["cutout.pixels=64", "network.pixels=16", "training.batch_size=16", "training.precision=float32"]


def test_a_run_may_be_given_more_epochs(plain, training_data, tmp_path):
    short, long = (load_recipe("sharma2020", [*plain, f"training.epochs={n}"]) for n in (2, 4))
    fit(long, training_data, tmp_path / "whole")
    fit(short, training_data, tmp_path / "run")
    fit(long, training_data, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "last" / "card.json").read_text())["scores"]["epoch"] == 4
    with pytest.raises(TrainingError, match=r"training\.epochs 4, now 2"):
        fit(short, training_data, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            ["training.schedule=cosine"],
            r"schedule is spread over all epochs: .*training\.pretrained=",
        ),
        (["training.schedule=cosine", "training.unnormalised=0.5", "network.head=rectified"], "and training"),
        (
            ["training.schedule=steps", "training.milestones=[0.5]"],
            "milestones are shares of the epochs",
        ),
    ],
)
def test_more_epochs_are_refused_where_they_change_those_before(
    plain, training_data, tmp_path, settings, says
):
    short, long = (load_recipe("sharma2020", [*plain, *settings, f"training.epochs={n}"]) for n in (1, 2))
    fit(short, training_data, tmp_path / "run")
    with pytest.raises(TrainingError, match=says):
        fit(long, training_data, tmp_path / "run", resume=True)


def test_more_epochs_with_milestones_where_they_were(plain):
    steps = [*plain, "training.schedule=steps"]
    short = load_recipe("sharma2020", [*steps, "training.milestones=[0.5]", "training.epochs=4"])
    long = load_recipe("sharma2020", [*steps, "training.milestones=[0.25]", "training.epochs=8"])
    assert long.extends(short) and not short.extends(long)


def test_a_folder_of_something_else_is_left_alone(recipe, training_data, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(TrainingError, match=r"not empty and holds no run"):
            fit(recipe, training_data, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_loss_that_is_not_finite_names_the_setting(tiny_recipe, training_data, tmp_path):
    recipe = load_recipe(tiny_recipe, ["training.learning_rate=1e30"])
    says = r"not finite any more \(epoch 1, step \d+\).*--set training\.learning_rate=1e\+29"
    with pytest.raises(TrainingError, match=says):
        fit(recipe, training_data, tmp_path / "run")


def test_a_damaged_checkpoint_says_what_to_do(tiny_recipe, training_data, tmp_path):
    recipe = load_recipe(tiny_recipe, ["training.epochs=2"])

    def stop(recipe: object, epoch: int, measured: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        fit(recipe, training_data, tmp_path / "run", on_epoch=stop)
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"cannot be read .*start the run again with --overwrite"):
        fit(recipe, training_data, tmp_path / "run", resume=True)
    save_file({"0": torch.zeros(1)}, checkpoint)
    with pytest.raises(TrainingError, match=r"cannot be read .*start the run again with --overwrite"):
        fit(recipe, training_data, tmp_path / "run", resume=True)


def test_averaged_weights_are_what_is_kept(reference):
    state = load_file(reference / "checkpoint.safetensors")
    kept = load_file(reference / "last" / WEIGHTS)
    assert len(state) > 3 * len(kept), "weights, their average and two moments"


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_networks_optimisers_and_schedules_resume_too(training_data, tmp_path, optimizer):
    recipe = load_recipe(
        "sharma2020",
        [
            "cutout.pixels=64",
            "network.pixels=16",
            "network.head=rectified",
            f"training.optimizer={optimizer}",
            "training.schedule=steps",
            "training.milestones=[0.5]",
            "training.unnormalised=0.4",
            "training.epochs=3",
            "training.batch_size=16",
            "training.learning_rate=0.01",
        ],
    )
    for stopped_after in (0, 1):
        run = tmp_path / str(stopped_after)
        if stopped_after:

            def stop(recipe: object, epoch: int, measured: object, last: int = stopped_after) -> None:
                if epoch == last:
                    raise KilledError

            with pytest.raises(KilledError):
                fit(recipe, training_data, run, on_epoch=stop)
        fit(recipe, training_data, run, resume=True)
    assert_same_run(tmp_path / "0", tmp_path / "1")


def test_the_card_counts_the_parameters_of_averaged_weights(reference):
    network, card = load_model(reference / "last")
    assert card.recipe["training"]["ema_decay"] == 0.8
    assert card.parameters == sum(parameter.numel() for parameter in network.parameters()) > 1000
