"""A grid of settings, each pair trained as a run of its own; Optuna's storage knows which have ended."""

import csv
import itertools
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import TrialState
from torch.multiprocessing.spawn import ProcessException, spawn

from galvote.errors import RecipeError, TrainingError
from galvote.io.atomic import atomic_file
from galvote.io.threads import available_cores
from galvote.report import plot_heat_map
from galvote.training.examples import TrainingData
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.run import fit
from galvote.training.run_folder import METRICS, RUN, say_nothing
from galvote.training.task import DivergedError

optuna.logging.set_verbosity(optuna.logging.WARNING)

STORAGE, TABLE, HEAT_MAP = "sweep.db", "sweep.csv", "heat-map.png"
GAIN = 5e-4
"""The least fall of RMSE that counts as learning."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep runs: every pair of the values of two settings."""

    recipe: str  # whose settings are varied
    rows: tuple[str, tuple[float, ...]]  # a setting and its values
    columns: tuple[str, tuple[float, ...]]
    epochs: int  # of each run
    in_full: Pair  # the pair that runs for as many epochs as the recipe says
    patience: int = 4  # epochs without a gain of RMSE after which a run ends early

    @property
    def pairs(self) -> Iterator[Pair]:
        """Every pair of values, row by row."""
        return itertools.product(self.rows[1], self.columns[1])


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


Row = dict[str, Any]
"""One run: its two settings, ``outcome`` (``finished``, ``stopped: no gain`` or ``diverged``), ``epochs``,
and validation RMSE: the lowest, the last, and the lowest within the plan's epochs; NaN without any."""


