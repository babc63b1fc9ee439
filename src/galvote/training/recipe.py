"""A recipe: everything that makes a trained model, validated; docs/recipes.md explains the keys."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    StringConstraints,
    model_validator,
)

from galvote.images import Changes, Geometry
from galvote.models.description import HeadKind
from galvote.models.encoders import ENCODERS, NetworkSpec
from galvote.models.losses import LossKind

_LOSSES: Mapping[HeadKind, tuple[LossKind, ...]] = {
    "sigmoid": ("squared",),
    "softmax": ("squared", "cross-entropy"),
    "rectified": ("squared",),
    "dirichlet": ("dirichlet-multinomial",),
}
"""The losses that each head can learn by."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSection(_Section):
    """Which galaxies are learned from."""

    labels: Literal["all", "complete"] = "all"
    hard_label_fraction: float = Field(1.0, ge=0, le=1)
    representative: float = Field(0.0, ge=0, lt=1)
    unlabelled: bool = False
    validation: float = Field(0.1, gt=0, lt=1)


class AugmentationSection(_Section):
    """How views are drawn in training; by default every view is the identity."""

    rotation: bool = False
    flip: bool = False
    shift: float = Field(0.0, ge=0, le=0.5)
    zoom: float = Field(1.0, ge=1, le=4)
    colour: float = Field(0.0, ge=0)
    changes: Changes = Changes()


def _one_or_more(names: object) -> object:
    return () if names is None else (names,) if isinstance(names, str) else names


class TrainingSection(_Section):
    """Optimisation."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(128, ge=2)
    loss: LossKind = "squared"
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    warmup: float = Field(0.0, ge=0, lt=1)
    milestones: tuple[float, ...] = ()
    ema_decay: float = Field(0.0, ge=0, lt=1)
    classes_weight: float = Field(0.0, ge=0)
    pretrained: str = "random"
    layer_decay: float = Field(1.0, gt=0, le=1)
    freeze_batch_norm: bool = False
    patience: int | None = Field(None, ge=1)
    teacher: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    teacher_recipe: str | None = None
    teacher_weight: float = Field(0.5, gt=0, le=1)
    teacher_tta: int = Field(2, ge=1)
    progressive_resizing: int | None = Field(None, ge=8)
    unnormalised: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @property
    def has_teacher(self) -> bool:
        """Whether a teacher's predictions are learned from."""
        return bool(self.teacher) or self.teacher_recipe is not None

    @property
    def first_weights(self) -> str:
        """What `pretrained` stands for, once there is a teacher."""
        return self.teacher[0] if self.pretrained == "teacher" and self.teacher else self.pretrained

    @model_validator(mode="after")
    def _check_teacher(self) -> "TrainingSection":
        if self.pretrained == "teacher" and not self.has_teacher:
            raise ValueError("pretrained = 'teacher' needs a teacher: give teacher or teacher_recipe")
        return self


class CampaignSection(_Section):
    """A further table of labels, with a tree and a head of its own; where it lies is not kept on cards."""

    votes: str | None = Field(None, exclude=True)
    tree: str | None = Field(None, exclude=True)
    weight: float = Field(1.0, gt=0)


CampaignName = Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]


class Recipe(_Section):
    """Everything that makes a trained model.

    Parameters
    ----------
    name
        What the model is called.
    description
        One line for its card.
    seed
        Of the weights, the order of the galaxies, their views and dropout.
    cutout
        What images are brought to, once, before training.
    network
        Encoder, head and what they see of the cutout.
    data, augmentation, training
        Which galaxies are learned from, how their views are drawn, and how weights are optimised.
    campaigns
        Further tables of labels, by name.
    """

    name: str
    description: str = ""
    seed: int = Field(default=0, ge=0)
    cutout: Geometry = Geometry()
    network: SerializeAsAny[NetworkSpec]
    data: DataSection = DataSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection = TrainingSection()
    campaigns: Mapping[CampaignName, CampaignSection] = {}

    @model_validator(mode="after")
    def _check_field_of_view(self) -> "Recipe":
        if self.network.field_of_view > self.cutout.field_of_view:
            raise ValueError(
                f"network.field_of_view = {self.network.field_of_view:g} is more than cutout.field_of_view = "
                f"{self.cutout.field_of_view:g}: the network cannot see what was cut off"
            )
        return self

    @model_validator(mode="after")
    def _check_growth(self) -> "Recipe":
        first, network = self.training.progressive_resizing, self.network
        if first is None:
            return self
        if not network.any_width:
            fitting = _either([name for name, spec in ENCODERS.items() if spec.any_width])
            raise ValueError(
                f"training.progressive_resizing = {first} makes images grow, and {network.encoder} takes "
                f"one width alone; leave it out, or choose the encoder {fitting}"
            )
        if first > network.pixels:
            raise ValueError(
                f"training.progressive_resizing = {first} is more than network.pixels = {network.pixels}"
            )
        return self

    @model_validator(mode="after")
    def _check_unlabelled(self) -> "Recipe":
        if self.data.unlabelled and not self.training.has_teacher:
            raise ValueError(
                "data.unlabelled = true learns what a teacher says of images without labels: give "
                "training.teacher or training.teacher_recipe, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> "Recipe":
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
                "a teacher predicts fractions, and training.loss = 'dirichlet-multinomial' learns from "
                "numbers of votes alone; leave the teacher out, or choose another loss and head"
            )
        return self

    def extends(self, earlier: "Recipe") -> bool:
        """Return whether this is an earlier recipe with more epochs, so that a run of that may go on with it.

        Parameters
        ----------
        earlier
            The recipe that a run was begun with.
        """
        return self.training.epochs > earlier.training.epochs and self._in_epochs() == earlier._in_epochs()

    def why_no_more_epochs(self) -> str:
        """Return which settings are shares of the epochs, so that a run cannot be given more of them."""
        training = self.training
        if training.schedule == "steps":
            return "milestones are shares of the epochs; give others that leave the steps where they were"
        spread = [name for name, used in self._spread().items() if used]
        return f"{' and '.join(spread)} {'is' if len(spread) == 1 else 'are'} spread over all epochs"

    def _spread(self) -> dict[str, bool]:
        training = self.training
        return {
            "training.schedule": training.schedule == "cosine",
            "training.progressive_resizing": training.progressive_resizing is not None,
            "training.unnormalised": training.unnormalised > 0,
            "data.representative": self.data.representative > 0,
        }

    def _in_epochs(self) -> dict[str, object]:
        """Return all settings, without the number of epochs unless others are shares of it."""
        settings = self.model_dump()
        training = settings["training"]
        epochs = training["epochs"] if any(self._spread().values()) else training.pop("epochs")
        training["milestones"] = [round(share * epochs, 6) for share in self.training.milestones]
        return settings


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
