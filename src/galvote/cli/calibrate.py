"""`galvote calibrate`: give a trained model intervals, and a flag for images unlike its galaxies."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galvote.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.inference.calibrate import Calibrated

_how = options.group("How it is calibrated")


def calibrate(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a folder.")],
    images: options.Images,
    votes: options.Votes,
    splits: Annotated[Path, typer.Option(help="Table of ids with a column `split`.")],
    out: Annotated[Path, typer.Option(help="Folder for a copy of the model with its calibration.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model in the folder, which may be the same one.")
    ] = False,
    split: Annotated[
        str,
        options.galaxies(help="Galaxies with votes that the model was not trained on, to calibrate with."),
    ] = "validation",
    train_split: Annotated[
        str, options.galaxies(help="Galaxies that it was trained on; of them only images are needed.")
    ] = "train",
    train_images: Annotated[
        int, options.galaxies(min=1, help="How many of those are looked at, drawn at random.")
    ] = 3000,
    false_alarms: Annotated[
        float, _how(min=0, max=0.5, help="Share of real galaxies that may be flagged.")
    ] = 0.015,
    changes: Annotated[
        bool,
        _how("--changes", help="Calibrate also on images changed as other surveys' would be."),
    ] = False,
    tta: options.Tta = 1,
    backend: options.Backend = None,
    scale: options.Scale = None,
    pixel_scale: options.PixelScale = None,
    catalogue: options.SizeCatalogue = None,
    size_column: options.SizeColumn = None,
    size_factor: options.SizeFactor = 1.0,
    field_of_view: options.FieldOfView = None,
    bands: options.Bands = None,
    stretch: options.Stretch = options.StretchName.lupton,
    id_column: options.IdColumn = None,
    recursive: options.Recursive = False,
    dataset: options.Dataset = None,
    skip_invalid: options.SkipInvalid = False,
) -> None:
    """Calibrate a model on galaxies that it was not trained on.

    Its predictions then have intervals, and images unlike the galaxies that it was trained on are flagged.
    """
    from galvote.cli.progress import plain_console, show_progress
    from galvote.inference.calibrate import calibrate

    console = plain_console()
    with show_progress(console, "predicting") as on_progress:
        calibrated = calibrate(
            model,
            images,
            votes,
            splits,
            out,
            split=split,
            train_split=train_split,
            train_images=train_images,
            false_alarms=false_alarms,
            changes=changes,
            tta=tta,
            field_of_view=field_of_view,
            bands=bands,
            stretch=stretch.value,
            scale=options.choose_scale(scale, pixel_scale, catalogue, size_column, size_factor, id_column),
            backend=backend,
            overwrite=overwrite,
            id_column=id_column,
            recursive=recursive,
            dataset=dataset,
            skip_invalid=skip_invalid,
            report=console.print,
            on_progress=on_progress,
        )
    _print(console, calibrated)


def _print(console: Console, calibrated: Calibrated) -> None:
    from rich.table import Table

    table = Table(
        "fractions",
        "level",
        "in their interval",
        "questions, lowest to highest",
        "mean width",
        title=f"Calibrated on {calibrated.galaxies:,} galaxies; measured on halves that were left out",
        title_justify="left",
    )
    for name, fits in (
        ("of all votes", calibrated.intervals),
        ("of those asked", calibrated.conditional),
        ("of all votes, changed images", calibrated.changed),
    ):
        for one in fits:
            # Questions without votes have no share.
            shares = [share for share in one.coverage.questions.values() if isfinite(share)]
            table.add_row(
                name,
                f"{one.level:.0%}",
                f"{one.coverage.overall:.1%} ± {one.spread:.1%}",
                f"{min(shares):.1%} to {max(shares):.1%}",
                f"{one.coverage.mean_width:.3f}",
            )
    console.print(table)
    console.print(f"{calibrated.flagged:.1%} of these galaxies are flagged as unlike those trained on.")
    console.print(f"Calibrated model: {calibrated.folder}", soft_wrap=True)
