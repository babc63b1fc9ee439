"""`galvote export`: a model as one file that other programs run."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    out: Annotated[Path, typer.Option(help="File to write, ending in .onnx.")],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a folder.")] = "galvote-small",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a model as one ONNX file: uint8 cutouts in, vote fractions out.

    It is compared with torch before it is written.
    """
    from rich.console import Console

    from galvote.inference.export import export as export_file
    from galvote.models import find_model, load_card

    difference = export_file(model, out, overwrite=overwrite)
    card = load_card(find_model(model))
    size, side = out.stat().st_size, card.cutout.pixels
    Console(stderr=True, highlight=False).print(
        f"{card.name} in {out}, {size / 1e6:.1f} MB: cutouts, uint8 (batch, {side}, {side}, 3), to vote "
        f"fractions; at most {difference:.1e} from torch in float32",
        soft_wrap=True,
        markup=False,
    )
