"""Test-time augmentation: the mean prediction over several orientations of each cutout."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8

from galvote.images import Geometry, network_input, tta_views

Outputs = tuple[Float32[np.ndarray, "galaxy answer"], Float32[np.ndarray, "galaxy feature"]]
Compute = Callable[[UInt8[np.ndarray, "galaxy y x 3"]], Outputs]
"""Makes vote fractions and features of a network's input, whatever computes them."""


def predict_tta(
    compute: Compute,
    seen: Geometry,
    cutouts: UInt8[np.ndarray, "galaxy p p 3"],
    geometry: Geometry,
    tta: int,
) -> Outputs:
    """Predict several orientations (`galvote.images.tta_views`) of each cutout and average the fractions.

    Cutouts are as many as fit into one batch, in their own geometry; the network's input has that which is
    `seen`. Features are those in the first orientation, which is the cutout's own.
    """
    views = tta_views(tta)
    outputs = (compute(network_input(cutouts, [view] * len(cutouts), geometry, seen)) for view in views)
    fractions, features = next(outputs)
    mean = fractions / len(views)
    for fractions, _ in outputs:
        mean += fractions / len(views)
    # Sums of rounded numbers may end above 1 by a digit.
    return mean.clip(0, 1), features
