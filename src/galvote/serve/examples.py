"""Galaxies to try a server with: drawn by `galvote.simulate`, always the same ones."""

from __future__ import annotations

from functools import cache

import simplejpeg

from galvote.simulate import simulate_galaxies

_SEED, _PIXELS, _QUALITY = 7, 424, 92

EXAMPLES = {
    "spiral": 7,
    "barred-spiral": 13,
    "edge-on": 5,
    "ring": 15,
    "round": 0,
    "oval": 4,
    "disturbed": 18,
    "star": 29,
}
"""Indices of simulated galaxies by the name of the example."""


@cache
def draw_example(name: str) -> bytes:
    """Return an example as the bytes of a JPEG; raise `KeyError` if there is none of that name."""
    (galaxy,) = simulate_galaxies(1, seed=_SEED, pixels=_PIXELS, start=EXAMPLES[name])
    return bytes(simplejpeg.encode_jpeg(galaxy.image, quality=_QUALITY, colorsubsampling="444"))
