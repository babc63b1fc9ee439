"""What training minimises."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def masked_squared_error(
    predicted: Float[Tensor, "galaxy answer"], actual: Float[Tensor, "galaxy answer"]
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Return the sum of squared errors over the known columns, and how many they are.

    Parameters
    ----------
    predicted
        Cumulative vote fractions.
    actual
        The volunteers'; NaN where unknown, which then has no gradient.
    """
    known = torch.isfinite(actual)
    error = torch.where(known, predicted - torch.where(known, actual, 0), 0)
    return error.square().sum(), known.sum()


def masked_cross_entropy(
    logits: Float[Tensor, "galaxy class"], classes: Int[Tensor, " galaxy"]
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over the galaxies whose class is known (not -1); 0 if none is."""
    total = F.cross_entropy(logits.float(), classes, ignore_index=-1, reduction="sum")
    return total / (classes >= 0).sum().clamp(min=1)
