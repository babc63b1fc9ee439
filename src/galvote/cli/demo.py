"""`galvote demo`: the example galaxies, then the Hubble Deep Field that scikit-image ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from galvote.cli import options
from galvote.cli.field import CatalogueFormat, Format, Limit, MinRadius, Out, Overwrite, show_field

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.field.examples import Examples

FIELD = "hubble-deep-field"


def demo(
    out: Out = Path("demo"),
    model: options.Model = "galvote-small",
    backend: options.Backend = None,
    min_radius: MinRadius = 8.0,
    limit: Limit = None,
    tta: options.Tta = 1,
    level: options.Level = None,
    format_: Format = CatalogueFormat.csv,
    overwrite: Overwrite = False,
) -> None:
    """Classify example galaxies, then those of the Hubble Deep Field, without any file of your own."""
    from galvote.images.measure import refuse_without_photutils

    refuse_without_photutils()
    from skimage.data import hubble_deep_field

    from galvote.cli.progress import plain_console
    from galvote.field import refuse_taken
    from galvote.field.examples import predict_examples, write_examples
    from galvote.inference import Predictor
    from galvote.io.atomic import refuse_existing

    if not overwrite:
        refuse_existing(out / "index.html", out / "examples.png", out / "examples.csv")
        refuse_taken(out / FIELD, f".{format_}")
    console, predictor = plain_console(), Predictor.load(model, backend)
    if predictor.tree.name == "gz2":
        examples = predict_examples(predictor, tta=tta, level=level)
        print_examples(examples, console)
        for path in write_examples(examples, out, more=f"{FIELD}/index.html"):
            console.print(f"  {path}", soft_wrap=True)
    console.print(
        "\nNow the Hubble Deep Field. Models learned from nearby galaxies: what they say of these, far away "
        "and small, is an extrapolation, and what is too unlike them is called unknown."
    )
    show_field(
        hubble_deep_field(),
        out / FIELD,
        format_,
        overwrite,
        title="Hubble Deep Field",
        model=predictor,
        min_radius=min_radius,
        limit=limit,
        tta=tta,
        level=level,
    )


def print_examples(examples: Examples, console: Console) -> None:
    """Print what a model and the volunteers say of the first example of each kind."""
    from rich.table import Table
    from rich.text import Text

    console.print(examples.describe())
    table = Table("volunteers say", "predicted", "interval", title="One of each kind")
    tree = examples.prediction.tree
    for row in range(len(set(examples.kinds))):
        finding, (low, high) = examples.prediction.finding(row), examples.prediction.ends(row)
        place = tree.labels.index(finding.kind.answer) if finding.kind.answer else 0
        table.add_row(
            examples.say_voted(row),
            Text(finding.label, finding.kind.colour),
            "" if low is None else f"{low[place]:.2f}–{high[place]:.2f}",
        )
    console.print(table)
