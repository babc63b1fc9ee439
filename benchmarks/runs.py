"""Training runs of a benchmark: each a `galvote train` of its own that goes on where it stopped."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from galvote.training import Recipe, validate_recipe

TIMING = "timing.json"


def train(
    run: Path,
    recipe: str | Path,
    settings: Sequence[str],
    *,
    store: Path,
    splits: Path,
    votes: Sequence[Path],
    classes: Path | None = None,
) -> None:
    """Train a run, or go on with it, and note how many core minutes all its epochs take.

    A processor's minutes, and not the clock's, because other work beside it would count in those.
    """
    command: list[str | Path] = [sys.executable, "-m", "galvote", "train", "--yes", "--recipe", recipe]
    command += ["--images", store, "--splits", splits, "--out", run]
    for table in votes:
        command += ["--votes", table]
    if classes is not None:
        command += ["--classes", classes]
    for setting in settings:
        command += ["--set", setting]
    if (run / "run.json").exists():
        command.append("--resume")
    before, began = len(metrics(run)), core_seconds()
    subprocess.run(command, check=True)
    seconds, epochs = core_seconds() - began, len(metrics(run))
    # A run that was stopped is timed by its last sitting.
    minutes = seconds / 60 * epochs / max(epochs - before, 1)
    (run / TIMING).write_text(json.dumps({"minutes": minutes}) + "\n")


def core_seconds() -> float:
    """Return what ended child processes have taken of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def is_finished(run: Path) -> bool:
    """Whether the last epoch's model is there."""
    return (run / "last" / "card.json").is_file()


def has_recipe(run: Path, recipe: Recipe) -> bool:
    """Whether a run was begun with this recipe, its name aside; keys that came later have their defaults."""
    begun = validate_recipe(json.loads((run / "run.json").read_text())["recipe"])
    nameless = {"name": recipe.name, "description": recipe.description}
    return begun.model_copy(update=nameless) == recipe


def metrics(run: Path) -> list[dict[str, str]]:
    """Return the rows of ``metrics.csv``, one for each epoch; none where it is not there yet."""
    path = run / "metrics.csv"
    return list(csv.DictReader(path.open(newline=""))) if path.is_file() else []


def last_rmse(run: Path) -> float:
    """Return the validation RMSE of the last epoch."""
    return float(metrics(run)[-1]["validation_rmse"])


def minutes_of(run: Path) -> float:
    """Return the core minutes of a finished run, without its teachers'.

    Of a run that `train` did not time, or timed together with a teacher inside it, minutes are the clock's,
    between the files that were written when it began and when it ended.
    """
    teacher = run / "teacher"
    if (run / TIMING).is_file() and not teacher.is_dir():
        return float(json.loads((run / TIMING).read_text())["minutes"])
    begun = teacher / "last" / "card.json" if teacher.is_dir() else run / "run.json"
    return ((run / "last" / "card.json").stat().st_mtime - begun.stat().st_mtime) / 60
