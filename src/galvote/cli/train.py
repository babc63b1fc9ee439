"""`galvote train`: train a recipe on a folder of galaxies."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from galvote.cli import options

_teacher, _run, _devices = map(options.group, ("Teacher", "Run", "Several devices"))


def train(
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (`galvote recipes` lists them), or a TOML file.")
    ],
    images: options.Images,
    votes: options.Votes,
    out: Annotated[Path, typer.Option(help="Run folder.")],
    splits: options.Splits = None,
    set_: options.Settings = None,
    teacher: Annotated[
        list[str] | None,
        _teacher(help="A trained model to learn from, beside the votes; given again, the mean of both."),
    ] = None,
    yes: Annotated[bool, _teacher("--yes", help="Train a recipe's teachers first.")] = False,
    classes: Annotated[
        Path | None,
        options.galaxies(help="Table of ids and hard classes, for recipes that learn from them too."),
    ] = None,
    tree: options.Tree = None,
    id_column: options.IdColumn = None,
    recursive: options.Recursive = False,
    dataset: options.Dataset = None,
    field_of_view: options.FieldOfView = None,
    skip_invalid: options.SkipInvalid = False,
    resume: Annotated[bool, _run("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, _run("--overwrite", help="Replace a run.")] = False,
    devices: Annotated[
        int, _devices(min=1, help="GPUs, or processes without one, that share each batch on a machine.")
    ] = 1,
    machines: Annotated[
        int, _devices(min=1, help="How many machines; torchrun or SLURM starts the command on each.")
    ] = 1,
) -> None:
    """Train a network. Curves, metrics, checkpoint and models are written to the run folder during training.

    Stop it at any moment (Ctrl-C, kill -9) and continue with --resume: the result is the same.
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
            recursive=recursive,
            dataset=dataset,
            teacher=teacher or (),
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
