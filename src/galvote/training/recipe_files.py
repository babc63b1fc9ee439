"""Reading a recipe, changing its settings, and saying what is wrong with one."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from galvote.errors import RecipeError
from galvote.models import find_model, load_card
from galvote.models.encoders import ENCODERS, NetworkSpec, find_encoder
from galvote.recipes import read_recipe
from galvote.training.pretrained import IMAGENET, RANDOM
from galvote.training.recipe import CampaignSection, Recipe

_SHORT_FORMS = {
    "arch": "encoder", "backbone": "encoder", "batch": "batch_size", "bs": "batch_size", "ema": "ema_decay",
    "fov": "field_of_view", "image_size": "pixels", "imgsz": "pixels", "init": "pretrained",
    "lr": "learning_rate", "model": "encoder", "opt": "optimizer", "sched": "schedule",
    "scheduler": "schedule", "wd": "weight_decay", "weights": "pretrained",
}  # fmt: skip
"""What other programs call settings that are spelled otherwise here."""


def load_recipe(name: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name or from a TOML file, with changed settings.

    Parameters
    ----------
    name
        A name that `galvote.list_recipes` lists, or the path of a TOML file.
    settings
        Changes such as ``training.learning_rate=3e-4``; values are TOML, and bare words are strings.

    Raises
    ------
    RecipeError
        If there is no such recipe, a key is unknown (the message says the nearest valid one), or a value is
        out of range.
    """
    _, data = read_recipe(name)
    data.setdefault("name", Path(name).stem)
    settings = [settings] if isinstance(settings, str) else settings
    for setting in settings:
        _apply(data, setting)
    _inherit(data)
    return validate_recipe(data, f"{name} with {', '.join(settings)}" if settings else str(name))


def validate_recipe(data: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """Build a recipe from plain data; `RecipeError` names every key that is wrong."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(data, problem)}" for problem in error.errors())
        raise RecipeError(f"{origin} is no valid recipe:\n{lines}") from error


def _apply(data: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise RecipeError(f"Cannot understand the setting {setting!r}; write it as section.key=value.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise RecipeError(f"Cannot set {key!r}: {section!r} is a value, not a section.")
    place[last] = value


def _inherit(data: dict[str, Any]) -> None:
    """Fill in what a recipe without an encoder leaves open by what the model has that it begins from."""
    own = {name: data.get(name, {}) for name in ("network", "cutout", "augmentation", "training")}
    if not all(isinstance(section, dict) for section in own.values()) or "encoder" in own["network"]:
        return
    first = own["training"].get("pretrained", RANDOM)
    if first in (RANDOM, IMAGENET, "teacher"):
        return
    card = load_card(find_model(str(first)))
    data["network"] = {**card.network.model_dump(), **own["network"]}
    data["cutout"] = {**card.cutout.model_dump(), **own["cutout"]}
    # Models whose head alone was fitted do not say how views are drawn.
    drawn = card.recipe.get("augmentation", {"rotation": True, "flip": True})
    data["augmentation"] = {**drawn, **own["augmentation"]}


def _explain(data: Mapping[str, Any], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] != "extra_forbidden":
        return ": ".join(part for part in (key, problem["msg"].removeprefix("Value error, ")) if part)
    owners = [name for name, spec in ENCODERS.items() if path[-1] in spec.model_fields]
    if path[0] == "network" and owners:
        return f"{key} is a setting of the encoder {' or '.join(owners)} alone; leave it out"
    return f"{key} is unknown; the nearest valid name is {_nearest_name(path, data)!r}"


def _nearest_name(path: Sequence[str], data: Mapping[str, Any]) -> str:
    """Return the setting that is spelled most like an unknown one, rather in its section than in another."""
    wanted = _SHORT_FORMS.get(path[-1], path[-1])

    def likeness(name: str) -> float:
        *section, last = name.split(".")
        return difflib.SequenceMatcher(None, wanted, last).ratio() + 0.2 * (section == [*path[:-1]])

    return max(_names(data), key=likeness)


def _names(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every section and setting, as in ``training.epochs``."""
    for name, field in Recipe.model_fields.items():
        yield name
        section = _network_spec(data) if name == "network" else field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from (f"{name}.{setting}" for setting in section.model_fields)
    for name in data.get("campaigns", {}):
        yield from (f"campaigns.{name}.{setting}" for setting in CampaignSection.model_fields)


def _network_spec(data: Mapping[str, Any]) -> type[NetworkSpec]:
    try:
        return find_encoder(data["network"]["encoder"])
    except (KeyError, TypeError, ValueError):
        return NetworkSpec
