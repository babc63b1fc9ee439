"""The `galvote` command: one module per verb, which imports what it needs when it runs."""

import sys

import typer

from galvote.cli.calibrate import calibrate
from galvote.cli.cutouts import cutouts
from galvote.cli.demo import demo
from galvote.cli.evaluate import evaluate
from galvote.cli.export import export
from galvote.cli.field import field
from galvote.cli.models import models
from galvote.cli.pack import pack
from galvote.cli.parts import parts
from galvote.cli.predict import predict
from galvote.cli.serve import serve
from galvote.cli.simulate import simulate
from galvote.cli.sweep import sweep
from galvote.cli.train import train
from galvote.cli.tree import tree
from galvote.errors import GalvoteError

app = typer.Typer(
    name="galvote",
    help="From a picture of a galaxy to the votes of a crowd.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(calibrate)
app.command()(cutouts)
app.command()(demo)
app.command()(evaluate)
app.command()(export)
app.command()(field)
app.command()(models)
app.command()(pack)
app.command()(parts)
app.command()(predict)
app.command()(serve)
app.command()(simulate)
app.command()(sweep)
app.command()(train)
app.command()(tree)


def main() -> None:
    """Run the command line; what galvote raises on purpose is printed without a traceback."""
    try:
        app()
    except GalvoteError as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("Stopped.", fg="yellow", err=True)
        sys.exit(130)
