"""`galvote export`, and `--backend`, as users run them."""

import numpy as np
import pytest

from galvote.io import read_table
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

pytestmark = pytest.mark.usefixtures("one_thread")
pytest.importorskip("onnxruntime")


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_loaded(command, tmp_path):
    (tmp_path / "afile").write_text("precious")
    ran = command("export", "--model", tmp_path / "none", "--out", tmp_path / "afile" / "m.onnx")
    assert ran.returncode == 2
    assert f"{tmp_path}/afile/m.onnx cannot be written" in ran.stderr and "choose another" in ran.stderr


def test_a_model_is_exported_and_predicts(command, trained, simulated, tmp_path):
    model = tmp_path / "tiny.onnx"
    model.write_text("mine")
    ran = command("export", "--model", trained, "--out", model)
    assert ran.returncode == 2
    assert "exists already; choose another place or pass --overwrite" in ran.stderr
    assert model.read_text() == "mine"
    ran = command("export", "--model", trained, "--out", model, "--overwrite")
    assert ran.returncode == 0, ran.stderr
    assert "cutouts, uint8 (batch, 64, 64, 3), to vote fractions; at most" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]

    tables = []
    for name, arguments in {"a": [model], "b": [trained, "--backend", "torch-float32"]}.items():
        out = tmp_path / f"{name}.parquet"
        ran = command("predict", simulated / "images_training", "--out", out, "--model", *arguments)
        assert ran.returncode == 0, ran.stderr
        tables.append(read_table(out))
    assert tables[0].schema == tables[1].schema
    assert tables[0]["id"] == tables[1]["id"]
    for column in GZ2.columns:
        np.testing.assert_allclose(tables[0][column], tables[1][column], atol=0.02)

    votes = simulated / "training_solutions.csv"
    ran = command("evaluate", "--model", model, "--images", simulated / "images_training", "--votes", votes)
    assert ran.returncode == 0, ran.stderr
    assert "RMSE" in ran.stdout


def test_another_ending_is_refused(command, trained, tmp_path):
    ran = command("export", "--model", trained, "--out", tmp_path / "model")
    assert ran.returncode == 2
    assert "does not end in .onnx" in ran.stderr


def test_a_backend_that_does_not_exist_is_refused(command, trained, simulated, tmp_path):
    ran = command(
        "predict", simulated, "--model", trained, "--out", tmp_path / "a.csv", "--backend", "abacus"
    )
    assert ran.returncode == 2
    assert "no backend 'abacus'; choose one of auto, torch" in ran.stderr
