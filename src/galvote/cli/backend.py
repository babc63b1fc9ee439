"""The option `--backend`, which several verbs have."""

from typing import Annotated

import typer

BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="What computes: auto, torch, torch-float32, onnx or openvino; torch if not given, or auto for "
        "an exported model.",
    ),
]
