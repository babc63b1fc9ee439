"""`galvote train`: train a recipe on a folder of galaxies."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from galvote.cli.training_options import (
    GALAXIES,
    FieldOfView,
    IdColumn,
    Images,
    Settings,
    Splits,
    Tree,
    Votes,
)

_TEACHER, _RUN, _DEVICES = "Teacher", "Run", "Several devices"

Recipe = Annotated[str, typer.Option(help="Name of a recipe (`galvote recipes` lists them), or a TOML file.")]
Out = Annotated[Path, typer.Option(help="Run folder.")]
Teacher = Annotated[
    str | None,
    typer.Option(help="A trained model to learn from, beside the votes.", rich_help_panel=_TEACHER),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Train a recipe's teachers first.", rich_help_panel=_TEACHER)
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="Table of ids and hard classes, for recipes that learn from them too.", rich_help_panel=GALAXIES
    ),
]
SkipInvalid = Annotated[
    bool,
    typer.Option(
        "--skip-invalid",
        help="Leave out votes that cannot be true instead of stopping.",
        rich_help_panel=GALAXIES,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=_RUN)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run.", rich_help_panel=_RUN)]
Devices = Annotated[
    int,
    typer.Option(
        min=1,
        help="GPUs, or processes without one, that share each batch on a machine.",
        rich_help_panel=_DEVICES,
    ),
]
Machines = Annotated[
    int,
    typer.Option(
        min=1,
        help="How many machines; torchrun or SLURM starts the command on each.",
        rich_help_panel=_DEVICES,
    ),
]


def train(
    recipe: Recipe,
    images: Images,
    votes: Votes,
    out: Out,
    splits: Splits = None,
    set_: Settings = None,
    teacher: Teacher = None,
    yes: Yes = False,
    classes: Classes = None,
    tree: Tree = None,
    id_column: IdColumn = None,
    field_of_view: FieldOfView = None,
    skip_invalid: SkipInvalid = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    devices: Devices = 1,
    machines: Machines = 1,
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
