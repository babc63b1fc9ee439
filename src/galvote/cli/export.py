"""`galvote export`: a model as one file that other programs run."""

from pathlib import Path
from typing import Annotated

import typer

from galvote.errors import require_torch


def export(
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a folder.")] = "galvote-small",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, ending in .onnx; network.onnx in the model's folder if not given."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a model as ONNX, which predicts without torch.

    With --out, one file that other programs run, too: uint8 cutouts in, vote fractions out. It is compared
    with torch before it is written.
    """
    from rich.console import Console

    require_torch("Exporting")
    from galvote.inference.export import export as export_file
    from galvote.models import find_model, load_card
    from galvote.models.card import GRAPH

    difference = export_file(model, out, overwrite=overwrite)
    folder = find_model(model)
    card = load_card(folder)
    if out is None:
        where, side, taken = folder / GRAPH, card.network.pixels, "the network's input"
    else:
        where, side, taken = out, card.cutout.pixels, "cutouts"
    size = where.stat().st_size / 1e6
    Console(stderr=True, highlight=False).print(
        f"{card.name} in {where}, {size:.1f} MB: {taken}, uint8 (batch, {side}, {side}, 3), to vote "
        f"fractions; at most {difference:.1e} from torch in float32",
        soft_wrap=True,
        markup=False,
    )
