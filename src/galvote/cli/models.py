"""`galvote models`: what the models that ship are, how well they do and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show the whole card of this model: a shipped name, or a folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List the models that ship, or show all that is known about one."""
    from json import dumps

    from rich.console import Console

    console = Console(highlight=False)
    if name is not None:
        chosen = _find(name)
        if json:
            typer.echo(dumps(chosen.card | chosen.summary(), indent=2))
        else:
            _print_card(console, chosen)
        return
    shipped = [_read(directory) for directory in _shipped()]
    if json:
        typer.echo(dumps([model.summary() for model in shipped], indent=2))
    else:
        _print_list(console, shipped)


@dataclass(frozen=True)
class _Model:
    """A saved model as its folder describes it; the weights stay where they are, and so does torch."""

    directory: Path
    card: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return what a user chooses by; what was not measured is ``None``."""
        scores = self.card["scores"]
        return {
            "name": self.directory.name,
            "description": self.card["description"],
            "parameters": self.card["parameters"],
            "bytes": sum(file.stat().st_size for file in self.directory.iterdir()),
            "rmse_1_view": scores.get("rmse_1_view"),
            "rmse_8_views": scores.get("rmse_8_views"),
            "speed": scores.get("speed"),
            "calibrated": bool(self.card.get("calibration")),
            "directory": str(self.directory),
        }


def _shipped() -> list[Path]:
    from importlib.resources import files

    weights = Path(str(files("galvote"))) / "weights"
    return sorted(card.parent for card in weights.glob("*/card.json"))


def _find(name: str) -> _Model:
    by_name = {directory.name: directory for directory in _shipped()}
    if name in by_name and not Path(name).exists():
        return _read(by_name[name])
    # A folder of the user's may hold anything, so its card is validated, at the price of importing torch.
    from galvote.models import find_model, load_card

    directory = find_model(name)
    return _Model(directory, load_card(directory).model_dump(mode="json"))


def _read(directory: Path) -> _Model:
    import json

    return _Model(directory, json.loads((directory / "card.json").read_bytes()))


def _print_list(console: Console, shipped: list[_Model]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("model", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("RMSE\n1 view", "RMSE\n8 views", "galaxies/s\n1 view", "parameters", "MB", "calibrated"):
        table.add_column(heading, justify="right", no_wrap=True)
    summaries = [model.summary() for model in shipped]
    for summary in summaries:
        table.add_row(
            f"[bold]{summary['name']}[/]",
            *(_number(summary[score], ".4f") for score in ("rmse_1_view", "rmse_8_views")),
            _number(_one_thread(summary["speed"]), ",.0f"),
            f"{summary['parameters']:,}",
            f"{summary['bytes'] / 1e6:.1f}",
            "yes" if summary["calibrated"] else "no",
        )
    console.print(table)
    for summary in summaries:
        console.print(f"[bold]{summary['name']}[/]: {summary['description']}.", soft_wrap=True)
    notes = {f"{model.card['scores']['what']}." for model in shipped if "what" in model.card["scores"]}
    notes |= {
        f"Galaxies/s: {summary['speed']['what']}, one thread; {summary['speed']['machine']}."
        for summary in summaries
        if _one_thread(summary["speed"]) is not None
    }
    for note in sorted(notes):
        console.print(note, style="dim", soft_wrap=True)
    console.print("`galvote models NAME` shows all that is known about one.", style="dim", soft_wrap=True)


def _one_thread(speed: Mapping[str, Any] | None) -> float | None:
    return speed["galaxies_per_second"].get("1") if speed else None


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _print_card(console: Console, model: _Model) -> None:
    from rich.markup import escape
    from rich.table import Table

    summary, card = model.summary(), model.card
    questions = card["tree"]["questions"]
    answers = sum(len(question["answers"]) for question in questions)
    about = {
        "description": summary["description"],
        "parameters": summary["parameters"],
        "size": f"{summary['bytes'] / 1e6:.1f} MB",
        "calibrated": summary["calibrated"],
        "predicts": f"{answers} answers to {len(questions)} questions ({card['tree']['name']})",
        "folder": summary["directory"],
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
    sections = {summary["name"]: about} | {title: card.get(key, {}) for key, title in parts.items()}
    for title, members in sections.items():
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
            yield f"{prefix}{key}", _say(value)


def _say(value: Any) -> str:
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
            return ", ".join(map(_say, value)) or "none"
    return str(value)
