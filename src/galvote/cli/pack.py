"""`galvote pack`: decode images once into a store that training maps into memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galvote.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.images import Geometry, PackedStore
    from galvote.io import Sources


def pack(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Images, folders of images, lists, catalogues or Parquet files."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the store.")],
    cutout_field_of_view: Annotated[
        float, typer.Option(help="Width of the central part to keep, in r90; 8.48 is a whole GZ2 frame.")
    ] = 5.12,
    pixels: Annotated[int, typer.Option(help="Width of a cutout in its own pixels.")] = 128,
    field_of_view: Annotated[
        float | None, typer.Option(min=0.02, help="Width of the images, in r90; 8.48 if not given.")
    ] = None,
    bands: options.Bands = None,
    stretch: options.Stretch = options.StretchName.lupton,
    id_column: options.IdColumn = None,
    recursive: options.Recursive = False,
    dataset: options.Dataset = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding threads; by default one for each core.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew instead of resuming or refusing.")
    ] = False,
) -> None:
    """Decode images once into a store of cutouts; the same command continues a stopped run."""
    from pydantic import ValidationError

    from galvote.cli.progress import exit_unless_any, plain_console
    from galvote.images import Geometry
    from galvote.io import list_sources
    from galvote.io.bands import Look

    try:
        geometry = Geometry(field_of_view=cutout_field_of_view, pixels=pixels)
    except ValidationError as error:
        problem = error.errors()[0]
        raise typer.BadParameter(problem["msg"], param_hint=f"--{problem['loc'][0]}") from None
    console = plain_console()
    sources = list_sources(
        images, id_column=id_column, dataset=dataset, recursive=recursive, look=Look.of(bands, stretch.value)
    )
    console.print(f"{sources.describe()}.", soft_wrap=True)
    store = pack_with_progress(
        sources,
        out,
        geometry,
        field_of_view=field_of_view,
        workers=workers,
        overwrite=overwrite,
        console=console,
    )
    console.print(
        f"{out}: {len(store):,} cutouts, {cutout_field_of_view:g} r90 on {pixels} × {pixels} pixels.",
        soft_wrap=True,
    )
    _print_failures(console, store)
    exit_unless_any(len(store))


def _print_failures(console: Console, store: PackedStore) -> None:
    kinds = Counter(status for _, status, _ in store.failures)
    if kinds:
        said = ", ".join(f"{number:,} {status}" for status, number in kinds.most_common())
        console.print(f"{len(store.failures):,} images failed ({said}); the first of them:")
    for galaxy, status, reason in store.failures[:5]:
        console.print(f"  {galaxy}: {status}. {reason}", soft_wrap=True)


def pack_with_progress(
    sources: Sources,
    out: Path,
    geometry: Geometry,
    *,
    console: Console,
    field_of_view: float | None = None,
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
            field_of_view=field_of_view,
            workers=workers,
            on_progress=lambda done, failed: progress.update(task, completed=done, failed=failed),
            overwrite=overwrite,
        )
