"""Options of `galvote predict`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from galvote.cli.positions import CATALOGUE_HELP, SKY, SurveyName
from galvote.cli.prediction_options import PREDICTION

_TABLE = "One file"
_SHARDS, _ENGINE = "A folder of shards", "Where the work is done"


class Engine(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


class Layout(StrEnum):
    """How the rows are written."""

    galvote = "galvote"
    challenge = "challenge"


Out = Annotated[
    str,
    typer.Option(help="File to write (.csv, .parquet, .fits, .vot), or a folder for numbered shards."),
]
Places = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Images: files, folders, Parquet, packed stores, or catalogues with columns id and source."
    ),
]
Join = Annotated[Path | None, typer.Option(help="Table beside whose columns the predictions are put, by id.")]
Conditional = Annotated[
    bool,
    typer.Option("--conditional", help="Add the fractions of those who were asked: `bar`, `bar_low` …"),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing file, or the shards in a folder.")
]
Features = Annotated[
    bool,
    typer.Option("--features", help="Add the encoder's features, for search.", rich_help_panel=PREDICTION),
]
Ids = Annotated[
    Path | None,
    typer.Option(
        help="Table whose ids are predicted, all of them and no others, in its order.", rich_help_panel=_TABLE
    ),
]
Format = Annotated[
    Layout,
    typer.Option(
        "--format",
        help="`challenge` writes a submission: GalaxyID,Class1.1,…,Class11.6.",
        rich_help_panel=_TABLE,
    ),
]
TableIdColumn = Annotated[
    str | None,
    typer.Option(help="Column of ids of tables, if it has none of the usual names.", rich_help_panel=_TABLE),
]
Field = Annotated[
    list[str] | None,
    typer.Option(help="FITS image that shows them; three times for g, r and i.", rich_help_panel=SKY),
]
Survey = Annotated[SurveyName | None, typer.Option(help="Or the survey that is asked.", rich_help_panel=SKY)]
Catalogue = Annotated[Path | None, typer.Option(help=CATALOGUE_HELP, rich_help_panel=SKY)]
ShardSize = Annotated[
    int | None,
    typer.Option(min=1, help="Galaxies in each shard; 4096 if not given.", rich_help_panel=_SHARDS),
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Make only this share of the shards: 1/20, …, 20/20.", rich_help_panel=_SHARDS
    ),
]
Retry = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Make shards again whose images were missing or unavailable.",
        rich_help_panel=_SHARDS,
    ),
]
Where = Annotated[
    Engine,
    typer.Option(
        help="`local`: this process; `ray`: several, on one machine or many.", rich_help_panel=_ENGINE
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a running Ray cluster, host:port or `auto`; without it, one is started here.",
        rich_help_panel=_ENGINE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Of Ray; one for each GPU, or else each core, if not given.",
        rich_help_panel=_ENGINE,
    ),
]
Prefetch = Annotated[
    int | None,
    typer.Option(
        min=64,
        help="Most images in memory at once; 192 for each core if not given.",
        rich_help_panel=_ENGINE,
    ),
]
