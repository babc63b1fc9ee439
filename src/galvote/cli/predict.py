"""`galvote predict`: pictures to a catalogue of vote fractions, in one file or in numbered parts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from galvote.cli.predict_parts import make_and_report, make_here, make_on_ray, read_shard
from galvote.cli.predict_table import (
    Beside,
    Layout,
    Progress,
    make_table,
    read_beside,
    refuse_table,
    refuse_unjoinable,
)
from galvote.cli.prediction_options import BackendName, Level, Model, Tta
from galvote.errors import CatalogueError

if TYPE_CHECKING:
    import pyarrow as pa

    from galvote.io import Sources


class Engine(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


def predict(
    out: Annotated[
        str,
        typer.Option(
            help="Catalogue to write (.csv, .parquet, .fits, .vot), or a folder for numbered parts."
        ),
    ],
    sources: Annotated[
        list[Path] | None,
        typer.Argument(help="Pictures: files, folders, Parquet, or catalogues with columns id and source."),
    ] = None,
    model: Model = "galvote-small",
    backend: BackendName = None,
    tta: Tta = 1,
    level: Level = None,
    features: Annotated[
        bool, typer.Option("--features", help="Add the encoder's features, for search and clustering.")
    ] = False,
    conditional: Annotated[
        bool,
        typer.Option("--conditional", help="Add the fractions of those who were asked: `bar`, `bar_low` …"),
    ] = False,
    layout: Annotated[
        Layout,
        typer.Option("--format", help="`challenge` writes a submission: GalaxyID,Class1.1,…,Class11.6."),
    ] = Layout.galvote,
    ids: Annotated[
        Path | None,
        typer.Option(help="Table whose ids are predicted, all of them and no others, in its order."),
    ] = None,
    join: Annotated[
        Path | None, typer.Option(help="Table beside whose columns the predictions are put, by id.")
    ] = None,
    field_of_view: Annotated[
        float | None,
        typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame)."),
    ] = None,
    catalogue: Annotated[Path | None, typer.Option(help=CATALOGUE_HELP)] = None,
    field: FieldOption = None,
    survey: SurveyOption = None,
    size_column: SizeColumn = None,
    arcsec: Arcsec = None,
    service_url: ServiceUrl = None,
    cache: Cache = None,
    part_size: Annotated[
        int | None, typer.Option(min=1, help="Galaxies in each part of a folder; 4096 if not given.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Make only this share of a folder's parts: 1/20, …, 20/20."),
    ] = None,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Make parts of a folder again whose pictures were missing or unavailable."
        ),
    ] = False,
    prefetch: Annotated[
        int | None,
        typer.Option(min=64, help="Most pictures in memory at once; 192 for each core if not given."),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="`local`: this process; `ray`: several, on one machine or many.")
    ] = Engine.local,
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster, host:port or `auto`; without it, one is started here."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of Ray; one for each GPU, or else each core, if not given.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file, or the parts in a folder.")
    ] = False,
) -> None:
    """Predict the votes of each galaxy; a picture that cannot be read becomes a row that says why.

    Instead of pictures it takes a catalogue of positions with a field or a survey that shows them.

    A folder gets numbered parts. The same command goes on where an earlier one was stopped.
    """
    from functools import partial

    from galvote.cli.progress import plain_console, show_progress
    from galvote.images.look_up import look_up
    from galvote.inference import PART_SIZE, Parts, Predictor, Settings, make_plan
    from galvote.io import list_sources
    from galvote.io.positions import read_positions

    console = plain_console(stderr=True)
    place = Path(out)
    in_parts = out.endswith(("/", os.sep)) or place.is_dir() or not place.suffix
    share = read_shard(shard) if shard else (1, 1)
    one_table = bool(ids or join or layout is Layout.challenge)
    by_position = bool(catalogue or field or survey)
    _refuse_ambiguity(by_position, sources, one_table or bool(field_of_view))
    if in_parts:
        _refuse_for_a_folder(place, one_table, bool(shard and overwrite))
    else:
        _refuse_for_a_file(place, part_size is not None or bool(shard) or retry)
        refuse_table(place, layout, bool(join), features, overwrite)
    if engine is Engine.local and (address is not None or workers is not None):
        raise CatalogueError("--address and --workers are for Ray; add --engine ray")
    cluster = None
    if engine is Engine.ray:
        if survey:
            raise CatalogueError(
                "Ray's workers would all ask the survey at once: fetch the pictures with `galvote cutouts "
                "--survey …`, then predict the catalogue.csv that it writes."
            )
        from galvote.inference.ray_engine import RayEngine

        cluster = RayEngine(address, workers)
    load = partial(Predictor.load, model, backend)
    predictor = load()
    if level is not None:
        predictor.check_level(level)
    settings = Settings(tta, field_of_view, level, features, conditional)
    positions = None
    if by_position:
        if catalogue is None:
            raise CatalogueError("Say which galaxies: --catalogue is a table of their positions.")
        positions = read_positions(catalogue, size_column=size_column)
    beside = None
    if positions is not None:
        beside = Beside(positions.table, positions.ids)
    elif join:
        beside = read_beside(join)
    if beside is not None:
        refuse_unjoinable(beside, predictor.schema(settings), None if in_parts else place, overwrite)
    with ExitStack() as stack:
        if positions is None:
            listed = list_sources(sources or [])
        else:
            # Shards that run at the same time ask a survey together as often as one process would.
            service = open_service(survey, url=service_url, cache=cache, rate=2.0 / share[1])
            with show_progress(console, "measuring") as show:
                looked_up = look_up(
                    positions,
                    field=field or None,
                    survey=service,
                    arcsec=arcsec,
                    report=console.print,
                    on_progress=show,
                )
                _, listed = stack.enter_context(looked_up)
        if in_parts:
            plan = make_plan(predictor, listed, settings, part_size or PART_SIZE)
            make = partial(make_here, predictor) if cluster is None else partial(make_on_ray, cluster, load)
            parts = Parts.begin(place, plan, overwrite)
            make_and_report(make, listed, parts, settings, share, prefetch, retry, console)
            return

        def predict_all(listed: Sources, show: Progress) -> pa.Table:
            if cluster is None:
                asked = {key: value for key, value in vars(settings).items() if key != "conditional"}
                found = predictor.predict(listed, **asked, prefetch=prefetch, on_progress=show)
                return found.to_arrow(conditional)
            with cluster:
                return cluster.predict(load, listed, settings, prefetch=prefetch, on_progress=show)

        stopped = f"Stopped; {place} is not written."
        if not one_table:
            stopped += (
                f" Into a folder, as in --out {place.stem}/, the same command goes on where it was stopped."
            )
        make_table(
            predict_all,
            listed,
            place,
            ids=ids,
            beside=beside,
            layout=layout,
            tree=predictor.tree,
            overwrite=overwrite,
            stopped=stopped,
            console=console,
        )


def _refuse_ambiguity(by_position: bool, sources: Sequence[Path] | None, needs_images: bool) -> None:
    """Raise `CatalogueError` unless either pictures or positions are given, with options that fit."""
    if by_position and sources:
        raise CatalogueError("Name either pictures or a --catalogue of positions, and run it twice for both.")
    if not (by_position or sources):
        raise CatalogueError(
            "Nothing to predict: name pictures, or a --catalogue of positions with --field or --survey."
        )
    if by_position and needs_images:
        raise CatalogueError(
            "--ids, --join, --field-of-view and --format challenge are for pictures; leave them out where "
            "galaxies are looked up by position."
        )


def _refuse_for_a_folder(place: Path, one_table: bool, removing: bool) -> None:
    """Raise `CatalogueError` if numbered parts cannot be what is asked for."""
    if one_table:
        raise CatalogueError(
            "--ids, --join and --format challenge make one table: name a file, as in --out votes.csv"
        )
    if removing:
        raise CatalogueError(
            f"With --overwrite each shard would remove the others' parts; empty {place} before they start."
        )


def _refuse_for_a_file(place: Path, for_parts: bool) -> None:
    if for_parts:
        raise CatalogueError(f"--part-size, --shard and --retry are for a folder, as in --out {place.stem}/")
