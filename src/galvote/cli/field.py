"""`galvote field`: find and classify the galaxies of a wide image."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.cli import options

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8
    from rich.console import Console

    from galvote.field import Field


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
    float,
    options.prediction(min=1, help="Smallest radius of a galaxy (90 % of its light), in pixels."),
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
    model: options.Model = "galvote-small",
    backend: options.Backend = None,
    min_radius: MinRadius = 5.0,
    limit: Limit = None,
    tta: options.Tta = 8,
    level: options.Level = None,
    bands: options.Bands = None,
    stretch: options.Stretch = options.StretchName.lupton,
    format_: Format = CatalogueFormat.csv,
    overwrite: Overwrite = False,
) -> None:
    """Find and classify the galaxies of a wide image; an image without any gives an empty catalogue."""
    show_field(
        image,
        out,
        format_,
        overwrite,
        model=model,
        backend=backend,
        min_radius=min_radius,
        limit=limit,
        tta=tta,
        level=level,
        bands=bands,
        stretch=stretch.value,
    )


def show_field(
    image: Path | UInt8[np.ndarray, "y x 3"],
    out: Path,
    format_: CatalogueFormat,
    overwrite: bool,
    **settings: Any,
) -> None:
    """Find and classify the galaxies of a wide image, write what shows them, and print what was found."""
    from galvote.cli.progress import plain_console, show_progress
    from galvote.field import find_field, refuse_taken, write_field

    ending, bars = f".{format_}", plain_console(stderr=True)
    if not overwrite:
        refuse_taken(out, ending)
    with show_progress(bars, "finding and classifying") as on_progress:
        found = find_field(image, **settings, on_progress=on_progress)
    with show_progress(bars, "drawing") as on_progress:
        files = write_field(found, out, ending=ending, overwrite=overwrite, on_progress=on_progress)
    console = plain_console()
    print_field(found, console)
    for path in files:
        console.print(f"  {path}", soft_wrap=True)


def print_field(field: Field, console: Console) -> None:
    """Print how many galaxies a field has and are out of distribution, and the clearest of each kind."""
    from rich.table import Table
    from rich.text import Text

    console.print(
        f"{len(field.galaxies)} galaxies found and classified; "
        f"{field.too_small} more are too small or too faint for that."
    )
    if not field.galaxies:
        console.print("Nothing stands out from the sky: try a smaller --min-radius.")
        return
    if sentence := field.describe_ood():
        console.print(sentence)
    table = Table("", "number", "x", "y", "votes", "decision path", title="The clearest of each kind")
    for row in field.clearest:
        galaxy, finding = field.galaxies[row], field.findings[row]
        table.add_row(
            Text(finding.name, finding.kind.colour),
            f"{galaxy.number}",
            f"{galaxy.x:.0f}",
            f"{galaxy.y:.0f}",
            "" if finding.number else f"{finding.fraction:.0%}",
            field.paths[row],
        )
    console.print(table)
