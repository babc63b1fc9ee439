"""`galvote finetune`: teach a trained model labels of one's own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galvote.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.finetuning import Finetuned

_learning = options.group("How it is learned")


class Mode(StrEnum):
    """What learns."""

    auto = "auto"
    head = "head"
    full = "full"


def finetune(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a folder, to begin with.")],
    images: options.Images,
    labels: Annotated[
        list[Path],
        typer.Option(
            help="Table of ids and a column of classes or numbers, or fractions or counts of a tree; may be "
            "given again."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model, its numbers and a page of them.")],
    column: Annotated[
        str | None, typer.Option(help="Column of the classes or numbers, if there are several.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help='Unit of the numbers, as kpc, or "" for a pure number; whole numbers are no classes then.'
        ),
    ] = None,
    tree: options.Tree = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model in the folder.")] = False,
    mode: Annotated[
        Mode,
        _learning(help="Train a head alone, the whole network, or the better of both that is in the budget."),
    ] = Mode.auto,
    budget: Annotated[
        float | None, _learning(metavar="MINUTES", min=0, help="How long the whole network may be trained.")
    ] = None,
    set_: Annotated[
        list[str] | None, _learning("--set", metavar="KEY=VALUE", help=options.SETTINGS_HELP)
    ] = None,
    tta: Annotated[int, _learning(min=1, help="Orientations of each image to learn from.")] = 2,
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
    skip_invalid: options.SkipInvalid = False,
) -> None:
    """Teach a model labels of your own, from some dozens of galaxies on.

    The result is a calibrated model, with scores on galaxies that it did not learn from.
    A training of the whole network may be stopped at any moment: the same command continues it.
    """
    import galvote
    from galvote.cli.progress import plain_console, show_progress

    console = plain_console()
    with show_progress(console, "learning") as on_progress:
        found = galvote.finetune(
            model,
            images,
            labels,
            out,
            mode=mode.value,
            budget=budget,
            settings=set_ or [],
            tree=tree,
            column=column,
            unit=unit,
            tta=tta,
            scale=options.choose_scale(scale, pixel_scale, catalogue, size_column, size_factor, id_column),
            field_of_view=field_of_view,
            bands=bands,
            stretch=stretch.value,
            backend=backend,
            overwrite=overwrite,
            id_column=id_column,
            skip_invalid=skip_invalid,
            report=lambda sentence: console.print(sentence, soft_wrap=True),
            on_progress=on_progress,
        )
    _print(console, found)


def _print(console: Console, found: Finetuned) -> None:
    from rich.table import Table

    from galvote.report import say_number

    table = Table("score", "this model", *found.baselines, title_justify="left")
    table.title = f"{len(found.ids):,} galaxies, each predicted without having been learned; 95 % intervals"
    for name, own in found.scores.items():
        numbers = [own, *(scores[name] for scores in found.baselines.values())]
        table.add_row(
            name.replace("_", " "), *("{} ({} to {})".format(*map(say_number, one)) for one in numbers)
        )
    console.print(table)
    if found.numbers is not None:
        share, low, high = found.numbers.held
        console.print(f"{share:.1%} ({low:.1%} to {high:.1%}) of the labels lie in their 90 % interval.")
    console.print(found.advice)
    if found.mislabelled:
        worst = ", ".join(f"{one.id} ({one.given}, rather {one.suggested})" for one in found.mislabelled[:3])
        console.print(f"{len(found.mislabelled):,} labels are probably wrong, first of them {worst}.")
    console.print(f"Model, index.html, scores.json and out_of_fold.csv: {found.folder}", soft_wrap=True)
