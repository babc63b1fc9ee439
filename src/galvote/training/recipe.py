"""A recipe: everything that makes a trained model, as a frozen, validated TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from galvote.errors import RecipeError
from galvote.images import Geometry
from galvote.models.encoders import ENCODERS, NetworkSpec, find_encoder
from galvote.models.heads import HeadKind
from galvote.models.losses import LossKind

_LOSSES: Mapping[HeadKind, tuple[LossKind, ...]] = {
    "sigmoid": ("squared",),
    "softmax": ("squared", "cross-entropy"),
    "rectified": ("squared",),
    "entmax": ("squared",),
    "sparsemax": ("squared",),
    "dirichlet": ("dirichlet-multinomial",),
}
"""The losses that each head can learn by."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSection(_Section):
    """Which galaxies are learned from."""

    labels: Literal["all", "complete"] = Field(
        default="all",
        description="`complete`: galaxies with all columns; `all`: others too, unknown columns masked",
    )
    class_only: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of the galaxies with nothing but a hard class that an epoch draws",
    )
    unbiased: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the epochs, the last ones, that draw from the unbiased sample alone",
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
    loss: LossKind = Field(
        default="squared", description="what is minimised; `dirichlet-multinomial` needs numbers of votes"
    )
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
    start: str = Field(
        default="random",
        description="weights to begin with: `random`, `imagenet`, `teacher`, or a saved model of its kind",
    )
    teacher: str | None = Field(
        default=None, description="saved model whose predictions are learned from, beside the votes"
    )
    teacher_recipe: str | None = Field(
        default=None, description="recipe of the teacher, which is trained first, if no teacher is named"
    )
    teacher_weight: float = Field(
        default=0.5, gt=0, le=1, description="share of the teacher in what is learned where votes are known"
    )
    teacher_views: int = Field(default=2, ge=1, description="views that the teacher averages")
    first_pixels: int | None = Field(
        default=None,
        ge=8,
        description="width of the input at first; grows to `network.pixels` by three quarters of the epochs",
    )
    unnormalised: float = Field(
        default=0.0, ge=0, lt=1, description="share of the epochs before a rectified head divides by its sum"
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @property
    def has_teacher(self) -> bool:
        """Whether a teacher's predictions are learned from."""
        return self.teacher is not None or self.teacher_recipe is not None

    @property
    def first_weights(self) -> str:
        """What `start` stands for, once there is a teacher."""
        return self.teacher if self.start == "teacher" and self.teacher is not None else self.start

    @model_validator(mode="after")
    def _check_teacher(self) -> TrainingSection:
        if self.start == "teacher" and not self.has_teacher:
            raise ValueError("start = 'teacher' needs a teacher: give teacher or teacher_recipe")
        return self


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
    network: SerializeAsAny[NetworkSpec]
    data: DataSection = DataSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()

    @model_validator(mode="after")
    def _check_extents(self) -> Recipe:
        if self.network.field_of_view > self.cutout.field_of_view:
            raise ValueError(
                f"network.field_of_view = {self.network.field_of_view:g} is more than cutout.field_of_view = "
                f"{self.cutout.field_of_view:g}: the network cannot see what was cut off"
            )
        return self

    @model_validator(mode="after")
    def _check_growth(self) -> Recipe:
        first, network = self.training.first_pixels, self.network
        if first is None:
            return self
        if not network.any_width:
            fitting = _either([name for name, spec in ENCODERS.items() if spec.any_width])
            raise ValueError(
                f"training.first_pixels = {first} makes pictures grow, and {network.encoder} takes one width "
                f"alone; leave it out, or choose the encoder {fitting}"
            )
        if first > network.pixels:
            raise ValueError(
                f"training.first_pixels = {first} is more than network.pixels = {network.pixels}"
            )
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> Recipe:
        loss, head = self.training.loss, self.network.head
        if loss not in _LOSSES[head]:
            heads = [kind for kind, losses in _LOSSES.items() if loss in losses]
            raise ValueError(
                f"training.loss = {loss!r} does not go with network.head = {head!r}: "
                f"{_why_unfit(loss, head)}. Set training.loss to {_either(_LOSSES[head])}, or network.head "
                f"to {_either(heads)}"
            )
        if loss == "dirichlet-multinomial" and self.training.has_teacher:
            raise ValueError(
                "training.teacher teaches fractions, and training.loss = 'dirichlet-multinomial' learns from "
                "numbers of votes alone; leave the teacher out, or choose another loss and head"
            )
        return self


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
    return validate_recipe(data, f"{name} with {', '.join(settings)}" if settings else str(name))


def validate_recipe(data: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """Build a recipe from plain data, or raise `RecipeError`."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [_explain(data, problem) for problem in error.errors()]
        raise RecipeError(
            f"{origin} is no valid recipe:\n" + "\n".join(f"  {line}" for line in lines)
        ) from error


def _why_unfit(loss: LossKind, head: HeadKind) -> str:
    match loss, head:
        case "dirichlet-multinomial", _:
            return "that head has no concentrations"
        case _, "dirichlet":
            return "only numbers of votes tell how wide that head's distributions are"
        case _, "sigmoid":
            return "that head has no conditional fractions"
        case _:
            return "where that head says zero the loss is infinite and, cut off, has no gradient"


def _either(values: Sequence[str]) -> str:
    return " or ".join(map(repr, values))


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
    key = ".".join(path)
    if problem["type"] != "extra_forbidden":
        return ": ".join(part for part in (key, problem["msg"].removeprefix("Value error, ")) if part)
    return f"{key} is unknown; the nearest valid name is {_nearest_name(path, data)!r}"


def _nearest_name(path: Sequence[str], data: Mapping[str, Any]) -> str:
    """Return the setting that is spelled most like an unknown one, rather in its section than in another."""

    def likeness(name: str) -> float:
        *section, last = name.split(".")
        return difflib.SequenceMatcher(None, path[-1], last).ratio() + 0.2 * (section == [*path[:-1]])

    return max(_names(data), key=likeness)


def _names(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every section and setting, as in ``training.epochs``."""
    for name, field in Recipe.model_fields.items():
        yield name
        section = _network_spec(data) if name == "network" else field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from (f"{name}.{setting}" for setting in section.model_fields)


def _network_spec(data: Mapping[str, Any]) -> type[NetworkSpec]:
    try:
        return find_encoder(data["network"]["encoder"])
    except (KeyError, TypeError, ValueError):
        return NetworkSpec
