"""A sweep trains every pair once, goes on after a kill, and says how each run ended."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galvote.errors import RecipeError, TrainingError
from galvote.labels import Votes, read_votes
from galvote.simulate import simulate_galaxies, write_galaxies
from galvote.training import TrainingData, fit, load_recipe
from galvote.training.inputs import LabelFiles, read_training_data
from galvote.training.sweep import PRESETS, Row, SweepPlan, run_sweep

PLAN = SweepPlan(
    recipe="sharma2020",
    rows=("training.batch_size", (8.0, 16.0)),
    columns=("training.learning_rate", (0.001, 0.01)),
    epochs=2,
    in_full=(16.0, 0.001),
)
ONE_ROW = ("training.batch_size", (16.0,))
SETTINGS = ["training.epochs=3", "training.precision=float32"]

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "galaxies"
    write_galaxies(folder, simulate_galaxies(40, seed=3))
    return folder


@pytest.fixture(scope="module")
def data(galaxies: Path) -> TrainingData:
    recipe = load_recipe("sharma2020", SETTINGS)
    images, labels = galaxies / "images_training", LabelFiles(galaxies / "training_solutions.csv")
    return read_training_data(recipe, images, labels, galaxies / "store")[0]


@pytest.fixture(scope="module")
def swept(
    data: TrainingData, quick: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Row]]:
    """Return the folder of a sweep, and its rows."""
    out = tmp_path_factory.mktemp("swept") / "sweep"
    return out, run_sweep(PLAN, lambda: data, out, settings=SETTINGS)


def test_the_reports_grid() -> None:
    plan = PRESETS["report"]
    assert plan.recipe == "sharma2020"
    assert plan.rows == ("training.batch_size", (32, 64, 128, 256, 512, 1024))
    assert plan.columns == ("training.learning_rate", (0.5, 0.01, 0.001, 0.0001))
    assert plan.in_full == (1024, 0.001)
    assert len(list(plan.pairs)) == 24


def test_every_pair_runs_once_and_the_reports_own_in_full(swept: tuple[Path, list[Row]]) -> None:
    out, rows = swept
    assert [(row[PLAN.rows[0]], row[PLAN.columns[0]]) for row in rows] == list(PLAN.pairs)
    assert [row["epochs"] for row in rows] == [2, 2, 3, 2]
    assert all(row["best_rmse"] <= row["short_rmse"] for row in rows)
    with (out / "sweep.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(line["best_rmse"]) for line in table] == [row["best_rmse"] for row in rows]
    assert (out / "heat-map.png").read_bytes().startswith(b"\x89PNG")


def test_a_stopped_sweep_goes_on_to_the_same_table(
    data: TrainingData,
    swept: tuple[Path, list[Row]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = 0

    def stop_in_the_third(*arguments: Any, on_epoch: Callable[..., None], **options: Any) -> Path:
        nonlocal begun
        begun += 1

        def stop(*epoch: Any) -> None:
            on_epoch(*epoch)
            if begun == 3:
                raise KeyboardInterrupt

        return fit(*arguments, on_epoch=stop, **options)

    monkeypatch.setattr("galvote.training.sweep.fit", stop_in_the_third)
    reports = list[str]()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(PLAN, lambda: data, tmp_path, settings=SETTINGS, report=reports.append)
    rows = run_sweep(PLAN, lambda: data, tmp_path, settings=SETTINGS, resume=True, report=reports.append)
    assert rows == swept[1]
    assert begun == 5, "those that had ended are not run again"
    assert reports == [f"{ended} runs ended, {4 - ended} to come" for ended in (1, 2, 3, 4)]
    again = run_sweep(PLAN, lambda: data, tmp_path, settings=SETTINGS, resume=True)
    assert again == rows and begun == 5


def test_the_command_reads_the_data_once_for_runs_in_turn(
    command: Callable[..., Any], galaxies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, rows=ONE_ROW, columns=("training.learning_rate", (0.001,)))
    monkeypatch.setitem(PRESETS, "tiny", plan)
    read = list[Path]()

    def note(places: Sequence[Path], *tree: Any, **options: Any) -> Votes:
        read.extend(places)
        return read_votes(places, *tree, **options)

    monkeypatch.setattr("galvote.training.inputs.read_votes", note)
    ran = command(
        "sweep", "--preset", "tiny", "--images", galaxies / "images_training",
        "--votes", galaxies / "training_solutions.csv", "--out", tmp_path / "sweep",
        *(option for setting in SETTINGS for option in ("--set", setting)),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "training.batch_size=16 training.learning_rate=0.001: finished after 3 epochs" in ran.stdout
    assert (tmp_path / "sweep" / "sweep.csv").exists()
    assert read == [galaxies / "training_solutions.csv"]


def test_a_run_that_does_not_learn_ends_early(data: TrainingData, tmp_path: Path) -> None:
    plan = SweepPlan("sharma2020", ONE_ROW, ("training.learning_rate", (1e-9,)), 9, (0.0, 0.0), patience=2)
    rows = run_sweep(plan, lambda: data, tmp_path / "sweep", settings=SETTINGS)
    assert {row["outcome"] for row in rows} == {"stopped: no gain"}
    assert {row["epochs"] for row in rows} == {3}


def test_a_run_that_diverges_is_said_to(data: TrainingData, tmp_path: Path) -> None:
    settings = [*SETTINGS, "training.optimizer=sgd"]
    plan = SweepPlan("sharma2020", ONE_ROW, ("training.learning_rate", (1e30,)), 2, (0.0, 0.0))
    rows = run_sweep(plan, lambda: data, tmp_path / "sweep", settings=settings)
    assert {row["outcome"] for row in rows} == {"diverged"}
    assert np.isnan([row["best_rmse"] for row in rows]).all()


def test_another_plan_is_refused(data: TrainingData, swept: tuple[Path, list[Row]]) -> None:
    with pytest.raises(TrainingError, match="--resume"):
        run_sweep(PLAN, lambda: data, swept[0], settings=SETTINGS)
    with pytest.raises(TrainingError, match="another plan"):
        run_sweep(PLAN, lambda: data, swept[0], settings=[*SETTINGS, "seed=1"], resume=True)


@pytest.mark.parametrize("key", ["training.batch_size", "training.learning_rate"])
def test_a_setting_that_the_sweep_varies_is_refused(data: TrainingData, tmp_path: Path, key: str) -> None:
    says = rf"gives {key} its own values: leave out --set {key}=1, .*`galvote train --recipe sharma2020 --set"
    with pytest.raises(RecipeError, match=says):
        run_sweep(PLAN, lambda: data, tmp_path / "sweep", settings=[*SETTINGS, f"{key}=1"])
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 2])
def test_a_killed_sweep_goes_on(galaxies: Path, tmp_path: Path, parallel: int) -> None:
    out = tmp_path / "sweep"
    command = [
        sys.executable, "-m", "galvote", "sweep", "--images", galaxies / "images_training",
        "--votes", galaxies / "training_solutions.csv", "--out", out, "--epochs", "1",
        "--set", "training.epochs=2", "--set", "training.precision=float32", "--parallel", str(parallel),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 240
    while len(list(out.glob("runs/*/metrics.csv"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    done = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with (out / "sweep.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 24
    assert {line["outcome"] for line in table} == {"finished"}
    assert sorted(int(line["epochs"]) for line in table) == [1] * 23 + [2]
