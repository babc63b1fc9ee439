"""`galvote export`: a model as one file that other programs run."""

from pathlib import Path
from typing import Annotated

import typer

from galvote.errors import ModelError, require_torch


def export(
    model: Annotated[str, typer.Option(help="Name of a shipped model, or a folder.")] = "galvote-small",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, ending in .onnx; network.onnx in the model's folder if not given."),
    ] = None,
    quantise: Annotated[
        list[Path] | None,
        typer.Option(help="Training images: with them, write network-int8.onnx in the model's folder."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a model as ONNX, which predicts without torch.

    With --out, one file that other programs run, too: uint8 cutouts in, vote fractions out. It is compared
    with torch before it is written.

    With --quantise, the graph in 8-bit integers, which ONNX Runtime computes faster and then takes by
    default. The ranges of numbers are measured on the first 512 of these images, which the model is not to be
    scored or calibrated on. Calibrate the model anew afterwards.
    """
    from rich.console import Console

    if quantise:
        if out is not None:
            raise ModelError("A graph in 8-bit integers goes into the model's folder: leave --out out.")
        from galvote.inference.quantise import quantise_on_images
        from galvote.models import find_model
        from galvote.models.card import QUANTISED

        change = quantise_on_images(model, quantise, overwrite=overwrite)
        typer.echo(f"{find_model(model) / QUANTISED}: fractions change by at most {change:.3f}", err=True)
        return
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
