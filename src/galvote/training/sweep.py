"""A grid of settings, each trained as a run of its own; Optuna keeps the book."""

from __future__ import annotations

import csv
import itertools
import json
import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galvote.errors import RecipeError, TrainingError
from galvote.io.atomic import atomic_file
from galvote.io.threads import available_cores
from galvote.report import plot_heat_map
from galvote.training.examples import TrainingData
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.run import METRICS, RUN, train
from galvote.training.task import DivergedError

if TYPE_CHECKING:
    import optuna

BOOK, TABLE, HEAT_MAP = "sweep.db", "sweep.csv", "heat-map.png"
_LOOK_SECONDS = 2.0

Settings = Mapping[str, float]
"""A value for each of the two settings that a sweep varies."""


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep runs.

    Parameters
    ----------
    recipe
        The recipe whose settings are varied.
    rows, columns
        A setting and its values; the sweep runs every pair.
    epochs
        Epochs of each run.
    in_full
        The pair that runs for as many epochs as the recipe says.
    patience
        A run ends early when its validation RMSE has not fallen by `GAIN` for this many epochs.
    """

    recipe: str
    rows: tuple[str, tuple[float, ...]]
    columns: tuple[str, tuple[float, ...]]
    epochs: int
    in_full: tuple[float, float]
    patience: int = 4

    @property
    def pairs(self) -> Iterator[tuple[float, float]]:
        """Every pair of values, row by row."""
        return itertools.product(self.rows[1], self.columns[1])


GAIN = 5e-4
"""The least fall of RMSE that counts as learning."""

PRESETS = {
    "report": SweepPlan(
        recipe="sharma2020",
        rows=("training.batch_size", (32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)),
        columns=("training.learning_rate", (0.5, 0.01, 0.001, 0.0001)),
        epochs=20,
        in_full=(1024.0, 0.001),
    )
}
"""Sweeps by name; `report` is the baseline report's own grid."""


@dataclass(frozen=True)
class SweepRow:
    """One run of a sweep: its settings, how it ended and how well it did."""

    row: float
    column: float
    outcome: str
    epochs: int
    best_rmse: float
    last_rmse: float
    short_rmse: float
    """Lowest validation RMSE within the plan's epochs, for the run in full too."""


def run_sweep(
    plan: SweepPlan,
    load: Callable[[], TrainingData],
    out: Path,
    *,
    settings: Sequence[str] = (),
    parallel: int = 1,
    resume: bool = False,
    on_change: Callable[[Sequence[SweepRow], int], None] | None = None,
) -> tuple[SweepRow, ...]:
    """Train every pair of a plan.

    Parameters
    ----------
    load
        Returns the data; called once in each process.
    out
        Holds Optuna's book (SQLite), a run folder for each pair, the table and the heat map.
    settings
        Changes to the recipe that all runs share.
    parallel
        How many runs at a time, each in a process of its own with its share of the cores.
    resume
        Go on with an interrupted sweep; runs that had begun go on as well.
    on_change
        Called after each run with the rows so far and how many are to come.

    Returns
    -------
    A row for each pair.

    Raises
    ------
    RecipeError
        If ``settings`` have one that the sweep varies.
    TrainingError
        If ``out`` holds a sweep that is not resumed, or another one, or a run fails.
    """
    import optuna

    _refuse_varied(plan, settings)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _open_book(plan, out, settings, resume=resume)
    if parallel == 1:
        _work(plan, load, out, settings, 0, on_change)
    else:
        spawn = multiprocessing.get_context("spawn")
        threads = max(1, available_cores() // parallel)
        workers = [
            spawn.Process(target=_work, args=(plan, load, out, settings, threads)) for _ in range(parallel)
        ]
        for worker in workers:
            worker.start()
        try:
            _watch(plan, out, workers, on_change)
        finally:
            for worker in workers:
                worker.terminate()
                worker.join()
        if any(worker.exitcode for worker in workers) and len(read_rows(plan, out)) < len(list(plan.pairs)):
            raise TrainingError(
                f"A worker of the sweep failed; its message is above. Go on with --resume in {out}."
            )
    return write_summary(plan, out)


def read_rows(plan: SweepPlan, out: Path) -> tuple[SweepRow, ...]:
    """Read the runs that have ended, in the plan's order."""
    ended = {
        tuple(trial.user_attrs["pair"]): trial.user_attrs
        for trial in _study(out).trials
        if trial.state.is_finished() and "outcome" in trial.user_attrs
    }
    rows = list[SweepRow]()
    for pair in plan.pairs:
        if pair not in ended:
            continue
        curve = _curve(_run_folder(out, pair))
        rows.append(
            SweepRow(
                *pair,
                outcome=ended[pair]["outcome"],
                epochs=len(curve),
                best_rmse=min(curve, default=math.nan),
                last_rmse=curve[-1] if curve else math.nan,
                short_rmse=min(curve[: plan.epochs], default=math.nan),
            )
        )
    return tuple(rows)


def write_summary(plan: SweepPlan, out: Path) -> tuple[SweepRow, ...]:
    """Write the table and the heat map of the runs that have ended."""
    rows = read_rows(plan, out)
    with atomic_file(out / TABLE) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            [plan.rows[0], plan.columns[0], "outcome", "epochs", "best_rmse", "last_rmse", "short_rmse"]
        )
        table.writerows(asdict(row).values() for row in rows)
    values = np.full((len(plan.rows[1]), len(plan.columns[1])), np.nan)
    for row in rows:
        values[plan.rows[1].index(row.row), plan.columns[1].index(row.column)] = row.best_rmse
    plot_heat_map(
        values,
        [f"{value:g}" for value in plan.rows[1]],
        [f"{value:g}" for value in plan.columns[1]],
        out / HEAT_MAP,
        title=f"{plan.recipe}: lowest validation RMSE",
        row_title=plan.rows[0].rpartition(".")[2].replace("_", " "),
        column_title=plan.columns[0].rpartition(".")[2].replace("_", " "),
    )
    return rows


