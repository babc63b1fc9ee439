"""`galvote pack`: decode pictures once into a store that training maps into memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.images import Geometry, PackedStore
    from galvote.io import Sources


def pack(
    places: Annotated[
        list[Path], typer.Argument(help="Pictures, folders of pictures, lists, catalogues or Parquet files.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the store.")],
    extent: Annotated[
        float, typer.Option(help="Central part to keep, in GZ2 pixels; 424 is the whole frame.")
    ] = 256.0,
    pixels: Annotated[int, typer.Option(help="Width of a cutout in its own pixels.")] = 128,
    shown: Annotated[
        float | None,
        typer.Option(
            min=1, help="What the pictures show, in GZ2 pixels; by default 424, but 256 if 128 × 128."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding threads; by default one for each core.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Start anew instead of resuming or refusing.")] = False,
) -> None:
    """Decode pictures once into a store of cutouts; a run that was stopped goes on where it was."""
    from collections import Counter

    from pydantic import ValidationError

    from galvote.cli.progress import plain_console
    from galvote.images import Geometry
    from galvote.io import list_sources

    try:
        geometry = Geometry(extent=extent, pixels=pixels)
    except ValidationError as error:
        problem = error.errors()[0]
        raise typer.BadParameter(problem["msg"], param_hint=f"--{problem['loc'][0]}") from None
    console = plain_console()
    sources = list_sources(places)
    store = pack_with_progress(
        sources, out, geometry, shown=shown, workers=workers, overwrite=overwrite, console=console
    )
    console.print(
        f"{len(store):,} cutouts of {pixels} × {pixels} pixels, extent {extent:g}, are in {out}.",
        soft_wrap=True,
    )
    if store.failures:
        kinds = Counter(status for _, status, _ in store.failures)
        said = ", ".join(f"{number:,} {status}" for status, number in kinds.most_common())
        console.print(f"{len(store.failures):,} pictures failed ({said}); the first of them:")
        for galaxy, status, reason in store.failures[:5]:
            console.print(f"  {galaxy}: {status}. {reason}", soft_wrap=True)


def pack_with_progress(
    sources: Sources,
    out: Path,
    geometry: Geometry,
    *,
    console: Console,
    shown: float | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> PackedStore:
    """Pack sources and show how far it is; see `galvote.images.pack`."""
    from galvote.cli.progress import progress_bar
    from galvote.images import pack as pack_sources

    with progress_bar(console, "{task.fields[failed]} failed") as progress:
        task = progress.add_task("packing", total=len(sources), failed=0)
        return pack_sources(
            sources,
            out,
            geometry,
            shown=shown,
            workers=workers,
            on_progress=lambda done, failed: progress.update(task, completed=done, failed=failed),
            overwrite=overwrite,
        )
