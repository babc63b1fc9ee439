"""`galvote models`: a list to choose from, and everything about one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from galvote.models import load_card, load_model, save_model, with_scores

LOADED = """
import galvote, json, sys
from typer.testing import CliRunner
from galvote.cli import app
ran = CliRunner().invoke(app, ["models", "--json"])
assert CliRunner().invoke(app, ["recipes"]).exit_code == 0
assert galvote.list_recipes() and [model.name for model in galvote.list_models()]
print(json.dumps([ran.exit_code, json.loads(ran.stdout), list(sys.modules)]))
"""


def test_list_has_what_one_chooses_by_and_loads_no_torch():
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    code, listed, modules = json.loads(done.stdout)
    assert code == 0
    assert not {"torch", "lightning", "numpy"} & set(modules)
    names = [model["name"] for model in listed]
    assert "galvote-small" in names and names == sorted(names)
    for model in listed:
        card = load_card(Path(model["directory"]))
        assert model["parameters"] == card.parameters
        assert model["rmse_tta_8"] == card.scores["rmse_tta_8"]
        assert model["bytes"] > model["parameters"]
        assert model["calibrated"] in (True, False)


def test_list_for_people(command):
    ran = command("models")
    assert ran.returncode == 0, ran.stderr
    assert "RMSE" in ran.stdout and "galvote-small" in ran.stdout
    assert "500 galaxies" in ran.stdout


def test_card_of_a_shipped_model(command):
    ran = command("models", "galvote-small")
    assert ran.returncode == 0, ran.stderr
    for said in ("37 answers to 11 questions", "Learned from", "training.learning_rate", "Scores"):
        assert said in ran.stdout


def test_card_of_a_run_of_ones_own(command, trained):
    ran = command("models", trained)
    assert ran.returncode == 0, ran.stderr
    assert "residual" in ran.stdout and "validation_rmse" in ran.stdout
    card = json.loads(command("models", trained / "best", "--json").stdout)
    assert card["network"]["encoder"] == "residual"
    assert card["rmse_tta_1"] is None and card["speed"] is None


def test_speed_and_calibration_are_said_where_they_are_known(command, trained, tmp_path):
    network, card = load_model(trained / "last")
    speed = {"what": "TTA 1", "galaxies_per_second": {"1": 1234.5}, "machine": "a computer"}
    save_model(network, with_scores(card, {"speed": speed, "rmse_tta_1": 0.25}), tmp_path / "mine")
    described = json.loads((tmp_path / "mine" / "card.json").read_text())
    (tmp_path / "mine" / "card.json").write_text(json.dumps(described | {"calibration": {"galaxies": 321}}))
    found = json.loads(command("models", tmp_path / "mine", "--json").stdout)
    assert found["calibrated"] is True
    assert found["speed"]["galaxies_per_second"]["1"] == pytest.approx(1234.5)
    said = command("models", tmp_path / "mine").stdout
    assert "a computer" in said and "0.25" in said and "321" in said


def test_a_name_that_does_not_exist(command):
    ran = command("models", "galvote-huge")
    assert ran.returncode == 2
    assert "galvote-small" in ran.stderr


def test_models_in_a_folder_are_listed(command, calibrated):
    listed = command("models", calibrated.parent, "--json")
    assert calibrated.name in [model["name"] for model in json.loads(listed.stdout)]
    assert calibrated.name in command("models", calibrated.parent).stdout
