"""`galvote sweep`: train a grid of settings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.cli import options

if TYPE_CHECKING:
    from galvote.training import TrainingData

_run = options.group("Run")


def sweep(
    images: options.Images,
    votes: options.Votes,
    out: Annotated[Path, typer.Option(help="Folder of the sweep.")],
    preset: Annotated[
        str, typer.Option(help="`report`: the baseline report's batch sizes and learning rates.")
    ] = "report",
    splits: options.Splits = None,
    set_: options.Settings = None,
    epochs: Annotated[int | None, _run(min=1, help="Epochs of the short runs.")] = None,
    parallel: Annotated[int, _run(min=1, help="Runs at a time.")] = 1,
    resume: Annotated[bool, _run("--resume", help="Continue an interrupted sweep.")] = False,
    tree: options.Tree = None,
    id_column: options.IdColumn = None,
    field_of_view: options.FieldOfView = None,
) -> None:
    """Train every pair of settings; a table and a heat map of validation RMSE grow as it goes."""
    from galvote.cli.progress import plain_console
    from galvote.errors import RecipeError

    if find_spec("optuna") is None:
        raise RecipeError("A sweep needs Optuna; install it with: pip install 'galvote[sweep]'")
    from galvote.training.inputs import LabelFiles
    from galvote.training.sweep import HEAT_MAP, PRESETS, TABLE, run_sweep

    if preset not in PRESETS:
        raise RecipeError(f"No preset {preset!r}; there are {', '.join(PRESETS)}.")
    plan, settings = PRESETS[preset], set_ or []
    if epochs is not None:
        plan = replace(plan, epochs=epochs)
    labels = LabelFiles(votes, splits, None, tree, id_column)
    load = partial(_load, plan.recipe, settings, images, labels, out / "store", field_of_view)
    data = load()  # packs, and finds what is wrong with the data, before any worker starts
    rows = run_sweep(
        plan,
        load if parallel > 1 else lambda: data,
        out,
        settings=settings,
        parallel=parallel,
        resume=resume,
        report=typer.echo,
    )
    console = plain_console()
    for row in rows:
        console.print(
            f"{plan.rows[0]}={row[plan.rows[0]]:g} {plan.columns[0]}={row[plan.columns[0]]:g}: "
            f"{row['outcome']} after {row['epochs']} epochs, lowest RMSE {row['best_rmse']:.4f}, "
            f"within {plan.epochs} epochs {row['short_rmse']:.4f}",
            soft_wrap=True,
        )
    console.print(f"Table: {out / TABLE}\nHeat map: {out / HEAT_MAP}", soft_wrap=True)


def _load(recipe: str, settings: list[str], *files: Any) -> TrainingData:
    # Each worker process calls it, so it is a function of the module.
    from galvote.training import load_recipe
    from galvote.training.inputs import read_training_data

    return read_training_data(load_recipe(recipe, settings), *files)[0]
