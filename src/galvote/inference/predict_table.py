"""Predict into one table: a catalogue, a submission, or columns beside another catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError, GalvoteError
from galvote.inference.listing import Place, Places, list_galaxies
from galvote.inference.pipeline import BATCH
from galvote.inference.predict_shards import predict_shards
from galvote.inference.predictor import Predictor
from galvote.inference.settings import Settings
from galvote.io import Sources, read_ids, read_table, refuse_unwritable, write_table
from galvote.io.columns import list_names, one_has, refuse_repeated_ids, say_count
from galvote.io.matching import row_ids
from galvote.io.positions import positions_of
from galvote.labels.matching import join_by_id
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from galvote.images.services import CutoutService
    from galvote.inference.ray_engine import RayEngine

Layout = Literal["galvote", "challenge"]


@dataclass(frozen=True)
class Written:
    """What a table of predictions holds: its rows, galaxies by status, and those out of distribution."""

    galaxies: int
    statuses: Counter[str]
    ood: int


def predict_table(
    images: Places | None,
    out: Place,
    *,
    model: Place = "galvote-small",
    backend: str | None = None,
    settings: Settings | None = None,
    ids: Place | None = None,
    join: Place | None = None,
    layout: Layout = "galvote",
    id_column: str | None = None,
    dataset: str | None = None,
    recursive: bool = False,
    catalogue: Place | None = None,
    field: Place | Sequence[Place] | None = None,
    survey: str | CutoutService | None = None,
    size_column: str | None = None,
    arcsec: float | None = None,
    prefetch: int | None = None,
    engine: RayEngine | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Predict into one table, which is written at the end, and return what it holds.

    Parameters
    ----------
    images
        Places of images; see `galvote.io.list_sources`. None with a catalogue.
    out
        File to write: CSV, Parquet, FITS or VOTable by its ending.
    model, backend
        As for `galvote.load`.
    settings
        What is asked for.
    ids
        Table whose ids are predicted, all of them and no others, in its order.
    join
        Table beside whose columns the predictions are put, by id, or by position within an arcsecond where it
        has no ids and a table of `images` has both.
    layout
        ``challenge`` writes a submission: ids and cumulative fractions alone.
    id_column, dataset, recursive
        As for `galvote.predict`.
    catalogue
        As for `galvote.predict`; predictions are put beside its columns.
    field, survey, size_column, arcsec, prefetch
        As for `galvote.predict`; no survey with `engine`.
    engine
        A Ray cluster that does the work, whose nodes all see the folder of `out`; this process if not given.
    overwrite
        Replace an existing file.
    report
        Is told, in sentences, what was found, and whether the images' scale seems wrong.
    on_progress
        As for `galvote.predict`.

    Raises
    ------
    CatalogueError
        If an id has no image, a submission would lack one, or a catalogue has a column of the predictions; as
        for `galvote.predict`.
    OutputError
        If the file exists, or cannot be written.
    """
    out, settings = Path(out), settings or Settings()
    refuse_table(out, layout, join is not None, settings, overwrite)
    predictor = Predictor.load(model, backend)
    predictor.check_level(settings.level)
    empty = predictor.schema(settings).empty_table()

    def refuse(beside: tuple[pa.Table, Sequence[str]] | None) -> None:
        refuse_unwritable(out, overwrite, empty if beside is None else join_by_id(*beside, empty))

    with ExitStack() as stack:
        with one_has(id_column):
            beside = None if join is None else _read_beside(Path(join), images, id_column, report)
            refuse(beside)  # before a large folder is listed
            galaxies = list_galaxies(
                images,
                settings,
                catalogue=catalogue,
                field=field,
                survey=survey,
                size_column=size_column,
                arcsec=arcsec,
                id_column=id_column,
                dataset=dataset,
                recursive=recursive,
                needs_images=bool(ids or join or layout == "challenge"),
                engine=engine,
                report=report,
                on_progress=on_progress,
            )
            listed = stack.enter_context(galaxies)
            sources, settings = listed.sources, listed.settings
            if listed.positions is not None:
                beside = listed.positions.table, listed.positions.ids
                refuse(beside)
            if ids is not None:
                wanted = read_ids(ids, id_column=id_column)
                sources = _select(sources, wanted, Path(ids))
        if beside is None:
            refuse_unwritable(out, overwrite, pa.table({"id": pa.array(sources.ids, pa.string())}))
        if remark := predictor.preprocessor.check_scale(sources, settings):
            report(remark)
        if engine is None:
            table = _predict(predictor, sources, settings, prefetch, on_progress)
        else:
            how = {"model": model, "backend": backend, "prefetch": prefetch, "on_progress": on_progress}
            table = _predict_on_ray(engine, sources, out, settings, predictor.schema(settings), **how)
    if ids is not None:
        table = table.take(pc.index_in(pa.array(wanted, pa.string()), table["id"]))
    if beside is not None:
        table = join_by_id(*beside, table)
    notes = {"computed_by": predictor.computed_by} | ({"remark": remark} if remark else {})
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **notes})
    written = Written(
        len(table),
        Counter(table["status"].to_pylist()),
        (pc.sum(table["ood"]).as_py() or 0) if "ood" in table.column_names else 0,
    )
    if layout == "challenge":
        table = _to_submission(table, predictor.tree)
    write_table(table, out, overwrite=overwrite)
    return written


