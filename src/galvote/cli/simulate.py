"""`galvote simulate`: galaxies of known shape with the votes of simulated volunteers."""

from pathlib import Path
from typing import Annotated

import typer

from galvote.cli import options

_which = options.group("Which galaxies")


def simulate(
    count: Annotated[int, typer.Option(min=1, help="How many galaxies.")],
    out: Annotated[Path, typer.Option(help="Folder to write, in the challenge's layout.")],
    seed: Annotated[int, _which(min=0, help="Another seed gives other galaxies.")] = 0,
    start: Annotated[int, _which(min=0, help="Index of the first galaxy; its id is 100000 + index.")] = 0,
    pixels: Annotated[
        int, typer.Option(help="Width of the images: 424 for the whole GZ2 frame, 128 for its centre.")
    ] = 128,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the galaxies of an earlier simulation.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Also draw a PNG with one galaxy of each kind, the clearest.")
    ] = None,
) -> None:
    """Render galaxies of known shape and let simulated volunteers vote on them."""
    from galvote.cli.progress import plain_console, progress_bar
    from galvote.io.atomic import refuse_existing
    from galvote.simulate import ContactSheet, SimulatedGalaxy, simulate_galaxies, write_galaxies

    if sheet:
        refuse_existing(sheet, overwrite=overwrite)
    console, clearest = plain_console(), ContactSheet()
    galaxies = simulate_galaxies(count, seed, pixels, start)
    with progress_bar(console) as progress:
        task = progress.add_task("simulating", total=count)

        def note(galaxy: SimulatedGalaxy) -> None:
            clearest.add(galaxy)
            progress.advance(task)

        write_galaxies(out, galaxies, overwrite=overwrite, on_progress=note)
    console.print(f"{count} galaxies and the votes on them are in {out}.")
    if sheet:
        clearest.save(sheet)
        console.print(f"One galaxy of each kind is shown in {sheet}.")
