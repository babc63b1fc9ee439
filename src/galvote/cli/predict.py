"""`galvote predict`: pictures to a catalogue of vote fractions, in one file or in numbered parts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.errors import CatalogueError

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from galvote.catalogue import Sources
    from galvote.inference import Made, Parts, Predictor, Settings
    from galvote.inference.ray_engine import RayEngine


class Layout(StrEnum):
    """How the rows are written."""

    galvote = "galvote"
    challenge = "challenge"


class Engine(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


def predict(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Pictures: files, folders, Parquet, or catalogues with columns id and source."),
    ],
    out: Annotated[
        str,
        typer.Option(
            help="Catalogue to write (.csv, .parquet, .fits, .vot), or a folder for numbered parts."
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a folder.")] = "galvote-small",
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
    shown: Annotated[
        float | None,
        typer.Option(help="Width of the sky that the pictures show, in GZ2 pixels (424 is a whole frame)."),
    ] = None,
    part_size: Annotated[
        int | None, typer.Option(min=1, help="Galaxies in each part of a folder; 4096 if not given.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Make only this share of a folder's parts: 1/20, …, 20/20."),
    ] = None,
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

    A folder gets numbered parts. The same command goes on where an earlier one was stopped.
    """
    from functools import partial

    import pyarrow.compute as pc
    from rich.console import Console

    from galvote.catalogue import list_sources, read_ids, refuse_unwritable, write_table
    from galvote.cli.progress import progress_bar
    from galvote.inference import PART_SIZE, Parts, Predictor, Settings, make_plan

    console = Console(stderr=True, highlight=False)
    place = Path(out)
    in_parts = out.endswith(("/", os.sep)) or place.is_dir() or not place.suffix
    share = _read_shard(shard) if shard else (1, 1)
    if in_parts and (ids is not None or layout is Layout.challenge):
        raise CatalogueError(
            "--ids and --format challenge make one table: name a file, as in --out votes.csv"
        )
    if in_parts and shard and overwrite:
        raise CatalogueError(
            f"With --overwrite each shard would remove the others' parts; empty {place} before they start."
        )
    if not in_parts:
        if part_size is not None or shard:
            raise CatalogueError(f"--part-size and --shard are for a folder, as in --out {place.stem}/")
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
    load = partial(Predictor.load, model)
    predictor = load()
    if level is not None:
        predictor.check_level(level)
    listed = list_sources(sources)
    settings = Settings(views, shown, level, features)
    if in_parts:
        plan = make_plan(predictor, listed, settings, part_size or PART_SIZE)
        make = partial(_make_here, predictor) if cluster is None else partial(_make_on_ray, cluster, load)
        _make_parts(make, listed, Parts.begin(place, plan, overwrite), settings, share, ahead, console)
        return

    asked = None
    if ids is not None:
        asked = read_ids(ids)
        listed = _select(listed, asked, ids)
    with progress_bar(console) as progress:
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
    statuses = Counter(table["status"].to_pylist())
    if layout is Layout.challenge:
        table = _to_submission(table, predictor.tree.columns)
    write_table(table, place, overwrite=overwrite)
    said = _say(statuses)
    if "unlike" in table.column_names and (unlike := pc.sum(table["unlike"]).as_py()):
        said += f"; {unlike} unlike the training galaxies"
    console.print(f"{len(table)} galaxies in {out}: {said}", soft_wrap=True)


def _make_here(predictor: Predictor, *what: Any, on_galaxies: Callable[[int], None], **options: Any) -> Made:
    from galvote.inference import make_parts

    return make_parts(predictor, *what, **options, on_rows=lambda rows: on_galaxies(len(rows)))


def _make_on_ray(
    cluster: RayEngine,
    load: Callable[[], Predictor],
    *what: Any,
    on_galaxies: Callable[[int], None],
    **options: Any,
) -> Made:
    with cluster:
        return cluster.make_parts(
            load, *what, **options, on_part=lambda part: on_galaxies(part.statuses.total())
        )


def _make_parts(
    make: Callable[..., Made],
    sources: Sources,
    parts: Parts,
    settings: Settings,
    shard: tuple[int, int],
    ahead: int | None,
    console: Console,
) -> None:
    from galvote.cli.progress import progress_bar

    plan, folder = parts.plan, parts.folder
    try:
        with progress_bar(console) as progress:
            places = [plan.places(part) for part in plan.of_shard(shard)]
            bar = progress.add_task("predicting", total=sum(place.stop - place.start for place in places))
            made = make(
                sources,
                parts,
                settings,
                shard=shard,
                ahead=ahead,
                on_galaxies=lambda galaxies: progress.advance(bar, galaxies),
            )
    except KeyboardInterrupt:
        console.print(
            f"Stopped with {len(parts.present())} of {plan.parts} parts in {folder}. "
            "The same command goes on from there.",
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    said = f"{made.statuses.total()} galaxies in {folder}: {_say(made.statuses)}"
    if not made.made:
        said += "; all of them were there"
    if made.damaged:
        said += f"; {made.damaged} damaged parts are made again"
    if absent := plan.parts - len(parts.present()):
        said += f"; {absent} of {plan.parts} parts, of other shards, are not there yet"
    console.print(said, soft_wrap=True)


def _read_shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise typer.BadParameter(
            f"{text!r} is no shard: the first of twenty is 1/20, the last 20/20.", param_hint="--shard"
        )
    return int(number), int(of)


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


def _say(statuses: Counter[str]) -> str:
    return ", ".join(f"{n} {status}" for status, n in statuses.items())
