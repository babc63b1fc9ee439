"""Find the galaxies of a wide image of any size, and cut them out.

Positions are in pixels of the image as numpy holds it: x to the right along the second axis, y down along
the first, and the centre of the first pixel is (0, 0).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from galvote.images.geometry import Geometry, cut_square, to_cutout
from galvote.images.measure import FieldGalaxy, find_in_plane, refuse_without_photutils

_TILE, _MARGIN = 2048, 256  # pixels; memory is bounded by the tile, whatever the image
_TWINS = 2.0  # pixels between the two places of a galaxy that neighbouring tiles found


@dataclass(frozen=True)
class FoundGalaxies:
    """The galaxies that were found in a wide image.

    Parameters
    ----------
    galaxies
        Brightest first.
    too_small
        How many more are too small or too faint to classify.
    left_out
        How many more are beyond the limit that was asked for.
    """

    galaxies: tuple[FieldGalaxy, ...]
    too_small: int = 0
    left_out: int = 0


def find_galaxies(
    rgb: UInt8[np.ndarray, "y x 3"],
    *,
    min_radius: float = 5.0,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FoundGalaxies:
    """Find the galaxies of a wide image, and measure where they are and how large.

    The sky and its noise are estimated over a mesh, pixels above the threshold are joined, what overlaps is
    taken apart (`photutils.segmentation`), and sizes are measured on circular profiles. Stars are found as
    well: "star or artifact" is an answer of the decision tree, so saying which they are is left to the model.

    Parameters
    ----------
    rgb
        The image as people look at it, in [0, 255].
    min_radius
        What has a smaller r90, in pixels, is counted and left out: too few pixels to show a shape.
    limit
        Take only so many of the brightest galaxies; all of them if None.
    on_progress
        Called with the number of tiles that are done and their total.

    Returns
    -------
    FoundGalaxies
        The galaxies, numbered from the brightest, and how many were left out.

    Raises
    ------
    GalvoteError
        If photutils or scikit-image is missing.

    Notes
    -----
    The r90 is the Petrosian one of SDSS, see `petrosian_r90`. An image made to be looked at is stretched:
    its faint outskirts are lifted, so that galaxies measure too large in it, concentrated ones most of all.
    Such a stretch is roughly a square root, and squaring the brightness above the sky undoes it. GZ2 frames,
    whose r90 is 50 pixels by construction, then measure 47 to 50 with a scatter of 13 %, smooth and spiral
    alike; unsquared they measure 70 with a scatter of 26 %.

    Time grows with the image, memory does not: tiles of 2048 pixels are searched one by one with a margin
    of 256, so galaxies much wider than that may be cut.
    """
    refuse_without_photutils()
    height, width = rgb.shape[:2]
    corners = [(top, left) for top in range(0, height, _TILE) for left in range(0, width, _TILE)]
    found = list[FieldGalaxy]()
    for done, (top, left) in enumerate(corners, start=1):
        first_row, first_column = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
        tile = rgb[first_row : top + _TILE + _MARGIN, first_column : left + _TILE + _MARGIN]
        brightness = tile.mean(axis=2, dtype=np.float32)
        for galaxy in find_in_plane(brightness, stretched=True):
            x, y = galaxy.x + first_column, galaxy.y + first_row
            # Two tiles may disagree a little about whose a galaxy is: rather find it twice than not at all.
            if top - 1 <= y < top + _TILE + 1 and left - 1 <= x < left + _TILE + 1:
                over = min(x, y, width - 1 - x, height - 1 - y) < 2 * galaxy.r90
                found.append(replace(galaxy, x=x, y=y, touches_edge=over))
        if on_progress is not None:
            on_progress(done, len(corners))
    found = _without_twins(sorted(found, key=lambda galaxy: -galaxy.flux))
    large = [galaxy for galaxy in found if galaxy.r90 >= min_radius]
    taken = [replace(galaxy, number=number) for number, galaxy in enumerate(large[:limit], start=1)]
    return FoundGalaxies(tuple(taken), len(found) - len(large), len(large) - len(taken))


def cut_out(
    rgb: UInt8[np.ndarray, "y x 3"], galaxy: FieldGalaxy, geometry: Geometry
) -> UInt8[np.ndarray, "p p 3"]:
    """Cut a galaxy out of a wide image.

    Parameters
    ----------
    rgb
        The image.
    galaxy
        Where the galaxy is and how large.
    geometry
        What the cutout shows, and on how many pixels.

    Returns
    -------
    ndarray
        Square image with the galaxy's centre in the middle: interpolated (bicubic) where the wide image is
        coarser, averaged where it is finer. Beyond the edge of the wide image it has the lower quartile of
        the colours that it shows, which is about the sky's.
    """
    width = geometry.field_of_view * galaxy.r90
    square = cut_square(rgb, galaxy.x, galaxy.y, width, max(math.ceil(width), geometry.pixels))
    return to_cutout(square, geometry, field_of_view=geometry.field_of_view)


def _without_twins(galaxies: list[FieldGalaxy]) -> list[FieldGalaxy]:
    """Drop the fainter of two within two pixels: the same galaxy, found in neighbouring tiles."""
    from scipy.spatial import KDTree

    if not galaxies:
        return []
    pairs = KDTree([(galaxy.x, galaxy.y) for galaxy in galaxies]).query_pairs(_TWINS)
    twins = {later for _, later in pairs}
    return [galaxy for row, galaxy in enumerate(galaxies) if row not in twins]
