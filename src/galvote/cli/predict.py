"""`galvote predict`: pictures to a catalogue of vote fractions, in one file or in numbered parts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from galvote.cli.backend import BackendName
from galvote.cli.positions import (
    Arcsec,
    Cache,
    CatalogueOption,
    FieldOption,
    ServiceUrl,
    SizeColumn,
    Sky,
    SurveyOption,
)
from galvote.cli.predict_parts import make_and_report, make_here, make_on_ray, read_shard, say
from galvote.errors import CatalogueError

if TYPE_CHECKING:
    import pyarrow as pa

    from galvote.catalogue import Sources


class Layout(StrEnum):
    """How the rows are written."""

    galvote = "galvote"
    challenge = "challenge"


class Beside(NamedTuple):
    """A catalogue beside which predictions are put, and the ids of its rows."""

    catalogue: pa.Table
    ids: Sequence[str]


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
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, a folder, or an exported .onnx file.")
    ] = "galvote-small",
    backend: BackendName = None,
    views: Annotated[int, typer.Option(min=1, help="Orientations averaged for each prediction.")] = 1,
    level: Annotated[
        float | None,
        typer.Option(help="Share of votes that the intervals are to hold, 0 to 1; 0.9 if not given."),
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="Add the encoder's features, for search and clustering.")
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
    shown: Annotated[
        float | None,
        typer.Option(help="Width of the sky that the pictures show, in GZ2 pixels (424 is a whole frame)."),
    ] = None,
    catalogue: CatalogueOption = None,
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
    ahead: Annotated[
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

    import pyarrow.compute as pc
    from rich.console import Console

    from galvote.catalogue import list_sources, read_ids, refuse_unwritable, write_table
    from galvote.catalogue.matching import join_by_id
    from galvote.cli.progress import progress_bar, stoppable
    from galvote.inference import PART_SIZE, Parts, Predictor, Settings, make_plan

    console = Console(stderr=True, highlight=False)
    place = Path(out)
    in_parts = out.endswith(("/", os.sep)) or place.is_dir() or not place.suffix
    share = read_shard(shard) if shard else (1, 1)
    sky = Sky(catalogue, field, survey, service_url, size_column, arcsec, cache)
    _refuse_ambiguity(sky, sources, bool(ids or join or shown or layout is Layout.challenge))
    if in_parts and (ids or join or layout is Layout.challenge):
        raise CatalogueError(
            "--ids, --join and --format challenge make one table: name a file, as in --out votes.csv"
        )
    if join and layout is Layout.challenge:
        raise CatalogueError("A submission has no other columns; leave out --join or --format challenge.")
    if in_parts and shard and overwrite:
        raise CatalogueError(
            f"With --overwrite each shard would remove the others' parts; empty {place} before they start."
        )
    if not in_parts:
        if part_size is not None or shard or retry:
            raise CatalogueError(
                f"--part-size, --shard and --retry are for a folder, as in --out {place.stem}/"
            )
        if features and (place.suffix.lower() != ".parquet" or layout is Layout.challenge):
            raise CatalogueError(
                f"{place} cannot hold --features, which are lists; name a .parquet file or a folder, and no "
                "--format."
            )
        refuse_unwritable(place, overwrite)
    if engine is Engine.local and (address is not None or workers is not None):
        raise CatalogueError("--address and --workers are for Ray; add --engine ray")
    cluster = None
    if engine is Engine.ray:
        from galvote.inference.ray_engine import RayEngine

        cluster = RayEngine(address, workers)
    load = partial(Predictor.load, model, backend)
    predictor = load()
    if level is not None:
        predictor.check_level(level)
    settings = Settings(views, shown, level, features)
    positions = sky.read() if sky.asked else None
    beside = None
    if positions is not None:
        beside = Beside(positions.table, positions.ids)
    elif join:
        beside = _read_beside(join)
    if beside is not None:
        _refuse_unjoinable(beside, predictor.schema(settings), None if in_parts else place, overwrite)
    listed = list_sources(sources or []) if positions is None else sky.look_up(positions, console)[1]
    if in_parts:
        plan = make_plan(predictor, listed, settings, part_size or PART_SIZE)
        make = partial(make_here, predictor) if cluster is None else partial(make_on_ray, cluster, load)
        parts = Parts.begin(place, plan, overwrite)
        make_and_report(make, listed, parts, settings, share, ahead, retry, console)
        return

    asked = None
    if ids is not None:
        asked = read_ids(ids)
        listed = _select(listed, asked, ids)
    stopped = f"Stopped; {out} is not written."
    if not (ids or join or layout is Layout.challenge):
        stopped += (
            f" Into a folder, as in --out {place.stem}/, the same command goes on where it was stopped."
        )
    with stoppable(console, lambda: stopped), progress_bar(console) as progress:
        bar = progress.add_task("predicting", total=len(listed))

        def show(done: int, failed: int) -> None:
            progress.update(bar, completed=done)

        if cluster is None:
            table = predictor.predict(listed, **vars(settings), ahead=ahead, on_progress=show)
        else:
            with cluster:
                table = cluster.predict(load, listed, settings, ahead=ahead, on_progress=show)
    if asked is not None:
        row = {galaxy: row for row, galaxy in enumerate(table["id"].to_pylist())}
        table = table.take([row[galaxy] for galaxy in asked])
    if beside is not None:
        table = join_by_id(beside.catalogue, beside.ids, table)
    statuses = Counter(table["status"].to_pylist())
    if layout is Layout.challenge:
        table = _to_submission(table, predictor.tree.columns)
    write_table(table, place, overwrite=overwrite)
    said = say(statuses)
    if "unlike" in table.column_names and (unlike := pc.sum(table["unlike"]).as_py()):
        said += f"; {unlike} unlike the training galaxies"
    console.print(f"{len(table)} galaxies in {out}: {said}", soft_wrap=True)


def _refuse_ambiguity(sky: Sky, sources: Sequence[Path] | None, needs_pictures: bool) -> None:
    """Raise `CatalogueError` unless either pictures or positions are given, with options that fit."""
    if sky.asked and sources:
        raise CatalogueError("Name either pictures or a --catalogue of positions, and run it twice for both.")
    if not (sky.asked or sources):
        raise CatalogueError(
            "Nothing to predict: name pictures, or a --catalogue of positions with --field or --survey."
        )
    if sky.asked and needs_pictures:
        raise CatalogueError(
            "--ids, --join, --shown and --format challenge are for pictures; leave them out where galaxies "
            "are looked up by position."
        )


def _refuse_unjoinable(beside: Beside, columns: pa.Schema, place: Path | None, overwrite: bool) -> None:
    """Raise `CatalogueError` if predictions could not be put beside the catalogue, or not written there."""
    from galvote.catalogue import refuse_unwritable
    from galvote.catalogue.matching import join_by_id

    joined = join_by_id(beside.catalogue, beside.ids, columns.empty_table())
    if place is not None:
        refuse_unwritable(place, overwrite, joined)


def _read_beside(path: Path) -> Beside:
    """Read the catalogue that predictions are to be put beside, by its ids."""
    from galvote.catalogue import read_table
    from galvote.catalogue.tables import find_id_column, to_ids

    catalogue = read_table(path)
    return Beside(catalogue, to_ids(catalogue[find_id_column(catalogue.column_names, path)], path))


def _select(sources: Sources, ids: Sequence[str], table: Path) -> Sources:
    if absent := set(ids) - set(sources.ids):
        raise CatalogueError(
            f"{len(absent)} of the {len(ids)} ids in {table} have no picture, among them "
            f"{', '.join(sorted(absent)[:5])}; give the places of their pictures too."
        )
    return sources.select(ids)


def _to_submission(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    import pyarrow.compute as pc

    bad = table.filter(pc.not_equal(table["status"], "ok"))
    if len(bad):
        raise CatalogueError(
            f"A submission needs a prediction for every id, and {len(bad)} pictures cannot be read: "
            + "; ".join(f"{row['id']} ({row['reason']})" for row in bad.slice(0, 5).to_pylist())
        )
    return table.select(["id", *columns]).rename_columns(["GalaxyID", *columns])
