"""What the server answers, version 1. Members may be added; none goes or changes its meaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from galvote.trees import DecisionTree


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
    """Every error."""

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
    calibrated: bool = Field(description="whether it gives intervals and the out-of-distribution score")
    explains: bool = Field(description="whether /v1/explain works; exported models cannot be looked into")
    rmse_tta_1: float | None = Field(description="on galaxies that it was not trained on; null: unknown")
    rmse_tta_8: float | None
    tree: DecisionTree


class ModelsAnswer(_Answer):
    """The models that this server has."""

    models: list[ModelChoice]
    default: str = Field(description="the one that answers if none is asked for")


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


class Number(_Part):
    """What a question asks whose answers are numbers."""

    value: float = Field(description="mean of the answers' values")
    low: float | None = Field(description="end of the interval; null if the model gives none")
    high: float | None
    unit: str | None = Field(description="of all three; empty for a pure number, null if unknown")


class Figures(_Part):
    """What a page shows of one galaxy."""

    wide: str = Field(description="SVG: the votes down the tree, for a desktop; /page/style.css has colours")
    narrow: str = Field(description="SVG: the same for a phone")
    cutout: str = Field(description="PNG as a data URL: what the model sees")


class Galaxy(_Part):
    """One image: what the volunteers would answer, or why there is no prediction."""

    id: str = Field(description="the file's name without its path", examples=["ngc-4321.jpg"])
    status: str = Field(description="ok, or what is wrong with the file", examples=["ok"])
    reason: str = Field(description="what is wrong, or what was done to the image; mostly empty")
    r90_pixels: float | None = Field(
        None, description="r90 in pixels of the image, measured or given; null if unknown or not asked for"
    )
    scale_factor: float | None = Field(
        None,
        description="times larger than in a GZ2 frame, if a scale was asked for; it is shown smaller by it",
    )
    ood: bool | None = Field(
        None, description="whether the image is out of distribution, so that intervals are not valid"
    )
    ood_score: float | None = Field(
        None, description="percentile, 0 to 100, of its distance among held-out galaxies"
    )
    kind: str | None = Field(None, description="in a word", examples=["spiral"])
    path: list[Step] = Field([], description="down the tree along the answers with most votes")
    summary: str = Field("", description="the path in words", examples=["featured → edge-on"])
    fractions: dict[str, Fraction] | None = Field(None, description="by column; null without a prediction")
    numbers: dict[str, Number] | None = Field(
        None, description="by question, if its answers are numbers; null without a prediction"
    )
    classes: list[str] | None = Field(
        None,
        description="of a calibrated model of classes: those that it may be; the share `level` of such lists "
        "hold the right one",
    )
    figures: Figures | None = Field(None, description="if they were asked for")


class PredictAnswer(_Answer):
    """One row for each image, in order."""

    model: ModelUsed
    tta: int
    level: float
    galaxies: list[Galaxy]
    remark: str = Field("", description="if no scale was asked for: what is wrong with that of the images")


class ExplainAnswer(_Answer):
    """Where the network looked."""

    model: ModelUsed
    method: str
    question: str
    answer: str
    fraction: float = Field(description="of this answer among those who were asked, 0 to 1")
    heat: list[list[float]] = Field(description="how much each pixel mattered, 0 to 1, rows from the top")
    overlay: str = Field(description="PNG as a data URL: the heat over what the network saw")


class RotateAnswer(_Answer):
    """The same galaxy rotated."""

    model: ModelUsed
    angles: list[float] = Field(description="degrees, counter-clockwise")
    fractions: dict[str, list[float]] = Field(description="by column: the fraction at each angle")
    change: float = Field(description="mean absolute difference from the mean over all angles")


class FieldGalaxyRow(Galaxy):
    """One galaxy of a wide image; its id is its number, 1 for the brightest."""

    x: float = Field(description="of its centre in pixels, from the left; the first pixel's centre is 0")
    y: float = Field(description="from the top")
    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 of the model's cutout")
    r90: float = Field(description="pixels: radius of the circle with 90 % of its Petrosian flux")
    touches_edge: bool
    crowded: bool


class FieldAnswer(_Answer):
    """The galaxies of a wide image, the brightest first."""

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
    """A galaxy to try the server with."""

    name: str
    url: str


class Health(_Part):
    """Whether the server is alive, or ready."""

    status: str = Field(examples=["ok"])
