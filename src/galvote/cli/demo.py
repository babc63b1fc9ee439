"""`galvote demo`: the galaxies of the Hubble Deep Field that scikit-image ships."""

from __future__ import annotations

from pathlib import Path

from galvote.cli.field import CatalogueFormat, Format, Limit, MinRadius, Out, Overwrite
from galvote.cli.prediction_options import BackendName, Level, Model, Tta


def demo(
    out: Out = Path("demo"),
    model: Model = "galvote-small",
    backend: BackendName = None,
    min_radius: MinRadius = 5.0,
    limit: Limit = None,
    tta: Tta = 8,
    level: Level = None,
    format_: Format = CatalogueFormat.csv,
    overwrite: Overwrite = False,
) -> None:
    """Find and classify the galaxies of the Hubble Deep Field, without any file of your own."""
    from importlib.util import find_spec

    from galvote.errors import GalvoteError

    if find_spec("skimage") is None:
        raise GalvoteError(
            "The Hubble Deep Field comes with scikit-image; install it with: pip install 'galvote[field]'"
        )
    from skimage.data import hubble_deep_field

    from galvote.field.classify import run_field

    run_field(
        hubble_deep_field(),
        title="Hubble Deep Field",
        out=out,
        model=model,
        backend=backend,
        level=level,
        min_radius=min_radius,
        limit=limit,
        tta=tta,
        catalogue_ending=f".{format_}",
        overwrite=overwrite,
    )
