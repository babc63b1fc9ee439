"""`galvote predict`: images to a catalogue of vote fractions, in one file or in numbered shards."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.cli import options
from galvote.errors import CatalogueError, GalvoteError

if TYPE_CHECKING:
    from galvote.inference import Shards
    from galvote.inference.predict_shards import Summary
    from galvote.inference.ray_engine import RayEngine


_table, _shards = options.group("One file"), options.group("A folder of shards")
_engine = options.group("Where the work is done")


class Engine(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


class Layout(StrEnum):
    """How the rows are written."""

    galvote = "galvote"
    challenge = "challenge"


Out = Annotated[
    str, typer.Option(help="File to write (.csv, .parquet, .fits, .vot), or a folder for numbered shards.")
]
Places = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Images: files, folders, Parquet, packed stores, or catalogues with columns id and source."
    ),
]
Conditional = Annotated[
    bool, typer.Option("--conditional", help="Add the fractions of those who were asked: `bar`, `bar_low` …")
]
Join = Annotated[Path | None, typer.Option(help="Table to put predictions beside, by id or by position.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing file, or the shards in a folder.")
]
Features = Annotated[bool, options.prediction("--features", help="Add the encoder's features, for search.")]
Format = Annotated[
    Layout, _table("--format", help="`challenge` writes a submission: GalaxyID,Class1.1,…,Class11.6.")
]
Ids = Annotated[
    Path | None, _table(help="Table whose ids are predicted, all of them and no others, in its order.")
]
Field = Annotated[list[str] | None, options.sky(help=options.FIELD_HELP)]
Survey = Annotated[options.SurveyName | None, options.sky(help=options.SURVEY_HELP)]
ShardSize = Annotated[int | None, _shards(min=1, help="Galaxies in each shard; 4096 if not given.")]
Task = Annotated[
    str | None, _shards(metavar="I/N", help="Make only this share of the shards: 1/20, …, 20/20.")
]
Retry = Annotated[
    bool, _shards("--retry", help="Make shards again whose images were missing or unavailable.")
]
Where = Annotated[Engine, _engine(help="`local`: this process; `ray`: several, on one machine or many.")]
Address = Annotated[
    str | None,
    _engine(help="Of a running Ray cluster, host:port or `auto`; without it, one is started here."),
]
Workers = Annotated[
    int | None, _engine(min=1, help="Of Ray; one for each GPU, or else each core, if not given.")
]
Prefetch = Annotated[
    int | None, _engine(min=64, help="Most images in memory at once; 192 for each core if not given.")
]


def predict(
    out: Out,
    sources: Places = None,
    model: options.Model = "galvote-small",
    tta: options.Tta = 1,
    conditional: Conditional = False,
    join: Join = None,
    overwrite: Overwrite = False,
    level: options.Level = None,
    backend: options.Backend = None,
    features: Features = False,
    scale: options.Scale = None,
    pixel_scale: options.PixelScale = None,
    size_factor: options.SizeFactor = 1.0,
    field_of_view: options.FieldOfView = None,
    bands: options.Bands = None,
    stretch: options.Stretch = options.StretchName.lupton,
    layout: Format = Layout.galvote,
    ids: Ids = None,
    id_column: options.IdColumn = None,
    recursive: options.Recursive = False,
    dataset: options.Dataset = None,
    catalogue: options.Catalogue = None,
    field: Field = None,
    survey: Survey = None,
    size_column: options.SkySizeColumn = None,
    arcsec: options.Arcsec = None,
    service_url: options.ServiceUrl = None,
    cache: options.Cache = None,
    shard_size: ShardSize = None,
    task: Task = None,
    retry: Retry = False,
    engine: Where = Engine.local,
    address: Address = None,
    workers: Workers = None,
    prefetch: Prefetch = None,
) -> None:
    """Predict the votes of each galaxy; an image that cannot be read becomes a row that says why.

    Instead of images it takes a catalogue of positions with a field or a survey that shows them.
    A folder gets numbered shards. The same command goes on where an earlier one was stopped.
    """
    place, share = Path(out), _read_task(task)
    into_folder = out.endswith(("/", os.sep)) or place.is_dir() or not place.suffix
    one_table = {"ids": ids, "join": join, "layout": layout.value}
    in_shards = {"shard_size": shard_size, "task": task and share, "retry": retry}
    _refuse_unfit(place, into_folder, one_table, in_shards)
    sizes: tuple[Path | None, str | None] = (None, None)
    if pixel_scale is not None:  # the catalogue is of sizes, not of positions
        sizes, catalogue, size_column = (catalogue, size_column), None, None
    chosen = options.choose_scale(scale, pixel_scale, *sizes, size_factor, id_column)

    from galvote.inference import Settings

    how: dict[str, Any] = {
        "model": model,
        "backend": backend,
        "settings": Settings(tta, field_of_view, level, features, conditional, bands, stretch.value, chosen),
        "id_column": id_column,
        "dataset": dataset,
        "recursive": recursive,
        "catalogue": catalogue,
        "field": field or None,
        "survey": options.open_service(survey, url=service_url, cache=cache),
        "size_column": size_column,
        "arcsec": arcsec,
        "prefetch": prefetch,
        "engine": _open_engine(engine, address, workers),
        "overwrite": overwrite,
    }
    if into_folder:
        given = {key: value for key, value in in_shards.items() if value}
        _predict_shards(sources or None, place, how | given)
    else:
        _predict_table(sources or None, place, how | one_table)


def _refuse_unfit(
    place: Path, into_folder: bool, one_table: dict[str, Any], in_shards: dict[str, Any]
) -> None:
    """Raise an error if options do not fit what is written."""
    if into_folder and _makes_one_table(one_table):
        raise CatalogueError(
            "--ids, --join and --format challenge make one table: name a file, as in --out votes.csv"
        )
    if not into_folder and any(in_shards.values()):
        raise CatalogueError(f"--shard-size, --task and --retry are for a folder, as in --out {place.stem}/")


def _makes_one_table(one_table: dict[str, Any]) -> bool:
    return bool(one_table["ids"] or one_table["join"] or one_table["layout"] == "challenge")


def _read_task(text: str | None) -> tuple[int, int]:
    """Return which of how many tasks ``I/N`` means."""
    number, _, of = (text or "1/1").partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise typer.BadParameter(
            f"{text!r} is no task: the first of twenty is 1/20, the last 20/20.", param_hint="--task"
        )
    return int(number), int(of)


def _open_engine(engine: Engine, address: str | None, workers: int | None) -> RayEngine | None:
    if engine is Engine.local:
        if address is not None or workers is not None:
            raise GalvoteError("--address and --workers are for Ray; add --engine ray")
        return None
    from galvote.inference.ray_engine import RayEngine

    return RayEngine(address, workers)


def _predict_table(images: list[Path] | None, place: Path, how: dict[str, Any]) -> None:
    from galvote.cli.progress import exit_unless_any, plain_console, say_statuses, show_progress, stoppable
    from galvote.inference.predict_table import predict_table
    from galvote.io.columns import say_count

    console = plain_console(stderr=True)
    stopped = f"Stopped; {place} is not written."
    if not _makes_one_table(how):
        stopped += (
            f" Into a folder, as in --out {place.stem}/, the same command goes on where it was stopped."
        )
    say = partial(console.print, soft_wrap=True)
    with stoppable(console, lambda: stopped), show_progress(console, "predicting") as on_progress:
        written = predict_table(images, place, **how, report=say, on_progress=on_progress)
    line = f"{say_count(written.galaxies, 'galaxy')} in {place}{say_statuses(written.statuses, ': ')}"
    if written.ood:
        line += f"; {written.ood} unlike the training galaxies"
    console.print(line, soft_wrap=True)
    exit_unless_any(written.statuses["ok"])


def _predict_shards(images: list[Path] | None, folder: Path, how: dict[str, Any]) -> None:
    from galvote.cli.progress import exit_unless_any, plain_console, show_progress, stoppable
    from galvote.inference import Shards
    from galvote.inference.predict_shards import predict_shards

    def stopped() -> str:
        try:
            shards = Shards.open(folder)
        except CatalogueError:  # while images were listed, or galaxies measured
            return f"Stopped before the first shard in {folder}. The same command begins again."
        there = f"{len(shards.present())} of {shards.manifest.shards} shards in {folder}"
        return f"Stopped with {there}. The same command goes on from there."

    console = plain_console(stderr=True)
    say = partial(console.print, soft_wrap=True)
    with stoppable(console, stopped), show_progress(console, "predicting") as on_progress:
        summary = predict_shards(images, folder, **how, report=say, on_progress=on_progress)
    console.print(_describe(summary, Shards.open(folder)), soft_wrap=True)
    exit_unless_any(summary.statuses["ok"] or not summary.statuses)  # a task may have no shards


def _describe(summary: Summary, shards: Shards) -> str:
    from galvote.cli.progress import say_statuses
    from galvote.io.columns import say_count

    counted = say_count(summary.statuses.total(), "galaxy")
    line = f"{counted} in {shards.folder}{say_statuses(summary.statuses, ': ')}"
    if not summary.made:
        line += "; all of them were there"
    if summary.damaged:
        line += f"; made again: {say_count(summary.damaged, 'damaged shard')}"
    if summary.renewed:
        line += f"; made again: {say_count(summary.renewed, 'shard')} whose images were not there"
    elif summary.statuses["missing"] or summary.statuses["unavailable"]:
        line += "; to ask again for what was missing or unavailable, add --retry"
    if absent := shards.manifest.shards - len(shards.present()):
        line += f"; {absent} of {shards.manifest.shards} shards, of other tasks, are not there yet"
    return line
