"""Splits that depend on a galaxy's id alone."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate

from galvote.errors import CatalogueError


def split_by_id(ids: Sequence[str], shares: Mapping[str, float], seed: int = 0) -> list[str]:
    """Return a split for each id that depends on it and the seed only, whatever other galaxies there are.

    Parameters
    ----------
    ids
        Of the galaxies.
    shares
        Share in [0, 1] of each split by name, in order; they sum to 1: ``{"train": 0.9, "validation": 0.1}``.
    seed
        Another seed draws other splits.

    Raises
    ------
    CatalogueError
        If the shares are not in [0, 1] or do not sum to 1.
    """
    if not all(0 <= share <= 1 for share in shares.values()) or not math.isclose(sum(shares.values()), 1):
        raise CatalogueError(
            f"The shares of the splits must be in [0, 1] and sum to 1; these do not: {dict(shares)}."
        )
    names = [name for name, share in shares.items() if share > 0]
    bounds = list(accumulate(shares[name] for name in names))[:-1]
    return [names[bisect_right(bounds, _place(id_, seed))] for id_ in ids]


def _place(id_: str, seed: int) -> float:
    """Return a number in [0, 1] that is as good as random."""
    digest = blake2b(f"{seed}:{id_}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
