"""A prediction in one table: a catalogue, a submission, or columns beside another catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from galvote.cli.predict_parts import say
from galvote.errors import CatalogueError

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from galvote.io import Sources
    from galvote.trees import DecisionTree

Progress = Callable[[int, int], None]
"""Called with how many galaxies are done, and how many of them have no prediction."""


class Layout(StrEnum):
    """How the rows are written."""

    galvote = "galvote"
    challenge = "challenge"


class Beside(NamedTuple):
    """A catalogue beside which predictions are put, and the ids of its rows."""

    catalogue: pa.Table
    ids: Sequence[str]


def make_table(
    predict: Callable[[Sources, Progress], pa.Table],
    listed: Sources,
    place: Path,
    *,
    ids: Path | None,
    beside: Beside | None,
    layout: Layout,
    tree: DecisionTree,
    overwrite: bool,
    stopped: str,
    console: Console,
) -> None:
    """Predict what is listed, or the ids of a table, write it, and say what came of it.

    `stopped` is what to say after Ctrl-C.
    """
    import pyarrow.compute as pc

    from galvote.cli.progress import progress_bar, stoppable
    from galvote.io import read_ids, write_table
    from galvote.labels.matching import join_by_id

    asked = None
    if ids is not None:
        asked = read_ids(ids)
        listed = _select(listed, asked, ids)
    with stoppable(console, lambda: stopped), progress_bar(console) as progress:
        bar = progress.add_task("predicting", total=len(listed))
        table = predict(listed, lambda done, failed: progress.update(bar, completed=done))
    if asked is not None:
        row = {galaxy: row for row, galaxy in enumerate(table["id"].to_pylist())}
        table = table.take([row[galaxy] for galaxy in asked])
    if beside is not None:
        table = join_by_id(beside.catalogue, beside.ids, table)
    statuses = Counter(table["status"].to_pylist())
    if layout is Layout.challenge:
        table = _to_submission(table, tree.columns)
    write_table(table, place, overwrite=overwrite)
    said = say(statuses)
    if "ood" in table.column_names and (ood := pc.sum(table["ood"]).as_py()):
        said += f"; {ood} unlike the training galaxies"
    console.print(f"{len(table)} galaxies in {place}: {said}", soft_wrap=True)


def refuse_table(place: Path, layout: Layout, joined: bool, features: bool, overwrite: bool) -> None:
    """Raise `CatalogueError` if a file cannot hold what is asked for."""
    from galvote.io import refuse_unwritable

    if joined and layout is Layout.challenge:
        raise CatalogueError("A submission has no other columns; leave out --join or --format challenge.")
    if features and (place.suffix.lower() != ".parquet" or layout is Layout.challenge):
        raise CatalogueError(
            f"{place} cannot hold --features, which are lists; name a .parquet file or a folder, and no "
            "--format."
        )
    refuse_unwritable(place, overwrite)


def refuse_unjoinable(beside: Beside, columns: pa.Schema, place: Path | None, overwrite: bool) -> None:
    """Raise `CatalogueError` if predictions could not be put beside the catalogue, or not written there."""
    from galvote.io import refuse_unwritable
    from galvote.labels.matching import join_by_id

    joined = join_by_id(beside.catalogue, beside.ids, columns.empty_table())
    if place is not None:
        refuse_unwritable(place, overwrite, joined)


def read_beside(path: Path) -> Beside:
    """Read the catalogue that predictions are to be put beside, by its ids."""
    from galvote.io import read_table
    from galvote.io.columns import find_id_column, to_ids

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
