"""The `galvote` command: one module per verb, which imports what it needs when it runs."""

import sys
from importlib import import_module
from itertools import chain, pairwise
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from galvote.cli.wrong_options import Verb
from galvote.errors import GalvoteError

VERBS = {
    "Use a model": ("predict", "evaluate", "field", "demo", "models"),
    "Make a model": ("finetune", "train", "calibrate", "sweep", "recipes", "export"),
    "Data": ("pack", "cutouts", "simulate", "shards", "tree", "votes"),
    "Serve": ("serve",),
}
"""The verbs by their group in the help; each is a function of that name in a module of that name."""


class _Verbs(TyperGroup):
    """Lists the verbs by their group without rich, which takes longer to import than all else together."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super(TyperGroup, self).format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for group, names in VERBS.items():
            with formatter.section(group):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in names])


app = typer.Typer(
    name="galvote",
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(asked: bool) -> bool:
    if asked:
        from galvote._version import __version__

        typer.echo(f"galvote {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _galvote(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Predict from an image of a galaxy what Galaxy Zoo volunteers would say about it."""


for _name in chain.from_iterable(VERBS.values()):
    app.command(cls=Verb)(getattr(import_module(f"galvote.cli.{_name}"), _name))


def _fail(reason: object) -> NoReturn:
    typer.secho(f"Error: {reason}", fg="red", err=True)
    sys.exit(2)


def main() -> None:
    """Run the command line; what galvote raises on purpose is printed without a traceback."""
    try:
        if "--out=-" in sys.argv or ("--out", "-") in pairwise(sys.argv):
            raise GalvoteError("galvote writes whole files, not to standard output; name one after --out.")
        app()
    except GalvoteError as error:
        _fail(error)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}. Check the path, and that you may read or write there.")
    except KeyboardInterrupt:
        typer.secho("Stopped.", fg="yellow", err=True)
        sys.exit(130)
