"""A questionnaire of a user's own, two questions in a TOML file, goes through every verb."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galvote.io import read_table
from galvote.models import load_card

COLUMNS = ["look/plain", "look/busy", "whirl/whirls", "whirl/rests"]
ENDS = [f"{column}_{end}" for column in COLUMNS for end in ("low", "high")]


@pytest.fixture(scope="module")
def store(two_questions, tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("two") / "store"


@pytest.fixture
def model(command, two_questions, tiny_recipe, one_thread, quick, store) -> Path:
    """Return a calibrated model, made by the real commands the first time."""
    two, run, calibrated = two_questions, store.parent / "run", store.parent / "calibrated"
    if calibrated.exists():
        return calibrated
    for arguments in (
        ("pack", two.images, "--out", store, "--pixels", 64),
        (
            "train", "--recipe", tiny_recipe, "--images", store, "--votes", two.votes, "--splits", two.splits,
            "--tree", two.tree, "--out", run, "--set", "training.epochs=2",
            "--set", "network.widths=[8]", "--set", "network.depths=[1]",
        ),
        (
            "calibrate", run, "--images", store, "--votes", two.votes, "--splits", two.splits,
            "--out", calibrated,
        ),
    ):  # fmt: skip
        ran = command(*arguments)
        assert ran.returncode == 0, ran.stderr
    return calibrated


def test_the_model_says_which_questions_it_answers(command, model, two_questions):
    assert load_card(model).tree["questions"][1]["answers"][0]["label"] == "whirl"
    ran = command("tree", two_questions.tree)
    assert ran.returncode == 0 and all(column in ran.stdout for column in COLUMNS)


def test_it_predicts_to_a_file_and_to_shards_and_beside_a_catalogue(command, model, two_questions, tmp_path):
    images, catalogue = two_questions.images, tmp_path / "catalogue.csv"
    ran = command("predict", images, "--model", model, "--out", tmp_path / "one.parquet")
    assert ran.returncode == 0, ran.stderr
    table = read_table(tmp_path / "one.parquet")
    assert {"ood", "ood_score", *COLUMNS, *ENDS} <= set(table.column_names)
    assert not any(name.startswith(("Class", "t01")) for name in table.column_names)
    fractions = np.column_stack([table[column] for column in COLUMNS])
    np.testing.assert_allclose(fractions[:, :2].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(fractions[:, 2:].sum(axis=1), fractions[:, 1], atol=1e-5)

    ran = command("predict", images, "--model", model, "--out", tmp_path / "shards")
    assert ran.returncode == 0, ran.stderr
    shards = [read_table(path) for path in sorted((tmp_path / "shards").glob("*.parquet"))]
    assert [name for shard in shards for name in shard["id"].to_pylist()] == table["id"].to_pylist()
    catalogue.write_text("id,z\n" + "".join(f"{name},0.1\n" for name in table["id"].to_pylist()))
    ran = command("predict", images, "--model", model, "--join", catalogue, "--out", tmp_path / "joined.fits")
    assert ran.returncode == 0, ran.stderr
    assert read_table(tmp_path / "joined.fits").column_names[:2] == ["id", "z"]


def test_it_is_scored_against_votes_and_predictions_are_too(command, model, two_questions, tmp_path):
    split = ("--splits", two_questions.splits, "--split", "validation")
    asked = ("evaluate", "--votes", two_questions.votes, *split, "--json")
    ran = command(*asked, "--model", model, "--images", two_questions.images, "--report", tmp_path / "report")
    assert ran.returncode == 0, ran.stderr
    scores = json.loads(ran.stdout)
    assert set(scores["questions"]) == {"look", "whirl"} and set(scores["columns"]) == set(COLUMNS)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Does it whirl?" in page and "busy <or> full" not in page

    out = tmp_path / "predictions.csv"
    assert command("predict", two_questions.images, "--model", model, "--out", out).returncode == 0
    ran = command(*asked, "--predictions", out, "--tree", two_questions.tree)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["rmse"] == pytest.approx(scores["rmse"], abs=1e-4)


def test_it_is_exported(command, model, two_questions, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "two.onnx").write_text("old")
    ran = command("export", "--model", model, "--out", tmp_path / "two.onnx", "--overwrite")
    assert ran.returncode == 0, ran.stderr
    assert "cutouts, uint8 (batch, 64, 64, 3), to vote fractions; at most" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["two.onnx"]
    for name, extra in (("torch", model), ("onnx", tmp_path / "two.onnx")):
        ran = command(
            "predict", two_questions.images, "--model", extra, "--out", tmp_path / f"{name}.parquet"
        )
        assert ran.returncode == 0, ran.stderr
    first, second = (read_table(tmp_path / f"{name}.parquet") for name in ("torch", "onnx"))
    assert first.schema == second.schema and first["id"] == second["id"]
    for column in COLUMNS:
        np.testing.assert_allclose(first[column], second[column], atol=0.01)
    ran = command(
        "evaluate",
        "--model",
        tmp_path / "two.onnx",
        "--images",
        two_questions.images,
        "--votes",
        two_questions.votes,
    )
    assert ran.returncode == 0 and "RMSE" in ran.stdout, ran.stderr


def test_another_questionnaire_is_refused(command, model, simulated, two_questions, tmp_path):
    votes = simulated / "training_solutions.csv"
    ran = command("evaluate", "--votes", votes, "--model", model, "--images", two_questions.images)
    assert ran.returncode == 2 and "two" in ran.stderr and "gz2" in ran.stderr


def test_it_names_the_galaxies_of_a_field(command, model, tmp_path):
    rows, columns = np.mgrid[:120, :200]
    light = sum(np.exp(-((columns - x) ** 2 + (rows - 60) ** 2) / 50) for x in (50, 150))
    sky = np.random.default_rng(3).normal(20, 4, (120, 200, 3))
    image = (sky + 190 * light[:, :, None]).clip(0, 255).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "field.png")
    ran = command("field", tmp_path / "field.png", "--model", model, "--out", tmp_path, "--tta", 1)
    assert ran.returncode == 0, ran.stderr
    table = read_table(tmp_path / "catalogue.csv")
    assert {"ood", "ood_score", *COLUMNS, *ENDS} <= set(table.column_names)
    assert len(table) == 2 and set(table["kind"].to_pylist()) <= {"whirl", "plain", "busy <or> full"}
    page = (tmp_path / "index.html").read_text()
    assert "Does it whirl?" in page or ("whirl" in page and "busy <or> full" not in page)
