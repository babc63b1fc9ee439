"""`galvote export`, and `--backend`, as users run them."""

import pytest

pytestmark = pytest.mark.usefixtures("one_thread")
pytest.importorskip("onnxruntime")


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_loaded(command, tmp_path):
    (tmp_path / "afile").write_text("precious")
    ran = command("export", "--model", tmp_path / "none", "--out", tmp_path / "afile" / "m.onnx")
    assert ran.returncode == 2
    assert f"{tmp_path}/afile/m.onnx cannot be written" in ran.stderr and "choose another" in ran.stderr


def test_an_existing_file_stays(command, trained, tmp_path):
    model = tmp_path / "tiny.onnx"
    model.write_text("mine")
    ran = command("export", "--model", trained, "--out", model)
    assert ran.returncode == 2
    assert "exists already; choose another path or pass --overwrite" in ran.stderr
    assert model.read_text() == "mine"


def test_another_ending_is_refused(command, trained, tmp_path):
    ran = command("export", "--model", trained, "--out", tmp_path / "model")
    assert ran.returncode == 2
    assert "does not end in .onnx" in ran.stderr


def test_a_backend_that_does_not_exist_is_refused(command, trained, simulated, tmp_path):
    ran = command(
        "predict", simulated, "--model", trained, "--out", tmp_path / "a.csv", "--backend", "abacus"
    )
    assert ran.returncode == 2
    assert "no backend 'abacus'; choose one of auto, onnx" in ran.stderr
