"""`galvote train`: train a recipe on a folder of galaxies."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

GALAXIES, RECIPE, RUN, DEVICES = "Galaxies", "Recipe", "Run", "Devices"


def train(
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (`galvote recipes` lists them), or a TOML file.")
    ],
    images: Annotated[
        list[Path],
        typer.Option(help="Images: folder, files, Parquet or a packed store; may be given again."),
    ],
    votes: Annotated[list[Path], typer.Option(help="Table of votes; may be given again.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    splits: Annotated[
        Path | None,
        typer.Option(
            help="Table of ids with a column `split` (train, validation); without it, a random split. "
            "A column `sample` says `complete` for galaxies that were not chosen by their votes."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given again."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="A trained model to learn from, beside the votes.", rich_help_panel=RECIPE),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Train a recipe's teachers first, if it has any.", rich_help_panel=RECIPE),
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Table of ids and hard classes, for recipes that learn from them too.",
            rich_help_panel=GALAXIES,
        ),
    ] = None,
    tree: Annotated[
        str | None,
        typer.Option(
            help="Name or file of the votes' tree; otherwise the one whose columns they have.",
            rich_help_panel=GALAXIES,
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The column of ids in all these tables.", rich_help_panel=GALAXIES)
    ] = None,
    field_of_view: Annotated[
        float | None,
        typer.Option(
            help="Width of the images, in r90 (8.48 is a whole GZ2 frame).", rich_help_panel=GALAXIES
        ),
    ] = None,
    skip_invalid: Annotated[
        bool,
        typer.Option(
            "--skip-invalid",
            help="Leave out votes that cannot be true instead of stopping.",
            rich_help_panel=GALAXIES,
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=RUN)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run.", rich_help_panel=RUN)
    ] = False,
    devices: Annotated[
        int,
        typer.Option(
            min=1,
            help="GPUs, or processes without one, that share each batch on a machine.",
            rich_help_panel=DEVICES,
        ),
    ] = 1,
    machines: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many machines; torchrun or SLURM starts the command on each.",
            rich_help_panel=DEVICES,
        ),
    ] = 1,
) -> None:
    """Train a network. Curves, metrics, checkpoint and models are written to the run folder during training.

    Stop it at any moment (Ctrl-C, kill -9) and go on with --resume: the result is the same.
    """
    from galvote.cli.progress import plain_console, show_progress
    from galvote.training import train

    console = plain_console()
    bar = show_progress(console, "training") if console.is_terminal else nullcontext()
    with bar as on_progress:
        train(
            recipe,
            images,
            votes,
            out,
            splits=splits,
            classes=classes,
            tree=tree,
            id_column=id_column,
            teacher=teacher,
            settings=set_ or [],
            field_of_view=field_of_view,
            devices=devices,
            machines=machines,
            train_teacher=yes,
            resume=resume,
            overwrite=overwrite,
            skip_invalid=skip_invalid,
            report=lambda sentence: console.print(sentence, soft_wrap=True),
            on_progress=on_progress,
        )
