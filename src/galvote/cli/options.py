"""Options that several verbs have, each with its group in the help."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.errors import CatalogueError

if TYPE_CHECKING:
    from galvote.images.services import CutoutService
    from galvote.inference.settings import Scale as ScaleOfImages


def group(title: str) -> Callable[..., Any]:
    """Return what makes options of a group in a verb's help."""
    return partial(typer.Option, rich_help_panel=title)


galaxies, prediction = group("Galaxies"), group("What is predicted")
sky = group("Where galaxies are looked up by position")

Images = Annotated[
    list[Path], typer.Option(help="Images: folder, files, Parquet or a packed store; may be given again.")
]
Votes = Annotated[list[Path], typer.Option(help="Table of the volunteers' votes; may be given again.")]
Model = Annotated[str, typer.Option(help="Name of a shipped model, a folder, or an exported .onnx file.")]
Tta = Annotated[int, typer.Option(min=1, help="Orientations averaged for each prediction.")]

Backend = Annotated[
    str | None,
    prediction(
        help="What computes: auto, the fastest here, if not given; onnx, onnx-float32, openvino, torch, "
        "torch-float32."
    ),
]
Level = Annotated[
    float | None, prediction(help="Share of votes that the intervals are to hold, 0 to 1; 0.9 if not given.")
]

_scale = group("The scale of the images")
FieldOfView = Annotated[float | None, _scale(help="Width of the images, in r90 (8.48 is a whole GZ2 frame).")]


class ScaleName(StrEnum):
    """How images are brought to GZ2's scale."""

    gz2 = "gz2"
    auto = "auto"


Scale = Annotated[
    ScaleName | None,
    _scale(help="`gz2`: that of GZ2 frames; `auto`: measure the galaxy in the middle and bring it to that."),
]
PixelScale = Annotated[
    float | None,
    _scale(
        help="Arcseconds in a pixel; with a --catalogue of ids and r90, images are brought to scale by it."
    ),
]
SizeCatalogue = Annotated[
    Path | None, _scale("--catalogue", help="Table of ids and r90 in arcseconds, for --pixel-scale.")
]
_SIZE_COLUMN = "Column of the catalogue with r90; petroR90_r or r90 if not given."
SizeColumn = Annotated[str | None, _scale(help=_SIZE_COLUMN)]
SizeFactor = Annotated[float, _scale(help="r90 = factor × size column.")]

_fits = group("How FITS files are shown")
Bands = Annotated[
    str | None,
    _fits(help="Bands, by name or number, as in i,r,g; one for a grey image. By default g,r,i or g,r,z."),
]


class StretchName(StrEnum):
    """How a single plane is stretched."""

    lupton = "lupton"
    asinh = "asinh"
    percentile = "percentile"


Stretch = Annotated[StretchName, _fits(help="Stretch of images of one plane.")]
IdColumn = Annotated[
    str | None,
    galaxies(help="Column of ids in the tables that have it; others have one of the usual names."),
]
Recursive = Annotated[
    bool, galaxies("--recursive", help="Look into folders inside folders, too; ids are paths from there.")
]
Dataset = Annotated[
    str | None, galaxies(help="Array with the images, of an HDF5 or .npz file; `images` if not given.")
]
Splits = Annotated[
    Path | None,
    typer.Option(
        help="Table of ids with a column `split` (train, validation); without it, a random split. A column "
        "`sample` says `complete` for galaxies that were not chosen by their votes."
    ),
]
Tree = Annotated[
    str | None,
    galaxies(help="Decision tree, a name or a TOML file; if not given, that whose columns the tables have."),
]
SkipInvalid = Annotated[
    bool, galaxies("--skip-invalid", help="Leave out votes that cannot be true instead of stopping.")
]

SETTINGS_HELP = "Change a setting of the recipe; may be given again."
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SETTINGS_HELP)]


class SurveyName(StrEnum):
    """Whose cutout service is asked."""

    sdss = "sdss"
    legacy = "legacy"


CATALOGUE_HELP = "Table of positions: ra and dec in degrees, and r90 in arcseconds; or of ids and r90."
FIELD_HELP = "FITS image with a WCS that shows them; three times for g, r and i."
SURVEY_HELP = "Or the survey whose cutout service is asked."
Catalogue = Annotated[Path | None, sky(help=CATALOGUE_HELP)]
ServiceUrl = Annotated[str | None, sky(help="Another address of the service.")]
SkySizeColumn = Annotated[str | None, sky("--size-column", help=_SIZE_COLUMN)]
Arcsec = Annotated[
    float | None, sky(min=0.01, help="Width of the images of galaxies whose r90 is unknown, in arcseconds.")
]
Cache = Annotated[
    Path | None, sky(help="Folder for what is fetched; galvote in your cache folder if not given.")
]


def open_service(survey: SurveyName | None, **settings: Any) -> "CutoutService | None":
    """Return a survey's cutout service, if one is asked for; None leaves a setting at its default."""
    from galvote.images.services import CutoutService

    if survey is None:
        return None
    given = {name: value for name, value in settings.items() if value is not None}
    return CutoutService(str(survey), **given)


def choose_scale(
    scale: ScaleName | None,
    pixel_scale: float | None,
    catalogue: Path | None,
    size_column: str | None,
    factor: float,
    id_column: str | None,
) -> "ScaleOfImages | None":
    """Return the scale that options name."""
    from galvote.io import Sizes

    if pixel_scale is None:
        of_sizes = {"--catalogue": catalogue, "--size-column": size_column, "--size-factor": factor != 1}
        if given := [option for option, value in of_sizes.items() if value]:
            raise CatalogueError(
                f"{', '.join(given)}: only with --pixel-scale, the images' arcseconds a pixel."
            )
        return None if scale is None else scale.value
    if scale is not None or catalogue is None:
        raise CatalogueError("--pixel-scale needs a --catalogue of ids and r90, and no --scale.")
    return Sizes.read(catalogue, pixel_scale, column=size_column, factor=factor, id_column=id_column)
