"""`galvote simulate`: galaxies of known shape with the votes of a simulated crowd."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    count: Annotated[int, typer.Option(min=1, help="How many galaxies.")],
    out: Annotated[Path, typer.Option(help="Folder to write, in the challenge's layout.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other galaxies.")] = 0,
    start: Annotated[
        int, typer.Option(min=0, help="Index of the first galaxy; its id is 100000 + index.")
    ] = 0,
    pixels: Annotated[
        int, typer.Option(help="Width of the pictures: 424 for the whole GZ2 frame, 128 for its centre.")
    ] = 128,
    overwrite: Annotated[bool, typer.Option(help="Replace the galaxies of an earlier simulation.")] = False,
) -> None:
    """Render galaxies of known shape and let a simulated crowd vote on them."""
    from rich.console import Console
    from rich.progress import Progress

    from galvote.images.simulate import simulate_galaxies, write_galaxies

    console = Console()
    galaxies = simulate_galaxies(count, seed, pixels, start)
    with Progress(console=console) as progress:
        task = progress.add_task("simulating", total=count)
        write_galaxies(out, galaxies, overwrite=overwrite, on_progress=lambda _: progress.advance(task))
    console.print(f"{count} galaxies and the votes on them are in {out}.")
