"""Options of the verbs that predict."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galvote.errors import CatalogueError

if TYPE_CHECKING:
    from galvote.inference.predictor import Scale

PREDICTION = "What is predicted"

Model = Annotated[str, typer.Option(help="Name of a shipped model, a folder, or an exported .onnx file.")]
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="What computes: auto, torch, torch-float32, onnx or openvino; torch if not given, or auto for "
        "an exported model.",
        rich_help_panel=PREDICTION,
    ),
]
Tta = Annotated[int, typer.Option(min=1, help="Orientations averaged for each prediction.")]
Level = Annotated[
    float | None,
    typer.Option(
        help="Share of votes that the intervals are to hold, 0 to 1; 0.9 if not given.",
        rich_help_panel=PREDICTION,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of ids of votes and splits, if it has none of the usual names.",
        rich_help_panel="Galaxies and votes",
    ),
]


class ScaleName(StrEnum):
    """How images are brought to GZ2's scale."""

    gz2 = "gz2"
    auto = "auto"


_SCALE = "The scale of the images"
FieldOfView = Annotated[
    float | None,
    typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame).", rich_help_panel=_SCALE),
]
ScaleOption = Annotated[
    ScaleName | None,
    typer.Option(
        "--scale",
        help="`gz2`: that of GZ2 frames; `auto`: measure the galaxy in the middle and bring it to that.",
        rich_help_panel=_SCALE,
    ),
]
PixelScale = Annotated[
    float | None,
    typer.Option(
        help="Arcseconds in a pixel; with a --catalogue of ids and r90, images are brought to scale by it.",
        rich_help_panel=_SCALE,
    ),
]
SizeFactor = Annotated[
    float,
    typer.Option(help="What --size-column is multiplied by to be r90.", rich_help_panel=_SCALE),
]


def choose_scale(
    scale: ScaleName | None,
    pixel_scale: float | None,
    catalogue: Path | None,
    size_column: str | None,
    factor: float,
) -> "Scale | None":
    """Return the scale that options name.

    Parameters
    ----------
    scale, pixel_scale, catalogue, size_column, factor
        The options.
    """
    from galvote.io import Sizes

    if pixel_scale is None:
        return None if scale is None else scale.value
    if scale is not None or catalogue is None:
        raise CatalogueError("--pixel-scale needs a --catalogue of ids and r90, and no --scale.")
    return Sizes.read(catalogue, pixel_scale, column=size_column, factor=factor)
