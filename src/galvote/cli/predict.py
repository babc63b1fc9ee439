"""`galvote predict`: pictures to a catalogue of vote fractions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Layout(StrEnum):
    """How the rows are written."""

    galvote = "galvote"
    challenge = "challenge"


def predict(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Pictures: files, folders, Parquet, or catalogues with columns id and source."),
    ],
    out: Annotated[Path, typer.Option(help="Catalogue to write; .csv, .parquet, .fits or .vot.")],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a folder.")] = "galvote-small",
    views: Annotated[int, typer.Option(min=1, help="Orientations averaged for each prediction.")] = 1,
    level: Annotated[
        float | None,
        typer.Option(help="Share of votes that the intervals are to hold, 0 to 1; 0.9 if not given."),
    ] = None,
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Predict the votes of each galaxy; a picture that cannot be read becomes a row that says why."""
    from collections import Counter

    import pyarrow.compute as pc
    from rich.console import Console

    from galvote.catalogue import list_sources, read_ids, refuse_unwritable, write_table
    from galvote.cli.progress import progress_bar
    from galvote.errors import CatalogueError
    from galvote.inference import Predictor

    console = Console(stderr=True, highlight=False)
    refuse_unwritable(out, overwrite)
    predictor = Predictor.load(model)
    if level is not None:
        predictor.check_level(level)
    listed = list_sources(sources)
    asked = read_ids(ids) if ids is not None else None
    if asked is not None:
        if absent := set(asked) - set(listed.ids):
            raise CatalogueError(
                f"{len(absent)} of the {len(asked)} ids in {ids} have no picture, among them "
                f"{', '.join(sorted(absent)[:5])}; give the places of their pictures too."
            )
        listed = listed.select(asked)
    with progress_bar(console) as progress:
        bar = progress.add_task("predicting", total=len(listed))
        table = predictor.predict(
            listed,
            views=views,
            shown=shown,
            level=level,
            on_progress=lambda done, _: progress.update(bar, completed=done),
        )
    if asked is not None:
        place = {galaxy: row for row, galaxy in enumerate(table["id"].to_pylist())}
        table = table.take([place[galaxy] for galaxy in asked])
    statuses = Counter(table["status"].to_pylist())
    if layout is Layout.challenge:
        if failed := len(table) - statuses["ok"]:
            bad = table.filter(pc.not_equal(table["status"], "ok")).slice(0, 5).to_pylist()
            raise CatalogueError(
                f"A submission needs a prediction for every id, and {failed} pictures cannot be read: "
                + "; ".join(f"{row['id']} ({row['reason']})" for row in bad)
            )
        table = table.select(["id", *predictor.tree.columns])
        table = table.rename_columns(["GalaxyID", *predictor.tree.columns])
    write_table(table, out, overwrite=overwrite)
    said = ", ".join(f"{n} {status}" for status, n in statuses.items())
    if "unlike" in table.column_names and (unlike := pc.sum(table["unlike"]).as_py()):
        said += f"; {unlike} unlike the training galaxies"
    console.print(f"{len(table)} galaxies in {out}: {said}", soft_wrap=True)
