"""`galvote demo`: the galaxies of the Hubble Deep Field that scikit-image ships."""

from pathlib import Path

from galvote.cli import options
from galvote.cli.field import CatalogueFormat, Format, Limit, MinRadius, Out, Overwrite, show_field


def demo(
    out: Out = Path("demo"),
    model: options.Model = "galvote-small",
    backend: options.Backend = None,
    min_radius: MinRadius = 5.0,
    limit: Limit = None,
    tta: options.Tta = 8,
    level: options.Level = None,
    format_: Format = CatalogueFormat.csv,
    overwrite: Overwrite = False,
) -> None:
    """Find and classify the galaxies of the Hubble Deep Field, without any file of your own."""
    from galvote.images.measure import refuse_without_photutils

    refuse_without_photutils()
    from skimage.data import hubble_deep_field

    show_field(
        hubble_deep_field(),
        out,
        format_,
        overwrite,
        title="Hubble Deep Field",
        model=model,
        backend=backend,
        min_radius=min_radius,
        limit=limit,
        tta=tta,
        level=level,
    )
