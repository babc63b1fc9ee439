"""A recipe: everything that makes a trained model, as a frozen, validated TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galvote.errors import RecipeError
from galvote.images import Geometry
from galvote.model import NetworkSpec


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(_Section):
    """Which galaxies are learned from."""

    labels: Literal["all", "complete"] = Field(
        default="all",
        description="`complete`: galaxies with all columns; `all`: others too, unknown columns masked",
    )
    validation: float = Field(
        default=0.1, gt=0, lt=1, description="share of galaxies held out where no splits are given"
    )


class AugmentationSection(_Section):
    """How views are drawn in training; zeros mean that every view is the identity."""

    rotation: bool = Field(default=False, description="rotate by any angle")
    flip: bool = Field(default=False, description="mirror half of the views")
    shift: float = Field(default=0.0, ge=0, le=0.5, description="largest shift, as a share of the width")
    zoom: float = Field(default=1.0, ge=1, le=4, description="log-uniform zoom from 1/zoom to zoom")
    colour: float = Field(
        default=0.0,
        ge=0,
        description="sigma of the jitter along the principal axes of colour, in their units",
    )


class TrainingSection(_Section):
    """Optimisation."""

    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=128, ge=2)
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "steps"] = Field(
        default="constant",
        description="`cosine`: linear warm-up, then down to zero; `steps`: divided by ten at each milestone",
    )
    warmup: float = Field(default=0.0, ge=0, lt=1, description="share of the steps, for `cosine`")
    milestones: tuple[float, ...] = Field(default=(), description="shares of the epochs, for `steps`")
    average: float = Field(
        default=0.0, ge=0, lt=1, description="decay per step of the averaged weights that are kept; 0: none"
    )
    classes_weight: float = Field(
        default=0.0, ge=0, description="weight of the auxiliary loss on hard classes, where given"
    )
    unnormalised: float = Field(
        default=0.0, ge=0, lt=1, description="share of the epochs before a rectified head divides by its sum"
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class Recipe(_Section):
    """Everything that makes a trained model.

    Parameters
    ----------
    name
        What the model is called.
    cutout
        What pictures are brought to, once, before training.
    network
        Encoder, head and what they see of the cutout.
    seed
        Of the weights, the order of the galaxies, their views and dropout.
    """

    name: str
    description: str = ""
    seed: int = Field(default=0, ge=0)
    cutout: Geometry = Geometry()
    network: NetworkSpec
    data: DataSection = DataSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that ship with galvote."""
    folder = resources.files("galvote") / "recipes"
    return tuple(sorted(Path(str(file)).stem for file in folder.iterdir() if str(file).endswith(".toml")))


def load_recipe(name: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its name or from a TOML file, and change settings.

    Parameters
    ----------
    name
        A name from `recipe_names`, or the path of a TOML file.
    settings
        Changes such as ``training.learning_rate=3e-4``; values are TOML, and bare words are strings.

    Raises
    ------
    RecipeError
        If there is no such recipe, a key is unknown (the message says the nearest valid one), or a value is
        out of range.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in recipe_names():
            near = difflib.get_close_matches(str(name), recipe_names(), n=1, cutoff=0.3)
            raise RecipeError(
                f"No recipe {str(name)!r}{f'; did you mean {near[0]!r}?' if near else '.'} "
                f"There are {', '.join(recipe_names())}; or give the path of a .toml file."
            )
        path = Path(str(resources.files("galvote"))) / "recipes" / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}") from error
    data.setdefault("name", path.stem)
    for setting in settings:
        _apply(data, setting)
    return validate_recipe(data, str(path))


def validate_recipe(data: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """Build a recipe from plain data, or raise `RecipeError`."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [_explain(data, problem) for problem in error.errors()]
        raise RecipeError(
            f"{origin} is no valid recipe:\n" + "\n".join(f"  {line}" for line in lines)
        ) from error


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


def _explain(data: Mapping[str, Any], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    # The discriminator of the network's union stands in pydantic's path, though not in the file.
    path = [part for part in path if part not in _ENCODERS or part in data]
    key = ".".join(path)
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']}"
    known = _known_keys(path[:-1], data)
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.0)
    return f"{key} is unknown; the nearest valid name is {'.'.join([*path[:-1], *near])!r}"


def _known_keys(sections: Sequence[str], data: Mapping[str, Any]) -> list[str]:
    if list(sections) == ["network"]:
        encoder = data["network"].get("encoder")
        return list(_ENCODERS[encoder].model_fields)
    model: type[BaseModel] = Recipe
    for section in sections:
        annotation = model.model_fields[section].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)


_ENCODERS: dict[str, type[BaseModel]] = {
    get_args(spec.model_fields["encoder"].annotation)[0]: spec for spec in get_args(get_args(NetworkSpec)[0])
}
