"""`galvote cutouts`: images of a catalogue's galaxies, from a field or from a survey's cutout service."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from galvote.cli.positions import (
    CATALOGUE_HELP,
    Arcsec,
    Cache,
    FieldOption,
    ServiceUrl,
    SizeColumn,
    SurveyOption,
    open_service,
)

PATIENCE = "How a survey's service is asked"


class ImageFormat(StrEnum):
    """How the images are written."""

    jpg = "jpg"
    png = "png"


def cutouts(
    catalogue: Annotated[Path, typer.Option(help=CATALOGUE_HELP)],
    out: Annotated[Path, typer.Option(help="Folder for the images and catalogue.csv.")],
    field: FieldOption = None,
    survey: SurveyOption = None,
    pixels: Annotated[int, typer.Option(min=8, max=2048, help="Width of the images.")] = 424,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the images of an earlier run first.")
    ] = False,
    format_: Annotated[ImageFormat, typer.Option("--format", help="Of the images.")] = ImageFormat.jpg,
    id_column: Annotated[
        str | None, typer.Option(help="Column of ids, if it has none of the usual names.")
    ] = None,
    size_column: SizeColumn = None,
    arcsec: Arcsec = None,
    service_url: ServiceUrl = None,
    cache: Cache = None,
    rate: Annotated[
        float, typer.Option(min=0.01, help="Requests a second, at most.", rich_help_panel=PATIENCE)
    ] = 2.0,
    attempts: Annotated[
        int, typer.Option(min=1, help="How often each image is asked for.", rich_help_panel=PATIENCE)
    ] = 5,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that an answer may take.", rich_help_panel=PATIENCE)
    ] = 30.0,
) -> None:
    """Write an image of each galaxy at the scale of Galaxy Zoo 2; missing ones become rows that say why.

    The same command goes on where an earlier one was stopped, and tries missing images again.
    """
    from galvote.cli.progress import exit_unless_any, plain_console, show_progress, stoppable
    from galvote.images.cutouts import cutouts

    console = plain_console(stderr=True)
    stopped = "Stopped. The same command goes on from there."
    with stoppable(console, lambda: stopped), show_progress(console, "cutting out") as on_progress:
        table = cutouts(
            catalogue,
            out,
            field=field or None,
            survey=open_service(
                survey, url=service_url, cache=cache, rate=rate, attempts=attempts, timeout=timeout
            ),
            id_column=id_column,
            size_column=size_column,
            arcsec=arcsec,
            pixels=pixels,
            image_format=format_.value,
            overwrite=overwrite,
            report=console.print,
            on_progress=on_progress,
        )
    statuses = Counter(table["status"].to_pylist())
    said = ", ".join(f"{n} {status}" for status, n in statuses.items())
    console.print(f"{len(table)} galaxies in {out / 'catalogue.csv'}: {said}", soft_wrap=True)
    exit_unless_any(statuses["ok"])
