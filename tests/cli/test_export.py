"""`galvote export`, and `--backend`, as users run them."""

import pytest

from galvote.catalogue import read_table

pytestmark = pytest.mark.usefixtures("one_thread")
pytest.importorskip("onnxruntime")


def test_a_model_is_exported_and_predicts(command, trained, simulated, tmp_path):
    model = tmp_path / "tiny.onnx"
    ran = command("export", "--model", trained, "--out", model)
    assert ran.returncode == 0, ran.stderr
    assert "cutouts, uint8 (batch, 64, 64, 3), to vote fractions; at most" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]
    tables = []
    for name, arguments in {"a": [model, "--backend", "onnx"], "b": [trained]}.items():
        out = tmp_path / f"{name}.parquet"
        ran = command("predict", simulated / "images_training", "--out", out, "--model", *arguments)
        assert ran.returncode == 0, ran.stderr
        tables.append(read_table(out))
    assert tables[0].schema.names == tables[1].schema.names
    assert tables[0]["id"] == tables[1]["id"]

    votes = simulated / "training_solutions.csv"
    ran = command("evaluate", "--model", model, "--images", simulated / "images_training", "--votes", votes)
    assert ran.returncode == 0, ran.stderr
    assert "RMSE" in ran.stdout


def test_an_existing_file_stays_unless_told(command, trained, tmp_path):
    there = tmp_path / "mine.onnx"
    there.write_text("mine")
    ran = command("export", "--model", trained, "--out", there)
    assert ran.returncode == 2
    assert "exists; choose another name or pass --overwrite" in ran.stderr
    assert there.read_text() == "mine"
    assert command("export", "--model", trained, "--out", there, "--overwrite").returncode == 0
    assert there.stat().st_size > 10_000
    ran = command("export", "--model", trained, "--out", tmp_path / "model")
    assert ran.returncode == 2
    assert "does not end in .onnx" in ran.stderr


def test_a_backend_that_does_not_exist_is_refused(command, trained, simulated, tmp_path):
    ran = command(
        "predict", simulated, "--model", trained, "--out", tmp_path / "a.csv", "--backend", "abacus"
    )
    assert ran.returncode == 2
    assert "no backend 'abacus'; choose one of auto, torch" in ran.stderr
