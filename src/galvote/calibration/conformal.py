"""Split conformal prediction: quantiles of held-out scores that hold for the next galaxy, too.

If n held-out galaxies and a new one come from the same population, the new one's score is equally likely
to have any rank among the n + 1. So it is at most the ⌈β(n + 1)⌉-th smallest of the n with probability β or
more, whatever the distribution (Vovk, Gammerman & Shafer 2005, *Algorithmic learning in a random world*;
Lei et al. 2018, JASA 113, 1094).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float64


def upper_quantile(
    scores: Float[np.ndarray, " galaxy"], levels: Float[np.ndarray, "*level"]
) -> Float64[np.ndarray, "*level"]:
    """Return what a new galaxy's score does not exceed with at least these probabilities.

    It is infinite where there are too few held-out galaxies' scores to say.
    """
    ranks = np.ceil(np.round(levels * (len(scores) + 1), 9)).astype(int)
    ordered = np.append(np.sort(scores), np.inf)
    return np.asarray(ordered[np.clip(ranks, 1, len(ordered)) - 1], dtype=np.float64)


def lower_quantile(
    scores: Float[np.ndarray, " galaxy"], levels: Float[np.ndarray, "*level"]
) -> Float64[np.ndarray, "*level"]:
    """Return what a new galaxy's score falls short of with at most these probabilities."""
    return -upper_quantile(-scores, 1 - levels)


def random_halves(galaxies: int, times: int) -> Iterator[Bool[np.ndarray, " galaxy"]]:
    """Yield random halves, always the same: what is calibrated on one is measured on the other.

    Parameters
    ----------
    galaxies, times
        How many galaxies there are, and how many halves to draw.
    """
    rng = np.random.default_rng(0)
    for _ in range(times):
        half = np.zeros(galaxies, dtype=bool)
        half[rng.permutation(galaxies)[: galaxies // 2]] = True
        yield half
