"""`galvote votes`: a Zooniverse export of classifications to votes of a tree."""

from pathlib import Path
from typing import Annotated

import typer


def votes(
    export: Annotated[Path, typer.Argument(help="Classification export of a Zooniverse project, CSV.")],
    tree: Annotated[
        str, typer.Option(help="TOML file of a tree; its \\[zooniverse] says which task is which question.")
    ],
    out: Annotated[Path, typer.Option(help="Table to write.")],
    workflow: Annotated[
        int | None, typer.Option(help="Number of the workflow, if there are several.")
    ] = None,
    workflow_version: Annotated[
        list[int] | None,
        typer.Option(help="Version of the workflow that counts; may be given again. The last if not given."),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Metadata of the subjects with the galaxies' ids, or names of their images."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Count the votes of a Zooniverse project, each volunteer once for each galaxy."""
    from galvote.cli.progress import plain_console
    from galvote.io import refuse_unwritable, write_table
    from galvote.labels.zooniverse import count_votes

    console = plain_console(stderr=True)
    refuse_unwritable(out, overwrite)
    counted = count_votes(
        export,
        tree,
        workflow=workflow,
        versions=workflow_version or (),
        id_column=id_column,
        report=lambda sentence: console.print(sentence, soft_wrap=True),
    )
    write_table(counted.to_arrow(), out, overwrite=overwrite)
    console.print(f"Votes: {out}", soft_wrap=True)
