"""Simulated galaxies one after the other, each a function of its seed and index alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from galvote.errors import CatalogueError
from galvote.simulate.render import render_galaxy
from galvote.simulate.shapes import GalaxyShape, draw_shape
from galvote.simulate.sky import WIDTHS
from galvote.simulate.volunteers import answer_probabilities, ask_volunteers, cumulative_fractions

FIRST_ID = 100_000
LAST_ID = 999_999
VOLUNTEERS = 40


@dataclass(frozen=True)
class SimulatedGalaxy:
    """An image, the truth about it, and what the volunteers said.

    Parameters
    ----------
    id
        Six digits.
    image
        RGB, of the whole GZ2 frame (424 pixels wide) or its central 256 GZ2 pixels (128 pixels wide).
    shape, probabilities
        The true parameters, and the conditional fractions of infinitely many volunteers, in column order.
    counts, fractions
        How many volunteers gave each answer, and that as cumulative fractions, as the challenge publishes
        them.
    """

    id: str
    image: UInt8[np.ndarray, "y x 3"]
    shape: GalaxyShape
    probabilities: Float[np.ndarray, " answer"]
    counts: Int[np.ndarray, " answer"]
    fractions: Float[np.ndarray, " answer"]


def simulate_galaxies(
    count: int, seed: int = 0, pixels: int = 128, start: int = 0, volunteers: int = VOLUNTEERS
) -> Iterator[SimulatedGalaxy]:
    """Yield galaxies one by one; the galaxy of an index is the same whatever ``count`` and ``start`` are.

    Parameters
    ----------
    count, seed
        How many; 0 or more, another seed gives other galaxies.
    pixels
        424 for the whole GZ2 frame, or 128 for its central 256 GZ2 pixels.
    start
        Index of the first galaxy; its id is 100000 + index.
    volunteers
        Mean number of volunteers; each galaxy has a Poisson number.

    Raises
    ------
    CatalogueError
        If ``pixels`` is neither, a number is negative, or the ids would need more than six digits.
    """
    if pixels not in WIDTHS:
        raise CatalogueError(
            f"Simulated galaxies are 128 or 424 pixels wide, not {pixels}; choose one of these."
        )
    if min(seed, start, count) < 0 or FIRST_ID + start + count - 1 > LAST_ID:
        raise CatalogueError(
            f"Seed {seed}, start {start} and count {count}: none may be negative, and start + count may be "
            f"at most {LAST_ID - FIRST_ID + 1}, for ids have six digits."
        )
    return (_simulate(index, seed, pixels, volunteers) for index in range(start, start + count))


def _simulate(index: int, seed: int, pixels: int, volunteers: int) -> SimulatedGalaxy:
    # Three streams, so that what one part draws never shifts the others.
    streams = [
        np.random.Generator(np.random.SFC64(each)) for each in np.random.SeedSequence((seed, index)).spawn(3)
    ]
    shape = draw_shape(streams[0])
    probabilities = answer_probabilities(shape)
    asked = max(1, int(streams[1].poisson(volunteers)))
    counts = ask_volunteers(probabilities, asked, streams[1])
    return SimulatedGalaxy(
        id=str(FIRST_ID + index),
        image=render_galaxy(shape, streams[2], pixels),
        shape=shape,
        probabilities=probabilities,
        counts=counts,
        fractions=cumulative_fractions(counts),
    )