def run_sweep(
    plan: SweepPlan,
    load: Callable[[], TrainingData],
    out: Path,
    *,
    settings: Sequence[str] = (),
    parallel: int = 1,
    resume: bool = False,
    report: Callable[[str], None] = say_nothing,
) -> list[Row]:
    """Train every pair of a plan, and return a row for each.

    ``load`` returns the data, once in each process. ``out`` holds Optuna's storage (SQLite), a run folder for
    each pair, the table and the heat map. All runs share ``settings``. With ``parallel`` runs at a time, each
    has a process with its share of the cores, to which ``load`` and ``report`` are sent: module functions.
    """
    settings = [settings] if isinstance(settings, str) else settings
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key in (plan.rows[0], plan.columns[0]):
            raise RecipeError(
                f"The sweep gives {key} its own values: leave out --set {setting}, or train with it alone by "
                f"`galvote train --recipe {plan.recipe} --set {setting}`."
            )
    _open_study(plan, out, settings, resume=resume)
    threads = max(1, available_cores() // parallel) if parallel > 1 else torch.get_num_threads()
    job = plan, load, out, settings, report, threads
    if parallel == 1:
        _work(0, *job)
    else:
        try:
            spawn(_work, job, nprocs=parallel, daemon=True)  # type: ignore[no-untyped-call]
        except ProcessException as error:
            reason = str(error).strip().splitlines()[-1]
            raise TrainingError(
                f"A worker of the sweep failed: {reason}\nGo on with --resume in {out}."
            ) from error
    return write_summary(plan, out)


def write_summary(plan: SweepPlan, out: Path) -> list[Row]:
    """Write the table and the heat map of the runs that have ended, and return a row for each."""
    ended, names = _ended(_load_study(out)), (plan.rows[0], plan.columns[0])
    rows, lowest = list[Row](), list[float]()
    for pair in plan.pairs:
        curve = _curve(out, pair) if pair in ended else []
        lowest.append(min(curve, default=math.nan))
        if pair in ended:
            last, short = (curve[-1], min(curve[: plan.epochs])) if curve else (math.nan, math.nan)
            row: Row = dict(zip(names, pair, strict=True)) | {"outcome": ended[pair], "epochs": len(curve)}
            rows.append(row | {"best_rmse": lowest[-1], "last_rmse": last, "short_rmse": short})
    if rows:
        with atomic_file(out / TABLE, unique=True) as partial, partial.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    plot_heat_map(
        np.reshape(lowest, (len(plan.rows[1]), len(plan.columns[1]))),
        [f"{value:g}" for value in plan.rows[1]],
        [f"{value:g}" for value in plan.columns[1]],
        out / HEAT_MAP,
        title=f"{plan.recipe}: lowest validation RMSE",
        row_title=names[0],
        column_title=names[1],
    )
    return rows


def _storage(out: Path) -> optuna.storages.RDBStorage:
    # Two workers may write at the same moment; SQLite then waits.
    waiting = {"connect_args": {"timeout": 60}}
    return optuna.storages.RDBStorage(f"sqlite:///{out / STORAGE}", engine_kwargs=waiting)


def _load_study(out: Path) -> optuna.Study:
    return optuna.load_study(study_name="sweep", storage=_storage(out))


def _open_study(plan: SweepPlan, out: Path, settings: Sequence[str], *, resume: bool) -> None:
    """Queue every pair, or those again that an interrupted sweep had begun."""
    described = json.dumps({"plan": asdict(plan), "settings": list(settings)})
    if (out / STORAGE).exists():
        if not resume:
            raise TrainingError(f"{out} holds a sweep already; go on with --resume, or choose another --out.")
        study = _load_study(out)
        if study.user_attrs.get("plan") != described:
            raise TrainingError(
                f"{out} holds a sweep of another plan or other settings; choose another --out."
            )
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
    else:
        out.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(study_name="sweep", storage=_storage(out), direction="minimize")
        study.set_user_attr("plan", described)
    waiting = [trial.user_attrs["pair"] for trial in study.get_trials(states=(TrialState.WAITING,))]
    ended = _ended(study)
    for pair in plan.pairs:
        if pair not in ended and list(pair) not in waiting:
            study.enqueue_trial(dict(zip(("row", "column"), pair, strict=True)), user_attrs={"pair": pair})


def _ended(study: optuna.Study) -> dict[Pair, str]:
    """Return how each pair ended that has."""
    trials = [trial.user_attrs for trial in study.trials if "outcome" in trial.user_attrs]
    return {(trial["pair"][0], trial["pair"][1]): trial["outcome"] for trial in trials}


def _work(
    worker: int,
    plan: SweepPlan,
    load: Callable[[], TrainingData],
    out: Path,
    settings: Sequence[str],
    report: Callable[[str], None],
    threads: int,
) -> None:
    """Train the pairs that wait until there is none."""
    torch.set_num_threads(threads)
    data, study = load(), _load_study(out)

    def objective(trial: optuna.Trial) -> float:
        if "pair" not in trial.user_attrs:  # the queue is empty
            study.stop()
            raise optuna.TrialPruned
        row = trial.suggest_categorical("row", plan.rows[1])
        column = trial.suggest_categorical("column", plan.columns[1])
        return _train_pair(plan, data, out, (row, column), settings, trial)

    def summarise(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if "pair" in trial.user_attrs:
            ended, total = len(write_summary(plan, out)), len(list(plan.pairs))
            report(f"{ended} runs ended, {total - ended} to come")

    study.optimize(objective, catch=(DivergedError,), callbacks=[summarise])


def _train_pair(
    plan: SweepPlan, data: TrainingData, out: Path, pair: Pair, settings: Sequence[str], trial: optuna.Trial
) -> float:
    """Train one pair and note how it ended, which a run that is killed does not."""
    in_full, folder = pair == plan.in_full, _run_folder(out, pair)
    changes = [*settings, f"{plan.rows[0]}={pair[0]:g}", f"{plan.columns[0]}={pair[1]:g}"]
    if not in_full:
        changes.append(f"training.epochs={plan.epochs}")

    def stop_early(recipe: Recipe, epoch: int, measured: Mapping[str, float]) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise SystemExit("the sweep that this worker belongs to was killed")
        curve = _curve(out, pair)
        if not in_full and len(curve) > plan.patience:
            before, since = curve[: -plan.patience], curve[-plan.patience :]
            if min(since) > min(before) - GAIN:
                raise optuna.TrialPruned

    outcome, recipe = "finished", load_recipe(plan.recipe, changes)
    try:
        fit(recipe, data, folder, resume=(folder / RUN).exists(), on_epoch=stop_early)
    except optuna.TrialPruned:
        outcome = "stopped: no gain"
    except DivergedError:
        trial.set_user_attr("outcome", "diverged")
        raise
    trial.set_user_attr("outcome", outcome)
    return min(_curve(out, pair))


def _curve(out: Path, pair: Pair) -> list[float]:
    """Return a run's validation RMSE by epoch."""
    path = _run_folder(out, pair) / METRICS
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [float(row["validation_rmse"]) for row in csv.DictReader(file)]


def _run_folder(out: Path, pair: Pair) -> Path:
    return out / "runs" / f"{pair[0]:g}-{pair[1]:g}"
