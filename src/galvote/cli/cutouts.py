"""`galvote cutouts`: images of a catalogue's galaxies, from a field or from a survey's cutout service."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from galvote.cli import options

_images, _patience = map(options.group, ("The images", "How a survey's service is asked"))


class ImageFormat(StrEnum):
    """How the images are written."""

    jpg = "jpg"
    png = "png"


def cutouts(
    catalogue: Annotated[Path, typer.Option(help=options.CATALOGUE_HELP)],
    out: Annotated[Path, typer.Option(help="Folder for the images and catalogue.csv.")],
    field: Annotated[list[str] | None, typer.Option(help=options.FIELD_HELP)] = None,
    survey: Annotated[options.SurveyName | None, typer.Option(help=options.SURVEY_HELP)] = None,
    pixels: Annotated[int, _images(min=8, max=2048, help="Width of the images.")] = 424,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the images of an earlier run first.")
    ] = False,
    format_: Annotated[ImageFormat, _images("--format", help="Of the images.")] = ImageFormat.jpg,
    id_column: options.IdColumn = None,
    size_column: options.SkySizeColumn = None,
    arcsec: options.Arcsec = None,
    bands: options.Bands = None,
    stretch: options.Stretch = options.StretchName.lupton,
    service_url: options.ServiceUrl = None,
    cache: options.Cache = None,
    rate: Annotated[float, _patience(min=0.01, help="Requests a second, at most.")] = 2.0,
    attempts: Annotated[int, _patience(min=1, help="How often each image is asked for.")] = 5,
    timeout: Annotated[float, _patience(min=0.1, help="Seconds that an answer may take.")] = 30.0,
) -> None:
    """Write an image of each galaxy at the scale of Galaxy Zoo 2; missing ones become rows that say why.

    The same command continues a stopped run, and tries missing images again.
    """
    from galvote.cli.progress import exit_unless_any, plain_console, say_statuses, show_progress, stoppable
    from galvote.images.cutouts import cutouts
    from galvote.io.bands import Look

    console = plain_console(stderr=True)
    stopped = "Stopped. The same command goes on from there."
    with stoppable(console, lambda: stopped), show_progress(console, "cutting out") as on_progress:
        table = cutouts(
            catalogue,
            out,
            field=field or None,
            survey=options.open_service(
                survey, url=service_url, cache=cache, rate=rate, attempts=attempts, timeout=timeout
            ),
            id_column=id_column,
            size_column=size_column,
            arcsec=arcsec,
            look=Look.of(bands, stretch.value),
            pixels=pixels,
            image_format=format_.value,
            overwrite=overwrite,
            report=console.print,
            on_progress=on_progress,
        )
    statuses = Counter(table["status"].to_pylist())
    said = f"{len(table)} galaxies in {out / 'catalogue.csv'}: {say_statuses(statuses)}"
    console.print(said, soft_wrap=True)
    exit_unless_any(statuses["ok"])
