"""`galvote field`: find and classify the galaxies of a wide picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from galvote.cli.prediction_options import BackendName, Level, Model, Tta


class CatalogueFormat(StrEnum):
    """How the catalogue is written."""

    csv = "csv"
    parquet = "parquet"
    fits = "fits"
    vot = "vot"


Out = Annotated[
    Path, typer.Option(help="Folder for index.html, annotated.png, galaxies.png and the catalogue.")
]
MinRadius = Annotated[
    float, typer.Option(min=1, help="Smallest radius of a galaxy (90 % of its light), in pixels.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only so many of the brightest galaxies.")]
Format = Annotated[CatalogueFormat, typer.Option("--format", help="Of the catalogue.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")]


def field(
    image: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="JPEG, PNG, WebP, TIFF or FITS, up to 80 megapixels."
        ),
    ],
    out: Out,
    model: Model = "galvote-small",
    backend: BackendName = None,
    min_radius: MinRadius = 5.0,
    limit: Limit = None,
    tta: Tta = 8,
    level: Level = None,
    format_: Format = CatalogueFormat.csv,
    overwrite: Overwrite = False,
) -> None:
    """Find and classify the galaxies of a wide picture; a picture without any gives an empty catalogue."""
    from galvote.field.classify import run_field
    from galvote.images import decode_image

    run_field(
        decode_image(image.read_bytes()),
        title=image.stem,
        out=out,
        model=model,
        backend=backend,
        level=level,
        min_radius=min_radius,
        limit=limit,
        tta=tta,
        catalogue_ending=f".{format_}",
        overwrite=overwrite,
    )
