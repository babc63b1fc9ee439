"""`galvote train`, run, killed and resumed as a user does it."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pytest

from galvote.images import PackedStore
from galvote.io import read_table, write_table

EPOCHS = 10  # so many that the first ones end well before the last
WEIGHTS = Path("last") / "weights.safetensors"
PATIENCE = 120.0  # seconds; importing torch alone takes long on a busy machine

pytestmark = pytest.mark.usefixtures("one_thread", "quick")


@pytest.fixture
def arguments(simulated, tiny_recipe) -> list[object]:
    return [
        "train", "--recipe", tiny_recipe, "--images", simulated / "images_training",
        "--votes", simulated / "training_solutions.csv", "--classes", simulated / "classes.csv",
        "--splits", simulated / "splits.csv", "--set", f"training.epochs={EPOCHS}",
    ]  # fmt: skip


def finished_epochs(run: Path) -> int:
    metrics = run / "metrics.csv"
    return len(metrics.read_text().splitlines()) - 1 if metrics.exists() else 0


def wait_for_epoch(process: subprocess.Popen[str], run: Path, epoch: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while finished_epochs(run) < epoch:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no epoch ended in time"
        time.sleep(0.005)


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


def test_a_run_killed_and_stopped_ends_like_one_that_was_not(
    start, command, arguments, packed, trained, tmp_path, monkeypatch
):
    arguments[arguments.index("--images") + 1] = packed
    run = tmp_path / "run"
    process = start(*arguments, "--out", run, "--overwrite")
    wait_for_epoch(process, run, 1)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert 1 <= (killed := finished_epochs(run)) < EPOCHS - 1 and not (run / "last").exists()
    with monkeypatch.context() as context:
        # As Ctrl-C does; a signal might end the process of the tests, too.
        context.setattr("galvote.training.run_folder._describe", Mock(side_effect=KeyboardInterrupt))
        ran = command(*arguments, "--out", run, "--resume")
    assert ran.returncode == 130
    assert finished_epochs(run) == killed + 1 and not (run / "last").exists()
    said = ran.stdout + ran.stderr
    assert "Traceback" not in said
    assert f"The same command with --resume goes on from the last epoch in {run}" in said
    ran = command(*arguments, "--out", run, "--resume")
    assert ran.returncode == 0, ran.stderr
    assert "epoch   1/" not in ran.stdout
    assert_same_run(run, trained)


def test_a_run_tells_what_it_does(command, arguments, trained, tmp_path):
    run = tmp_path / "run"
    ran = command(*arguments, "--out", run)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert "45 galaxies to learn from (45 with every column, 15 with a class), 15 to validate with" in lines
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == EPOCHS
    rmse = read_table(run / "metrics.csv")["validation_rmse"][-1].as_py()
    assert epochs[-1].endswith(f"RMSE {rmse:.4f}")
    assert f"Best model: {run / 'best'}" in lines
    assert_same_run(run, trained)  # whether in Python or on the command line

    again = command(*arguments, "--out", run)
    assert again.returncode == 2
    assert "go on with --resume, start again with --overwrite" in again.stderr
    other = command(*arguments, "--out", run, "--resume", "--set", "training.learning_rate=1e-4")
    assert other.returncode == 2
    assert "another recipe (training.learning_rate 0.005, now 0.0001)" in other.stderr


def test_a_packed_store_is_used_as_it_is(command, arguments, packed, tmp_path):
    arguments[arguments.index("--images") + 1] = packed
    ran = command(*arguments, "--out", tmp_path / "run", "--set", "training.epochs=1")
    assert ran.returncode == 0, ran.stderr
    assert not (tmp_path / "run" / "store").exists()
    wrong = command(*arguments, "--out", tmp_path / "other", "--set", "cutout.pixels=128")
    assert wrong.returncode == 2
    assert "--pixels 128" in wrong.stderr


def test_one_file_of_images_and_classes_as_galaxy10_has_them(command, tiny_recipe, packed, tmp_path):
    galaxies, run = tmp_path / "galaxies" / "Galaxy10.h5", tmp_path / "run"
    galaxies.parent.mkdir()
    with h5py.File(galaxies, "w") as file:
        file["crops"] = np.asarray(PackedStore.open(packed).cutouts)
        file["thumbnails"] = file["crops"][:, ::2, ::2]
        file["ans"] = np.arange(60, dtype=np.uint8) % 3
    both = ("--images", galaxies, "--dataset", "crops", "--votes", galaxies)
    ran = command("train", "--recipe", tiny_recipe, "--set", "training.epochs=1", *both, "--out", run)
    assert ran.returncode == 0, ran.stderr
    assert "Votes are those of the tree 'ans', read from its class." in ran.stdout
    scored = command("evaluate", "--model", run, *both, "--json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["galaxies"] == 60
    assert (
        "several datasets that may be images"
        in command("evaluate", "--model", run, *both[:2], *both[4:]).stderr
    )


def test_folders_in_folders(command, arguments, simulated, tmp_path):
    (tmp_path / "survey").mkdir()
    shutil.copytree(simulated / "images_training", tmp_path / "survey" / "north")
    arguments[arguments.index("--images") + 1] = tmp_path / "survey"
    assert "add --recursive" in command(*arguments, "--out", tmp_path / "run").stderr
    votes = read_table(simulated / "training_solutions.csv")
    ids = [f"north/{galaxy}" for galaxy in votes["GalaxyID"].to_pylist()]
    write_table(votes.set_column(0, "GalaxyID", [ids]), tmp_path / "votes.csv")
    named = ("--recursive", "--images", tmp_path / "survey", "--votes", tmp_path / "votes.csv")
    recipe = arguments[1:3]
    ran = command("train", *recipe, *named, "--set", "training.epochs=1", "--out", tmp_path / "run")
    assert ran.returncode == 0, ran.stderr
    assert command("evaluate", "--model", tmp_path / "run", *named).returncode == 0


def test_pictures_packed_for_others_are_not_taken_up(command, arguments, simulated, tmp_path):
    run = tmp_path / "run"
    diverging = [*arguments, "--out", run, "--set", "training.learning_rate=1e30"]
    ran = command(*diverging)
    assert ran.returncode == 2
    assert "training.learning_rate" in ran.stderr
    ran = command(*diverging, "--resume", "--field-of-view", "6.0")
    assert ran.returncode == 2
    assert "packed with no --field-of-view, and now there is --field-of-view 6; give the same" in ran.stderr
    copied = tmp_path / "copied"
    shutil.copytree(simulated / "images_training", copied)
    for others in (min((simulated / "images_training").glob("*.jpg")), copied):
        diverging[diverging.index("--images") + 1] = others
        ran = command(*diverging, "--resume")
        assert ran.returncode == 2
        assert "packed from other images" in ran.stderr
        assert f"delete {run / 'store'} to have it packed again" in ran.stderr


def test_a_folder_of_something_else_is_left_as_it_is(command, arguments, packed, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(packed, own / "store")
    pixels = (own / "store" / "cutouts.bin").stat().st_size
    (own / "store" / "cutouts.bin").write_bytes(bytes(pixels))
    (own / "thesis.txt").write_text("precious")
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    ran = command(*arguments, "--out", own, "--overwrite")
    assert ran.returncode == 2
    assert "not empty and holds no run" in ran.stderr
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before
    (plain := tmp_path / "plain").mkdir()
    (plain / "thesis.txt").write_text("precious")
    ran = command(*arguments, "--out", plain)
    assert ran.returncode == 2
    assert [path.name for path in plain.iterdir()] == ["thesis.txt"]


def test_the_card_knows_two_tables_of_the_same_name(command, arguments, simulated, packed, tmp_path):
    header, *rows = (simulated / "training_solutions.csv").read_text().splitlines()
    at = arguments.index("--votes")
    options = list[object]()
    for name, part in (("a", rows[:30]), ("b", rows[30:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "votes.csv").write_text("\n".join([header, *part, ""]))
        options += ["--votes", tmp_path / name / "votes.csv"]
    arguments[at : at + 2] = options
    arguments[arguments.index("--images") + 1] = packed
    ran = command(*arguments, "--out", tmp_path / "run", "--set", "training.epochs=1")
    assert ran.returncode == 0, ran.stderr
    card = json.loads((tmp_path / "run" / "last" / "card.json").read_text())
    assert set(card["data"]["files_sha256"]) == {"a/votes.csv", "b/votes.csv", "classes.csv", "splits.csv"}


def test_mistakes_are_explained(command, arguments, tmp_path):
    out = ["--out", tmp_path / "run"]
    ran = command(*arguments, *out, "--set", "training.epoch=3")
    assert ran.returncode == 2
    assert "the nearest valid name is 'training.epochs'" in ran.stderr
    arguments[2] = "sharma"
    ran = command(*arguments, *out)
    assert ran.returncode == 2
    assert "did you mean 'sharma2020'" in ran.stderr
    assert not (tmp_path / "run").exists()
