"""`galvote train --devices 2`: two processes without a GPU learn what one does; stopped, and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 300.0
WEIGHTS = Path("last") / "weights.safetensors"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PYTHON = (sys.executable, "-m", "galvote")
TORCHRUN = (Path(sys.executable).with_name("torchrun"), "--nproc-per-node", "2", "-m", "galvote")


@pytest.fixture(scope="module")
def votes(simulated, tmp_path_factory) -> list[Path]:
    """Return tables in which every third galaxy has votes on the first question alone."""
    with (simulated / "training_solutions.csv").open() as file:
        header, *rows = csv.reader(file)
    folder = tmp_path_factory.mktemp("votes")
    for name, columns, chosen in (
        ("whole.csv", len(header), [row for number, row in enumerate(rows) if number % 3]),
        ("partial.csv", 4, rows[::3]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(row[:columns] for row in [header, *chosen])
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def arguments(simulated, tiny_recipe, packed, votes) -> list[object]:
    given = ["train", "--recipe", tiny_recipe, "--images", packed, "--classes", simulated / "classes.csv"]
    given += ["--splits", simulated / "splits.csv", "--set", "network.dropout=0"]
    for table in votes:
        given += ["--votes", table]
    return given


def wait(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return said


def curve(run: Path, column: str) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def wait_for_epoch(process: subprocess.Popen[str], run: Path, epoch: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ((run / "metrics.csv").exists() and len(curve(run, "epoch")) >= epoch):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no epoch ended in time"
        time.sleep(0.005)


def test_two_devices_learn_like_one(start, command, arguments, tmp_path):
    short = [*arguments, "--set", "training.epochs=2"]
    said = wait(start(*short, "--out", tmp_path / "two", "--devices", 2))
    assert len([line for line in said.splitlines() if line.startswith("epoch")]) == 2
    assert "rank" not in said.lower()
    ran = command(*short, "--out", tmp_path / "one")
    assert ran.returncode == 0, ran.stderr
    # Each device normalises by its own share of a batch, here of four galaxies.
    for column in ("training_rmse", "validation_rmse"):
        assert curve(tmp_path / "two", column) == pytest.approx(curve(tmp_path / "one", column), rel=0.03)
    cards = [json.loads((tmp_path / name / "last" / "card.json").read_text()) for name in ("one", "two")]
    assert cards[0]["recipe"] == cards[1]["recipe"] and cards[0]["data"] == cards[1]["data"]
    assert command("models", tmp_path / "two").returncode == 0


def test_without_batch_normalisation_they_learn_the_same(start, command, arguments, simulated, tmp_path):
    same = [*arguments, "--recipe", "dieleman2014"]
    same[same.index("--images") + 1] = simulated / "images_training"
    for setting in ("data.labels=all", "training.epochs=1", "training.classes_weight=0.5", "seed=1"):
        same += ["--set", setting]
    wait(start(*same, "--out", tmp_path / "two", "--devices", 2))
    wait(start(*same, "--out", tmp_path / "one"))
    for column in ("training_loss", "training_rmse", "validation_loss", "validation_rmse"):
        assert curve(tmp_path / "two", column) == pytest.approx(curve(tmp_path / "one", column), rel=1e-5)


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory) -> Path:
    """Return the folder of a run on two devices that nobody stopped."""
    run = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(
        [*PYTHON, *map(str, arguments), "--out", run, "--devices", "2"],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return run


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_ends_like_one_that_was_not(start, arguments, whole, tmp_path, sent):
    run = tmp_path / "run"
    process = start(*arguments, "--out", run, "--devices", 2)
    wait_for_epoch(process, run, 2)
    process.send_signal(sent)
    said, _ = process.communicate(timeout=PATIENCE)  # ends when the other process has ended, too
    assert process.returncode == (130 if sent is signal.SIGINT else -sent)
    assert "Traceback" not in said
    if sent is signal.SIGINT:
        assert f"The same command with --resume goes on from the last epoch in {run}" in said
    assert not (run / "last").exists()
    said = wait(start(*arguments, "--out", run, "--devices", 2, "--resume"))
    assert "epoch   1/" not in said
    assert_same_run(run, whole)


def test_torchrun_starts_the_same_run(start, arguments, whole, tmp_path):
    wait(start(*arguments, "--out", tmp_path / "run", "--devices", 2, program=TORCHRUN))
    assert_same_run(tmp_path / "run", whole)


def test_a_teacher_is_trained_on_two_devices_first(start, arguments, tiny_recipe, tmp_path):
    teacher = tmp_path / "teacher.toml"
    teacher.write_text(tiny_recipe.read_text().replace("epochs = 10", "epochs = 1"))
    taught = [*arguments, "--yes", "--set", f"training.teacher_recipe={teacher}"]
    taught += ["--set", "training.epochs=2"]
    wait(start(*taught, "--out", tmp_path / "run", "--devices", 2))
    assert len(curve(tmp_path / "run" / "teacher", "epoch")) == 1
    assert len(curve(tmp_path / "run", "epoch")) == 2
    wait(start(*taught, "--out", tmp_path / "run", "--devices", 2, "--resume"))


def test_mistakes_are_explained_once(start, arguments, whole, tmp_path):
    for options, reason in (
        (["--out", whole], "holds a run already"),
        (["--out", tmp_path / "a", "--set", "training.batch_size=3"], "too small for 2 devices"),
        (["--out", tmp_path / "b", "--set", "training.learning_rate=1e30"], "not finite any more"),
    ):
        process = start(*arguments, *options, "--devices", 2)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
        assert said.count(reason) == 1
        assert "Traceback" not in said
    process = start(*arguments, "--out", tmp_path / "c", "--devices", 3, program=TORCHRUN)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "3 devices on each of 1 machines cannot train together" in said
