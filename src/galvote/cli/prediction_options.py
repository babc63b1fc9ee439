"""Options of the verbs that predict."""

from typing import Annotated

import typer

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
        help="Column of ids in the tables that have it; others have one of the usual names.",
        rich_help_panel="Galaxies and votes",
    ),
]