def _refuse_varied(plan: SweepPlan, settings: Sequence[str]) -> None:
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key in (plan.rows[0], plan.columns[0]):
            raise RecipeError(
                f"The sweep gives {key} its own values: leave out --set {setting}, or train with it alone by "
                f"`galvote train --recipe {plan.recipe} --set {setting}`."
            )


def _study(out: Path) -> optuna.Study:
    import optuna

    return optuna.load_study(study_name="sweep", storage=_storage(out))


def _storage(out: Path) -> Any:
    import optuna

    # Two workers may write at the same moment; SQLite then waits.
    return optuna.storages.RDBStorage(
        f"sqlite:///{out / BOOK}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


def _open_book(plan: SweepPlan, out: Path, settings: Sequence[str], *, resume: bool) -> None:
    """Make the book with every pair waiting, or queue again what an interrupted sweep had begun."""
    import optuna
    from optuna.trial import TrialState

    described = json.dumps({"plan": asdict(plan), "settings": list(settings)})
    if not (out / BOOK).exists():
        out.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(study_name="sweep", storage=_storage(out), direction="minimize")
        study.set_user_attr("plan", described)
        _queue(study, plan.pairs)
        return
    if not resume:
        raise TrainingError(f"{out} holds a sweep already; go on with --resume, or choose another --out.")
    study = _study(out)
    if study.user_attrs.get("plan") != described:
        raise TrainingError(f"{out} holds a sweep of another plan or other settings; choose another --out.")
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    known = {
        tuple(trial.user_attrs["pair"])
        for trial in study.trials
        if trial.state is TrialState.WAITING or "outcome" in trial.user_attrs
    }
    _queue(study, (pair for pair in plan.pairs if pair not in known))


def _queue(study: optuna.Study, pairs: Iterable[tuple[float, float]]) -> None:
    for row, column in pairs:
        study.enqueue_trial({"row": row, "column": column}, user_attrs={"pair": (row, column)})


def _work(
    plan: SweepPlan,
    load: Callable[[], TrainingData],
    out: Path,
    settings: Sequence[str],
    threads: int,
    on_change: Callable[[Sequence[SweepRow], int], None] | None = None,
) -> None:
    """Take waiting pairs until there is none."""
    import optuna
    import torch
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if threads:
        torch.set_num_threads(threads)
    data = load()
    study = _study(out)
    while waiting := study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        trial = study.ask()
        if "pair" not in trial.user_attrs:
            # Another worker took the last pair in between.
            study.tell(trial, state=TrialState.FAIL)
            break
        pair = (
            float(trial.suggest_categorical("row", plan.rows[1])),
            float(trial.suggest_categorical("column", plan.columns[1])),
        )
        outcome, best = _train_pair(plan, data, out, pair, settings)
        trial.set_user_attr("outcome", outcome)
        study.tell(
            trial,
            best if math.isfinite(best) else None,
            state=None if math.isfinite(best) else TrialState.FAIL,
        )
        if on_change is not None:
            on_change(write_summary(plan, out), len(waiting) - 1)


class _NothingGainedError(Exception):
    """Ends a run that does not learn any more."""


def _train_pair(
    plan: SweepPlan, data: TrainingData, out: Path, pair: tuple[float, float], settings: Sequence[str]
) -> tuple[str, float]:
    in_full = pair == plan.in_full
    changes = [*settings, f"{plan.rows[0]}={pair[0]:g}", f"{plan.columns[0]}={pair[1]:g}"]
    if not in_full:
        changes.append(f"training.epochs={plan.epochs}")
    folder = _run_folder(out, pair)

    def stop_if_hopeless(recipe: Recipe, epoch: int, measured: Mapping[str, float]) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise SystemExit("the sweep that this worker belongs to was killed")
        if not in_full and _stuck(_curve(folder), plan.patience):
            raise _NothingGainedError

    try:
        train(
            load_recipe(plan.recipe, changes),
            data,
            folder,
            resume=(folder / RUN).exists(),
            on_epoch=stop_if_hopeless,
            progress=False,
        )
        outcome = "finished"
    except _NothingGainedError:
        outcome = "stopped: no gain"
    except DivergedError:
        outcome = "diverged"
    return outcome, min(_curve(folder), default=math.inf)


def _stuck(curve: Sequence[float], patience: int) -> bool:
    return len(curve) > patience and min(curve[-patience:]) > min(curve[:-patience]) - GAIN


def _curve(folder: Path) -> list[float]:
    path = folder / METRICS
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [float(row["validation_rmse"]) for row in csv.DictReader(file)]


def _run_folder(out: Path, pair: tuple[float, float]) -> Path:
    return out / "runs" / f"{pair[0]:g}-{pair[1]:g}"


def _watch(
    plan: SweepPlan,
    out: Path,
    workers: Sequence[Any],
    on_change: Callable[[Sequence[SweepRow], int], None] | None,
) -> None:
    seen = -1
    while living := {worker.sentinel: worker for worker in workers if worker.is_alive()}:
        for ended in wait(living, timeout=_LOOK_SECONDS):
            living[ended].join()  # it lives on for a moment
        rows = read_rows(plan, out)
        if len(rows) != seen:
            seen = len(rows)
            write_summary(plan, out)
            if on_change is not None:
                on_change(rows, len(list(plan.pairs)) - seen)
