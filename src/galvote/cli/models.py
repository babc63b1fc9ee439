"""`galvote models`: what the models that ship are, how well they do and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.weights import ModelSummary


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show all about a model: a shipped name, or its folder; or list a folder of models."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure what computes galvote-small the fastest here.")
    ] = False,
) -> None:
    """List the models that ship, or those in a folder, or show all that is known about one."""
    from rich.console import Console

    from galvote.weights import list_models, summarise_model

    console = Console(highlight=False)
    if speed:
        _print_speeds(console)
        return
    is_model = name is not None and any(Path(name, part, "card.json").is_file() for part in ("", "best"))
    own = () if name is None or is_model else list_models(name)
    if name is None or own:
        listed = own or list_models()
        if json_:
            typer.echo(json.dumps([asdict(model) for model in listed], indent=2))
        else:
            _print_list(console, listed)
        return
    from galvote.models import find_model, load_card

    folder = find_model(name)
    card = load_card(folder).model_dump(mode="json")
    summary = summarise_model(folder, card)
    if json_:
        typer.echo(json.dumps(card | asdict(summary), indent=2))
    else:
        _print_card(console, summary, card)


def _print_speeds(console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from galvote.inference.speed import fastest_backend, measure_speeds

    table = Table("backend", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("cutouts/s on one core", justify="right")
    for name, speed in measure_speeds(anew=True).items():
        table.add_row(name, f"{speed:,.0f}")
    console.print(table, f"`auto` takes {fastest_backend()}.")


def _read_card(directory: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((Path(directory) / "card.json").read_bytes())
    return card


def _print_list(console: Console, models: Sequence[ModelSummary]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table, notes = Table("model", box=SIMPLE_HEAD, pad_edge=False), dict[str, None]()
    for heading in ("RMSE\nTTA 1", "RMSE\nTTA 8", "galaxies/s\nTTA 1", "parameters", "MB", "calibrated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for model in models:
        speed = model.speed["galaxies_per_second"].get("1") if model.speed else None
        table.add_row(
            f"[bold]{escape(model.name)}[/]",
            *(_number(score, ".4f") for score in (model.rmse_tta_1, model.rmse_tta_8)),
            _number(speed, ",.0f"),
            f"{model.parameters:,}",
            f"{model.bytes / 1e6:.1f}",
            _in_words(model.calibrated),
        )
        if what := _read_card(model.directory)["scores"].get("what"):
            notes[f"{what}."] = None
        if model.speed is not None and speed is not None:
            notes[f"Galaxies/s: {model.speed['what']}, one thread; {model.speed['machine']}."] = None
    console.print(table)
    for model in models:
        console.print(f"[bold]{escape(model.name)}[/]: {escape(model.description)}.", soft_wrap=True)
    for note in (*notes, "`galvote models NAME` shows all that is known about one."):
        console.print(note, style="dim", soft_wrap=True)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _print_card(console: Console, model: ModelSummary, card: Mapping[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    questions = card["tree"]["questions"]
    answers = sum(len(question["answers"]) for question in questions)
    about = {
        "description": model.description,
        "parameters": model.parameters,
        "size": f"{model.bytes / 1e6:.1f} MB",
        "calibrated": model.calibrated,
        "predicts": f"{answers} answers to {len(questions)} questions ({card['tree']['name']})",
        "folder": model.directory,
        "saved": card.get("saved"),
        "weights_sha256": card.get("weights_sha256"),
    }
    # The recipe has cutout and network too.
    parts = {
        "scores": "Scores",
        "calibration": "Calibration",
        "data": "Learned from",
        "recipe": "Recipe",
        "versions": "Versions",
    }
    for title, members in ({model.name: about} | {parts[key]: card.get(key, {}) for key in parts}).items():
        table = Table(title=escape(title), title_justify="left", show_header=False, box=None)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in _flatten(members):
            table.add_row(escape(key), escape(value))
        if table.row_count:
            console.print(table)
            console.print()


def _flatten(members: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each member's dotted name, as in a recipe, and its value in words."""
    for key, value in members.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _in_words(value)


def _in_words(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case list():
            return ", ".join(map(_in_words, value)) or "none"
    return str(value)
