"""What the server answers, version 1. Fields may be added; none changes its meaning or goes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answer(_Part):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True)

    version: Literal["1"] = Field("1", alias="schema", description="version of this form")


class Problem(_Part):
    """Why a request was refused."""

    status: str = Field(description="one word for a program", examples=["too-large"])
    message: str = Field(description="what is wrong, and what to do next")


class ProblemAnswer(_Answer):
    """What every refusal looks like."""

    error: Problem


class ModelUsed(_Part):
    """Which model answered."""

    name: str = Field(examples=["galvote-small"])
    weights_sha256: str = Field(description="SHA-256 of the file of weights")
    galvote: str = Field(description="version of galvote")


class ModelChoice(_Part):
    """A model that can be asked for."""

    name: str
    description: str
    weights_sha256: str
    parameters: int
    field_of_view: float = Field(description="width that it sees, in r90; a GZ2 frame is 8.48 wide")
    calibrated: bool = Field(description="whether it gives intervals and the flag")
    rmse_1_view: float | None = Field(description="on galaxies that it did not learn from; null: unknown")
    rmse_8_views: float | None


class ModelsAnswer(_Answer):
    """The models that this server has."""

    models: list[ModelChoice]
    default: str = Field(description="the one that answers if none is asked for")


class TreeAnswerChoice(_Part):
    """One answer of a question."""

    column: str = Field(examples=["Class1.1"])
    text: str = Field(description="as volunteers saw it", examples=["smooth"])
    phrase: str = Field(description="as a decision path says it", examples=["smooth"])
    next: str | None = Field(description="key of the question that follows; null at the end")


class TreeQuestion(_Part):
    """One question of the tree."""

    key: str = Field(examples=["smooth_or_features"])
    text: str
    answers: list[TreeAnswerChoice]
    qualifies: bool = Field(description="it describes the answer before it further, after a comma")
    always_asked: bool = Field(description="its fractions sum to 1 whatever share of volunteers saw it")


class TreeAnswer(_Answer):
    """The questions, the first one first asked."""

    name: str
    questions: list[TreeQuestion]


class Step(_Part):
    """One question on a decision path, and the answer with most votes."""

    question: str = Field(examples=["smooth_or_features"])
    answer: str = Field(examples=["Class1.1"])
    text: str = Field(description="the answer in words", examples=["smooth"])
    fraction: float = Field(description="share of those who were asked, 0 to 1")


class Fraction(_Part):
    """A cumulative vote fraction with its interval."""

    value: float = Field(description="share of all volunteers who give this answer, 0 to 1")
    low: float | None = Field(description="end of the interval; null if the model is not calibrated")
    high: float | None


class Galaxy(_Part):
    """One picture: what the volunteers would say, or why there is no saying."""

    id: str = Field(description="the file's name without its path", examples=["ngc-4321.jpg"])
    status: str = Field(description="ok, or what is wrong with the file", examples=["ok"])
    reason: str = Field(description="a sentence; empty if all is well")
    ood: bool | None = Field(
        description="whether the picture is unlike the galaxies that the model learned from; null: unknown"
    )
    path: list[Step] = Field(description="down the tree along the answers with most votes")
    fractions: dict[str, Fraction] | None = Field(description="by column; null if the status is not ok")


class PredictAnswer(_Answer):
    """One row for each picture, in order."""

    model: ModelUsed
    tta: int
    level: float
    galaxies: list[Galaxy]


class Heat(_Part):
    """A number for each pixel that the network saw, rows from the top."""

    width: int
    height: int
    values: list[list[float]] = Field(description="how much each pixel mattered; the most is 1")


class ExplainAnswer(_Answer):
    """Where the network looked."""

    model: ModelUsed
    method: str
    question: str
    answer: str
    fraction: float = Field(description="of this answer among those who were asked, 0 to 1")
    heat: Heat
    overlay: str = Field(description="PNG as a data URL: the heat over what the network saw")
    cutout: str = Field(description="PNG as a data URL: what the network saw")


class RotateAnswer(_Answer):
    """The same galaxy rotated."""

    model: ModelUsed
    angles: list[float] = Field(description="degrees, counter-clockwise")
    fractions: dict[str, list[float]] = Field(description="by column: the fraction at each angle")
    change: float = Field(description="mean absolute difference from the mean over all angles")


class FieldGalaxyRow(Galaxy):
    """One galaxy of a wide picture; its id is its number, 1 for the brightest."""

    x: float = Field(description="of its centre in pixels, from the left; the first pixel's centre is 0")
    y: float = Field(description="from the top")
    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 of what the model saw")
    r90: float = Field(description="pixels: radius of the circle with 90 % of its Petrosian flux")
    touches_edge: bool
    crowded: bool
    thumbnail: str = Field(description="PNG as a data URL")


class FieldAnswer(_Answer):
    """The galaxies of a wide picture, the brightest first."""

    model: ModelUsed
    width: int
    height: int
    too_small: int = Field(description="more that are too small or faint to classify")
    left_out: int = Field(description="more that are large enough, beyond the limit that was asked for")
    tta: int
    level: float
    galaxies: list[FieldGalaxyRow]
    image: str | None = Field(
        None, description="if it was asked for, JPEG of at most 4,096 pixels a side as a data URL"
    )


class Example(_Part):
    """A drawn galaxy to try the server with."""

    name: str
    url: str


class Health(_Part):
    """Whether the server lives, or is ready."""

    status: str = Field(examples=["ok"])
