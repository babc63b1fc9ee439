"""`galvote sweep`: train a grid of settings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from galvote.training import TrainingData


def sweep(
    images: Annotated[
        list[Path],
        typer.Option(help="Images: folder, files, Parquet or a packed store; may be given again."),
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
    tree: Annotated[
        str | None,
        typer.Option(help="Name or file of the votes' tree; otherwise the one whose columns they have."),
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
    from galvote.cli.progress import plain_console
    from galvote.errors import RecipeError
    from galvote.training.sweep import HEAT_MAP, PRESETS, TABLE, run_sweep

    if preset not in PRESETS:
        raise RecipeError(f"No preset {preset!r}; there are {', '.join(PRESETS)}.")
    if find_spec("optuna") is None:
        raise RecipeError("A sweep needs Optuna; install it with: pip install 'galvote[sweep]'")
    plan = PRESETS[preset]
    if epochs is not None:
        plan = replace(plan, epochs=epochs)
    load = partial(_load, plan.recipe, set_ or [], images, votes, out / "store", splits, tree, field_of_view)
    data = load()  # packs, and finds what is wrong with the data, before any worker starts
    rows = run_sweep(
        plan,
        load if parallel > 1 else lambda: data,
        out,
        settings=set_ or [],
        parallel=parallel,
        resume=resume,
        report=typer.echo,
    )
    console = plain_console()
    for row in rows:
        console.print(
            f"{plan.rows[0]}={row.row:g} {plan.columns[0]}={row.column:g}: {row.outcome} after {row.epochs} "
            f"epochs, lowest RMSE {row.best_rmse:.4f}, within {plan.epochs} epochs {row.short_rmse:.4f}",
            soft_wrap=True,
        )
    console.print(f"Table: {out / TABLE}\nHeat map: {out / HEAT_MAP}", soft_wrap=True)


def _load(
    recipe: str,
    settings: list[str],
    images: list[Path],
    votes: list[Path],
    store: Path,
    splits: Path | None,
    tree: str | None,
    field_of_view: float | None,
) -> TrainingData:
    # Each worker process calls it, so it is a function of the module.
    from galvote.training import load_recipe
    from galvote.training.inputs import read_training_data

    chosen = load_recipe(recipe, settings)
    return read_training_data(
        chosen, images, votes, store, splits=splits, tree=tree, field_of_view=field_of_view
    )[0]
