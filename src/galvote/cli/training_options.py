"""Options that `galvote train` and `galvote sweep` share."""

from pathlib import Path
from typing import Annotated

import typer

GALAXIES = "Galaxies"

Images = Annotated[
    list[Path], typer.Option(help="Images: folder, files, Parquet or a packed store; may be given again.")
]
Votes = Annotated[list[Path], typer.Option(help="Table of votes; may be given again.")]
Splits = Annotated[
    Path | None,
    typer.Option(
        help="Table of ids with a column `split` (train, validation); without it, a random split. A column "
        "`sample` says `complete` for galaxies that were not chosen by their votes."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be given again."),
]
Tree = Annotated[
    str | None,
    typer.Option(
        help="Tree of the votes, a name or a TOML file; if not given, that whose columns they have.",
        rich_help_panel=GALAXIES,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(help="Column of ids, if it has none of the usual names.", rich_help_panel=GALAXIES),
]
FieldOfView = Annotated[
    float | None,
    typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame).", rich_help_panel=GALAXIES),
]
