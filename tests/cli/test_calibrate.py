"""`galvote calibrate`, run as a user runs it, and what the calibrated model then says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import galvote
from galvote.errors import CatalogueError, GalvoteError
from galvote.io import read_table, write_table
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

pytestmark = pytest.mark.usefixtures("one_thread", "quick")


@pytest.fixture
def halves(simulated, tmp_path) -> Path:
    """Return splits of the simulated galaxies, half of them for calibration."""
    ids = [path.stem for path in sorted((simulated / "images_training").glob("*.jpg"))]
    rows = (f"{galaxy},{('train', 'validation')[i % 2]}\n" for i, galaxy in enumerate(ids))
    path = tmp_path / "halves.csv"
    path.write_text("id,split\n" + "".join(rows))
    return path


@pytest.fixture
def calibrate(command, trained, simulated, halves):
    def run(
        out: Path,
        *more: object,
        images: Path = simulated / "images_training",
        model: Path = trained,
        votes: Path = simulated / "training_solutions.csv",
    ):
        return command(
            "calibrate", model, "--images", images, "--votes", votes, "--splits", halves, "--out", out, *more,
        )  # fmt: skip

    return run


def test_a_model_is_calibrated_predicts_and_is_scored(command, calibrate, trained, simulated, tmp_path):
    model, images = tmp_path / "calibrated", simulated / "images_training"
    ran = calibrate(model)
    assert ran.returncode == 0, ran.stderr
    assert "Calibrated on 30 galaxies" in ran.stdout
    assert sorted(path.name for path in model.iterdir()) == [
        "calibration.safetensors", "card.json", "weights.safetensors",
    ]  # fmt: skip
    weights = "weights.safetensors"
    assert (model / weights).read_bytes() == (trained / "best" / weights).read_bytes()
    card = json.loads((model / "card.json").read_text())["calibration"]
    assert (card["galaxies"], card["train_images"]) == (30, 30)
    assert card["levels"].keys() == {"0.5", "0.8", "0.9", "0.95"}
    assert 0.7 < card["levels"]["0.9"]["coverage"] <= 1
    assert len(card["levels"]["0.9"]["questions"]) == 11
    assert 0.7 < card["conditional"]["levels"]["0.9"]["coverage"] <= 1
    assert json.loads((trained / "best" / "card.json").read_text())["calibration"] == {}

    out = tmp_path / "votes.csv"
    assert command("predict", images, "--model", model, "--out", out).returncode == 0
    table = read_table(out)
    ends = [f"{column}_{end}" for column in GZ2.columns for end in ("low", "high")]
    assert table.column_names == ["id", "status", "reason", "ood", "ood_score", *GZ2.columns, *ends]

    votes = simulated / "training_solutions.csv"
    by_file = command("evaluate", "--predictions", out, "--votes", votes, "--json")
    by_model = command("evaluate", "--model", model, "--images", images, "--votes", votes, "--json")
    found = [json.loads(ran.stdout)["coverage"] for ran in (by_file, by_model)]
    # Some votes of galaxies that were calibrated on are the very ends of intervals, as far as CSV has digits.
    assert found[0]["overall"] == pytest.approx(found[1]["overall"], abs=0.02)
    assert found[0]["mean_width"] == pytest.approx(found[1]["mean_width"], abs=1e-4)
    assert 0.8 < found[0]["overall"] < 0.99
    assert [each["level"] for each in found] == [None, 0.9]
    half = command(
        "evaluate", "--model", model, "--images", images, "--votes", votes, "--json", "--level", 0.5
    )
    of_half = json.loads(half.stdout)["coverage"]
    assert of_half["level"] == 0.5 and of_half["overall"] < found[1]["overall"]
    said = command("evaluate", "--predictions", out, "--votes", votes)
    assert "votes in their interval" in said.stdout


def test_a_packed_store_and_its_pictures_give_the_same(calibrate, packed, tmp_path):
    assert calibrate(tmp_path / "a", "--train-images", 25).returncode == 0
    assert calibrate(tmp_path / "b", "--train-images", 25, images=packed).returncode == 0
    files = [(tmp_path / name / "calibration.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_a_model_that_is_there_stays(calibrate, trained, tmp_path):
    out = tmp_path / "model"
    shutil.copytree(trained / "best", out)
    before = (out / "card.json").read_text()
    ran = calibrate(out)
    assert ran.returncode == 2
    assert "--overwrite" in ran.stderr
    assert (out / "card.json").read_text() == before
    assert calibrate(out, "--overwrite", "--false-alarms", 0.2, model=out).returncode == 0
    after = json.loads((out / "card.json").read_text())
    assert after["calibration"]["ood"]["aimed_at"] == 0.2


def test_an_exported_model_is_refused_before_any_work(command, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"")
    ran = command(
        "calibrate", tmp_path / "m.onnx", "--images", tmp_path, "--votes", tmp_path / "votes.csv",
        "--splits", tmp_path / "splits.csv", "--out", tmp_path / "out",
    )  # fmt: skip
    assert ran.returncode == 2
    assert "m.onnx': give a folder that holds card.json" in ran.stderr


def test_too_few_galaxies(calibrate, tmp_path):
    ran = calibrate(tmp_path / "model", "--split", "test")
    assert ran.returncode == 2
    assert "0 galaxies with votes in the split 'test'" in ran.stderr and "at least 20" in ran.stderr
    assert not (tmp_path / "model").exists()


def test_galaxies_that_the_model_was_trained_on_are_refused(calibrate, tmp_path):
    ran = calibrate(tmp_path / "model", "--split", "train")
    assert ran.returncode == 2
    assert "'train' cannot be both" in ran.stderr
    assert not (tmp_path / "model").exists()


def test_votes_of_one_question_calibrate_its_columns(calibrate, simulated, tmp_path):
    votes = read_table(simulated / "training_solutions.csv")
    few = votes.select(["GalaxyID", "Class1.1", "Class1.2", "Class1.3"])
    write_table(few, tmp_path / "few.csv")
    ran = calibrate(tmp_path / "model", votes=tmp_path / "few.csv")
    assert ran.returncode == 0, ran.stderr
    assert "nan" not in ran.stdout


def test_votes_on_other_questions_are_refused(calibrate, simulated, tmp_path):
    columns = load_tree("gz1").columns
    votes = [1.0] + [0.0] * (len(columns) - 1)
    (tmp_path / "votes.csv").write_text(f"id,{','.join(columns)}\n100001,{','.join(map(str, votes))}\n")
    ran = calibrate(tmp_path / "model", votes=tmp_path / "votes.csv")
    assert ran.returncode == 2
    assert not (tmp_path / "model").exists()
    assert "The tree of the votes, 'gz1', is not that of the predictions, 'gz2'" in ran.stderr


def test_noise_is_flagged(command, calibrate, tmp_path):
    import cv2

    folder, model, out = tmp_path / "noise", tmp_path / "model", tmp_path / "noise.csv"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (128, 128, 3), dtype=np.uint8))
    assert calibrate(model, "--false-alarms", 0.1).returncode == 0
    ran = command("predict", folder, "--model", model, "--out", out)
    assert "5 galaxies" in ran.stderr and "5 unlike the training galaxies" in ran.stderr
    assert read_table(out)["ood"].to_pylist() == [True] * 5


def test_intervals_are_calibrated_on_changed_images_too(calibrate, tmp_path):
    ran = calibrate(tmp_path / "calibrated", "--changes")
    assert ran.returncode == 0, ran.stderr
    assert "changed images" in ran.stdout
    card = json.loads((tmp_path / "calibrated" / "card.json").read_text())["calibration"]
    assert card["galaxies"] == 30
    assert 0.7 < card["changed"]["0.9"]["coverage"] <= 1


@pytest.fixture
def near(simulated, tmp_path) -> Path:
    """Return the simulated galaxies in frames of half the width, as another instrument has them."""
    folder = tmp_path / "near"
    folder.mkdir()
    for path in (simulated / "images_training").glob("*.jpg"):
        image = Image.open(path)
        width, height = image.size
        middle = image.crop((width // 4, height // 4, width - width // 4, height - height // 4))
        middle.save(folder / f"{path.stem}.png")
    return folder


def test_images_of_another_scale_are_noticed_once_or_measured(calibrate, near, tmp_path):
    ran = calibrate(tmp_path / "as_it_is", images=near)
    assert ran.returncode == 0, ran.stderr
    assert " ".join(ran.stdout.split()).count("with --scale auto") == 1
    assert "Warning" not in ran.stderr
    ran = calibrate(tmp_path / "measured", "--scale", "auto", "--changes", images=near)
    assert ran.returncode == 0, ran.stderr
    assert "another scale" not in ran.stdout
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("as_it_is", "measured")]
    assert [card["calibration"]["scale"] for card in cards] == [None, "auto"]


def test_sizes_of_a_catalogue_calibrate_as_python_does(calibrate, near, trained, simulated, halves, tmp_path):
    (tmp_path / "sizes.csv").write_text(
        "id,half\n" + "".join(f"{path.stem},3\n" for path in sorted(near.iterdir())[5:])
    )
    sized = ("--catalogue", tmp_path / "sizes.csv", "--size-column", "half", "--size-factor", 2)
    ran = calibrate(tmp_path / "sized", "--pixel-scale", 0.4, *sized, images=near)
    assert ran.returncode == 0, ran.stderr
    assert " ".join(ran.stdout.split()).count("5 of 60 images have no size in the catalogue") == 1
    sizes = galvote.Sizes.read(tmp_path / "sizes.csv", 0.4, column="half", factor=2.0)
    what = (trained, near, simulated / "training_solutions.csv", halves, tmp_path / "python")
    galvote.calibrate(*what, scale=sizes)
    files = [(tmp_path / name / "calibration.safetensors").read_bytes() for name in ("sized", "python")]
    assert files[0] == files[1]
    enlarged = galvote.Sizes(0.01, sizes.r90)
    with pytest.raises(CatalogueError, match="usable images of 2 galaxies"):
        galvote.calibrate(*what, scale=enlarged, overwrite=True)
    with pytest.raises(GalvoteError, match="field of view says the scale"):
        galvote.calibrate(*what, scale=sizes, field_of_view=4.0, overwrite=True)


def test_planes_of_fits_files_are_shown_as_asked(calibrate, simulated, tmp_path):
    from astropy.io import fits

    folder = tmp_path / "fits"
    folder.mkdir()
    for path in (simulated / "images_training").glob("*.jpg"):
        planes = np.asarray(Image.open(path).resize((64, 64)), np.float32).transpose(2, 0, 1)
        fits.PrimaryHDU(planes).writeto(folder / f"{path.stem}.fits")
    grey = ("--scale", "gz2", "--bands", 1)
    for name, how in (("all", grey[:2]), ("grey", grey), ("asinh", (*grey, "--stretch", "asinh"))):
        ran = calibrate(tmp_path / name, *how, images=folder)
        assert ran.returncode == 0, ran.stderr
    files = {(tmp_path / name / "calibration.safetensors").read_bytes() for name in ("all", "grey", "asinh")}
    assert len(files) == 3
