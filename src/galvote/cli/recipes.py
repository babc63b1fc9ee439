"""`galvote recipes`: what can be trained, and how well it does."""

import json
from dataclasses import asdict
from typing import Annotated

import typer


def recipes(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List the recipes that ship, with their scores and costs."""
    from galvote.recipes import list_recipes

    if json_:
        typer.echo(json.dumps([asdict(recipe) for recipe in list_recipes()], indent=2))
        return
    for recipe in list_recipes():
        typer.secho(recipe.name, bold=True)
        typer.echo(f"  {recipe.description}")
        if recipe.score:
            typer.echo(f"  {recipe.score}")
        if recipe.teacher:
            typer.echo(f"  teacher: {recipe.teacher}")
