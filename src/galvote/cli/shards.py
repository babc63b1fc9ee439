"""`galvote shards`: how much of a prediction in shards is there."""

from pathlib import Path
from typing import Annotated

import typer


def shards(
    folder: Annotated[Path, typer.Argument(help="Folder that `galvote predict` writes shards to.")],
) -> None:
    """Show the progress of a run in shards.

    The exit status is 0 if everything is there and something could be predicted, else 1.
    """
    from galvote.cli.progress import exit_unless_any, plain_console
    from galvote.inference import Shards

    console = plain_console()
    begun = Shards.open(folder)
    manifest = begun.manifest
    missing, statuses = begun.count()
    there = manifest.shards - len(missing)
    console.print(f"{there} of {manifest.shards} shards, {statuses.total()} of {manifest.galaxies} galaxies:")
    for status, galaxies in statuses.most_common():
        console.print(f"  {galaxies} {status}")
    if missing:
        numbers = ", ".join(map(str, missing[:20])) + (", …" if len(missing) > 20 else "")
        console.print(f"Not there yet: {numbers}", soft_wrap=True)
    exit_unless_any(statuses["ok"] and not missing)