def refuse_table(out: Path, layout: Layout, joined: bool, settings: Settings, overwrite: bool) -> None:
    """Raise an error if a file cannot hold what is asked for."""
    if layout not in get_args(Layout):
        raise GalvoteError(f"There is no layout {layout!r}; it is {' or '.join(get_args(Layout))}.")
    if layout == "challenge" and (joined or settings.conditional):
        wrong = "--join" if joined else "--conditional"
        raise CatalogueError(f"A submission has no other columns; leave out {wrong} or --format challenge.")
    if settings.features and (out.suffix.lower() != ".parquet" or layout == "challenge"):
        raise CatalogueError(
            f"{out} cannot hold --features, which are lists; name a .parquet file or a folder, and no "
            "--format."
        )
    refuse_unwritable(out, overwrite)


def _predict(
    predictor: Predictor,
    sources: Sources,
    settings: Settings,
    prefetch: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> pa.Table:
    tables, done = list[pa.Table](), 0
    for batch in predictor.predict_batches(sources, settings, prefetch=prefetch):
        tables.append(batch.to_arrow(settings.conditional))
        done += len(batch)
        if on_progress is not None:
            on_progress(done, len(sources))
    # Never an empty chunk: Arrow's CSV writer writes stale memory in its place.
    return pa.concat_tables(tables or [predictor.schema(settings).empty_table()])


def _predict_on_ray(
    engine: RayEngine, sources: Sources, out: Path, settings: Settings, schema: pa.Schema, **how: Any
) -> pa.Table:
    """Predict into shards in a folder beside the file, and read them."""
    # Whole batches, so that rows are the same; and shards enough for all workers to end together.
    size = BATCH * min(16, max(1, len(sources) // (64 * BATCH)))
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        predict_shards(sources, folder, settings=settings, shard_size=size, engine=engine, **how)
        return read_table(folder).cast(schema) if len(sources) else schema.empty_table()


def _read_beside(
    path: Path, images: Places | None, id_column: str | None, report: Callable[[str], None]
) -> tuple[pa.Table, Sequence[str]]:
    """Read the catalogue that predictions are to be put beside, and the ids of its rows."""
    catalogue = read_table(path)
    places = [images] if isinstance(images, str | Path) else () if isinstance(images, Sources) else images
    reference = positions_of(places or (), id_column=id_column)
    rows = row_ids(catalogue, path, id_column, reference, report)
    if repeated := len(rows) - len(set(rows)) - max(rows.count("") - 1, 0):
        again = say_count(repeated, "row")
        report(f"{path}: {again} with an id that was there before, and the same prediction.")
    return catalogue, rows


def _select(sources: Sources, ids: Sequence[str], table: Path) -> Sources:
    refuse_repeated_ids(ids, table)
    if absent := set(ids) - set(sources.ids):
        raise CatalogueError(
            f"There is no image of {len(absent):,} of {say_count(len(ids), 'id')} in {table}: "
            f"{list_names(sorted(absent), 5)}; give the places of their images too."
        )
    return sources.select(ids)


def _to_submission(table: pa.Table, tree: DecisionTree) -> pa.Table:
    bad = table.filter(pc.not_equal(table["status"], "ok"))
    if len(bad):
        raise CatalogueError(
            f"A submission needs a prediction for every id, and {len(bad)} images cannot be read: "
            + "; ".join(f"{row['id']} ({row['reason']})" for row in bad.slice(0, 5).to_pylist())
        )
    return table.select(["id", *tree.columns]).rename_columns(["GalaxyID", *tree.columns])
