"""`galvote parts`: how much of a prediction in parts is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def parts(
    folder: Annotated[Path, typer.Argument(help="Folder that `galvote predict` writes parts to.")],
) -> None:
    """Say how much of a prediction in parts is there; the exit status is 0 if all of it is, else 1."""
    from rich.console import Console

    from galvote.inference import Parts

    console = Console(highlight=False, soft_wrap=True)
    begun = Parts.open(folder)
    plan = begun.plan
    missing, statuses = begun.count()
    there = plan.parts - len(missing)
    console.print(f"{there} of {plan.parts} parts, {statuses.total()} of {plan.galaxies} galaxies:")
    for status, galaxies in statuses.most_common():
        console.print(f"  {galaxies} {status}")
    if missing:
        said = ", ".join(map(str, missing[:20])) + (", …" if len(missing) > 20 else "")
        console.print(f"Not there yet: {said}")
        raise typer.Exit(1)
