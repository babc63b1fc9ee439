"""`galvote sweep`: train a grid of settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from galvote.training import Recipe, TrainingData
    from galvote.training.sweep import SweepRow


def sweep(
    images: Annotated[
        list[Path],
        typer.Option(help="Pictures: folder, files, Parquet or a packed store; may be given again."),
    ],
    votes: Annotated[list[Path], typer.Option(help="Table of votes; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the sweep.")],
    preset: Annotated[
        str, typer.Option(help="`report`: the baseline report's batch sizes and learning rates.")
    ] = "report",
    splits: Annotated[
        Path | None,
        typer.Option(
            help="Table of ids with a column `split` (train, validation); without it, a random split."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of the short runs.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of all runs; may be given again."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    field_of_view: Annotated[
        float | None,
        typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame)."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted sweep.")] = False,
) -> None:
    """Train every pair of settings; a table and a heat map of validation RMSE grow as it goes."""
    from dataclasses import replace
    from importlib.util import find_spec

    from rich.table import Table

    from galvote.cli.progress import plain_console
    from galvote.errors import RecipeError
    from galvote.training import load_recipe
    from galvote.training.sweep import HEAT_MAP, PRESETS, TABLE, run_sweep

    console = plain_console()
    if preset not in PRESETS:
        raise RecipeError(f"No preset {preset!r}; there are {', '.join(PRESETS)}.")
    if find_spec("optuna") is None:
        raise RecipeError("A sweep needs Optuna; install it with: pip install 'galvote[sweep]'")
    plan = PRESETS[preset]
    if epochs is not None:
        plan = replace(plan, epochs=epochs)
    load = partial(
        load_data, load_recipe(plan.recipe, set_ or []), images, votes, splits, field_of_view, out / "store"
    )
    data = load()  # packs, and finds what is wrong with the data, before any worker starts

    def report(rows: Sequence[SweepRow], waiting: int) -> None:
        console.print(f"{len(rows)} runs ended, {waiting} to come")

    rows = run_sweep(
        plan,
        load if parallel > 1 else lambda: data,
        out,
        settings=set_ or [],
        parallel=parallel,
        resume=resume,
        on_change=report,
    )
    table = Table(
        *(name.rpartition(".")[2].replace("_", " ") for name in (plan.rows[0], plan.columns[0])),
        "outcome",
        "epochs",
        "lowest RMSE",
        "last RMSE",
        f"lowest within {plan.epochs} epochs",
    )
    for row in rows:
        table.add_row(
            f"{row.row:g}",
            f"{row.column:g}",
            row.outcome,
            str(row.epochs),
            *(f"{value:.4f}" for value in (row.best_rmse, row.last_rmse, row.short_rmse)),
        )
    console.print(table)
    console.print(f"Table: {out / TABLE}\nHeat map: {out / HEAT_MAP}", soft_wrap=True)


def load_data(
    recipe: Recipe,
    images: Sequence[Path],
    votes: Sequence[Path],
    splits: Path | None,
    field_of_view: float | None,
    store: Path,
) -> TrainingData:
    """Read the data of a sweep; a function of its own because each worker process calls it."""
    from galvote.cli.progress import plain_console
    from galvote.cli.train import load_training_data

    data, _ = load_training_data(
        recipe,
        images,
        votes,
        None,
        splits,
        field_of_view=field_of_view,
        skip_invalid=False,
        store=store,
        overwrite=False,
        console=plain_console(stderr=True),
    )
    return data
