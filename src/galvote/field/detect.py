"""Galaxies in a wide picture: find them, measure them, cut them out at the scale of GZ2.

Positions are in pixels of the picture as numpy holds it: x to the right along the second axis, y down along
the first, and the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from galvote.errors import GalvoteError
from galvote.images.geometry import Geometry, to_cutout

_TILE, _MARGIN = 2048, 256  # pixels; memory is bounded by the tile, whatever the picture
_MESH = 256  # pixels; wider than most galaxies, or the sky would swallow them
_SMOOTHING = 1.2  # pixels, standard deviation of the Gaussian through which things are detected
_LEAST_PIXELS = 10


@dataclass(frozen=True)
class FieldGalaxy:
    """One thing found in a wide picture, most likely a galaxy.

    Parameters
    ----------
    number
        1 for the brightest, and so on.
    x, y
        Its centre in pixels; (0, 0) is the centre of the first pixel, and y points down.
    r90
        Radius in pixels of the circle that holds 90 % of the Petrosian flux.
    axis_ratio
        Minor over major axis of the second moments, in (0, 1].
    angle
        Of the major axis, in degrees from x towards y, in [0, 180).
    flux
        Petrosian flux in arbitrary units: the brightness above the sky, squared (see `find_galaxies`).
    touches_edge
        The circle of twice r90 reaches over the edge of the picture.
    crowded
        Other things cover more than a tenth of the circle of r90.
    """

    number: int
    x: float
    y: float
    r90: float
    axis_ratio: float
    angle: float
    flux: float
    touches_edge: bool
    crowded: bool


@dataclass(frozen=True)
class FoundGalaxies:
    """The galaxies of a field, brightest first, and how many more were too small or faint to classify."""

    galaxies: tuple[FieldGalaxy, ...]
    too_small: int


def refuse_without_photutils() -> None:
    """Raise `GalvoteError` unless what finds galaxies is installed."""
    if find_spec("photutils") is None or find_spec("skimage") is None:
        raise GalvoteError(
            "Finding galaxies needs photutils and scikit-image; "
            "install them with: pip install 'galvote[field]'"
        )


def find_galaxies(
    rgb: UInt8[np.ndarray, "y x 3"],
    *,
    min_radius: float = 5.0,
    threshold: float = 2.0,
    contrast: float = 0.02,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> FoundGalaxies:
    """Find the galaxies of a wide picture, and measure where they are and how large.

    The sky and its noise are estimated over a mesh, pixels above the threshold are joined, what overlaps is
    taken apart (`photutils.segmentation`), and sizes are measured on circular profiles. Stars are found as
    well: "star or artifact" is an answer of the decision tree, so saying which they are is left to the model.

    Parameters
    ----------
    min_radius
        What has a smaller r90, in pixels, is counted and left out: too few pixels to show a shape.
    threshold
        How far above the sky a galaxy's pixels are, in standard deviations of the sky.
    contrast
        Share of the joint light that makes a part a galaxy of its own. Much smaller values take the knots
        of spiral arms apart.
    on_progress
        Called with the number of tiles that are done and their total.

    Raises
    ------
    GalvoteError
        If photutils is missing, or scikit-image, with which it takes overlapping things apart.

    Notes
    -----
    The r90 is the Petrosian one of SDSS, see `petrosian_r90`. A picture made to be looked at is stretched:
    its faint outskirts are lifted, so that galaxies measure too large in it, concentrated ones most of all.
    Such a stretch is roughly a square root, and squaring the brightness above the sky undoes it. GZ2 frames,
    whose r90 is 50 pixels by construction, then measure 47 to 50 with a scatter of 13 %, smooth and spiral
    alike; unsquared they measure 70 with a scatter of 26 %.

    Time grows with the picture, memory does not: tiles of 2048 pixels are searched one by one with a margin
    of 256, so galaxies much wider than that may be cut.
    """
    refuse_without_photutils()
    height, width = rgb.shape[:2]
    corners = [(top, left) for top in range(0, height, _TILE) for left in range(0, width, _TILE)]
    found = list[FieldGalaxy]()
    for done, (top, left) in enumerate(corners, start=1):
        first_row, first_column = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
        tile = rgb[first_row : top + _TILE + _MARGIN, first_column : left + _TILE + _MARGIN]
        for galaxy in _find_in_tile(tile.mean(axis=2, dtype=np.float32), threshold, contrast):
            x, y = galaxy.x + first_column, galaxy.y + first_row
            # Two tiles may disagree a little about whose a galaxy is: rather find it twice than not at all.
            if top - 1 <= y < top + _TILE + 1 and left - 1 <= x < left + _TILE + 1:
                found.append(
                    replace(galaxy, x=x, y=y, touches_edge=_reaches_over(x, y, galaxy.r90, rgb.shape))
                )
        on_progress(done, len(corners))
    found = _without_twins(sorted(found, key=lambda galaxy: -galaxy.flux))
    large = [galaxy for galaxy in found if galaxy.r90 >= min_radius]
    return FoundGalaxies(
        galaxies=tuple(replace(galaxy, number=number) for number, galaxy in enumerate(large, start=1)),
        too_small=len(found) - len(large),
    )


def find_in_plane(
    plane: Float32[np.ndarray, "y x"], *, threshold: float = 2.0, contrast: float = 0.02
) -> list[FieldGalaxy]:
    """Find the galaxies of a small part of an image, and measure them in its own brightness.

    Parameters
    ----------
    plane
        Brightness above the sky in units of the sky's noise; NaN counts as sky.
    threshold, contrast
        As for `find_galaxies`.

    Returns
    -------
    In no order and without numbers; what is too faint to be measured has an r90 of 0.

    Raises
    ------
    GalvoteError
        As `find_galaxies` does.
    """
    refuse_without_photutils()
    return list(_find_in_tile(np.nan_to_num(plane), threshold, contrast, stretched=False))


def petrosian_r90(profile: Float[np.ndarray, " ring"]) -> tuple[float, float]:
    """Return the radius that holds 90 % of the Petrosian flux, in pixels, and that flux.

    Parameters
    ----------
    profile
        Mean brightness above the sky in rings one pixel wide, from the centre outwards.

    Notes
    -----
    As SDSS defines them (Blanton et al. 2001, AJ 121, 2358): at the Petrosian radius, the mean brightness
    between 0.8 and 1.25 radii has fallen to 0.2 of the mean within the radius; the Petrosian flux is what
    lies within two such radii. Beyond its end the profile is taken to be dark.
    """
    areas = np.square(np.arange(len(profile) + 1.0))  # of the circles between the rings, in units of π
    growth = np.concatenate([[0.0], np.cumsum(profile * np.diff(areas))])
    radii = np.arange(0.5, 2 * len(profile), 0.05)

    def flux_within(radius: Float[np.ndarray, " radius"]) -> Float[np.ndarray, " radius"]:
        return np.asarray(np.interp(np.square(radius), areas, growth))

    within = flux_within(radii)
    ring = (flux_within(1.25 * radii) - flux_within(0.8 * radii)) / (1.25**2 - 0.8**2)
    petrosian = int(np.argmax(ring < 0.2 * within))
    total = flux_within(2 * radii[petrosian : petrosian + 1])[0]
    return float(radii[np.argmax(within >= 0.9 * total)]), float(np.pi * total)


def cut_out(
    rgb: UInt8[np.ndarray, "y x 3"], galaxy: FieldGalaxy, *, field_of_view: float, least_pixels: int = 128
) -> UInt8[np.ndarray, "p p 3"]:
    """Cut a galaxy out of a wide picture, at the scale of GZ2.

    Parameters
    ----------
    field_of_view
        Width of the cutout, in r90.
    least_pixels
        Smaller galaxies are interpolated (bicubic) to so many pixels. Larger ones keep their pixels.

    Returns
    -------
    Square picture with the galaxy's centre in the middle. Beyond the edge of the field it has the lower
    quartile of the colours that it shows, which is about the sky's.
    """
    width = field_of_view * galaxy.r90
    return cut_square(rgb, galaxy.x, galaxy.y, width, max(math.ceil(width), least_pixels))


def to_field_cutout(
    rgb: UInt8[np.ndarray, "y x 3"], galaxy: FieldGalaxy, geometry: Geometry
) -> UInt8[np.ndarray, "p p 3"]:
    """Bring a galaxy of a wide picture to a geometry."""
    image = cut_out(rgb, galaxy, field_of_view=geometry.field_of_view, least_pixels=geometry.pixels)
    return to_cutout(image, geometry, field_of_view=geometry.field_of_view)


def cut_square(
    rgb: UInt8[np.ndarray, "y x 3"], x: float, y: float, width: float, pixels: int
) -> UInt8[np.ndarray, "p p 3"]:
    """Cut the square of a width around a position out of a wide picture, at any scale (bicubic).

    Beyond the edge of the picture it has the lower quartile of the colours that it shows.
    """
    left, top = x - width / 2, y - width / 2  # of the square's edge, half a pixel before a centre
    rows = slice(max(math.floor(top) - 2, 0), max(math.ceil(top + width) + 3, 1))
    columns = slice(max(math.floor(left) - 2, 0), max(math.ceil(left + width) + 3, 1))
    part = np.ascontiguousarray(rgb[rows, columns])
    step = width / pixels
    to_part = np.array([[step, 0, left + step / 2 - columns.start], [0, step, top + step / 2 - rows.start]])
    square = cv2.warpAffine(
        part,
        to_part,
        (pixels, pixels),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.percentile(part, 25, axis=(0, 1)).tolist(),
    )
    return np.asarray(square)


def _find_in_tile(
    brightness: Float32[np.ndarray, "y x"], threshold: float, contrast: float, *, stretched: bool = True
) -> Iterator[FieldGalaxy]:
    from astropy.utils.exceptions import AstropyUserWarning
    from photutils.background import Background2D
    from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    # By default boxes with a large galaxy are refused, and the whole picture if there is no other box.
    sky = Background2D(brightness, np.minimum(_MESH, brightness.shape), exclude_percentile=100)
    above = (brightness - sky.background).astype(np.float32)
    smooth = cv2.GaussianBlur(above, (0, 0), _SMOOTHING)
    # 8-bit skies may be flat black: one grey level is the least that stands out.
    detectable = np.maximum(threshold * sky.background_rms, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        warnings.simplefilter("ignore", AstropyUserWarning)  # deblending says how it spaced its levels
        segments = detect_sources(smooth, detectable, n_pixels=_LEAST_PIXELS)
        if segments is None:
            return
        segments = deblend_sources(
            smooth, segments, n_pixels=_LEAST_PIXELS, contrast=contrast, progress_bar=False
        )
    shapes = SourceCatalog(above, segments, convolved_data=smooth)
    unstretched = above * np.abs(above) if stretched else above
    furthest = 0.8 if stretched else 2.0  # squares of a profile's outskirts are noise sooner than itself
    for label, box, x, y, elongation, angle in zip(
        segments.labels,
        segments.slices,
        shapes.x_centroid,
        shapes.y_centroid,
        shapes.elongation.value,
        shapes.orientation.value,
        strict=True,
    ):
        r90, flux, crowded = _measure(
            unstretched, segments.data, int(label), box, float(x), float(y), furthest
        )
        yield FieldGalaxy(
            number=0,
            x=float(x),
            y=float(y),
            r90=r90,
            axis_ratio=1 / float(elongation),
            angle=float(angle) % 180,
            flux=flux,
            touches_edge=False,
            crowded=crowded,
        )


def _measure(
    unstretched: Float32[np.ndarray, "y x"],
    segments: Int[np.ndarray, "y x"],
    label: int,
    box: tuple[slice, slice],
    x: float,
    y: float,
    furthest: float,
) -> tuple[float, float, bool]:
    """Return r90, flux and crowdedness of one segment, with the pixels of the others left out.

    The r90 is 0 if it is more than ``furthest`` times as far out as the outline.
    """
    reach = 3 * max(side.stop - side.start for side in box)
    rows = slice(max(round(y) - reach, 0), round(y) + reach + 1)
    columns = slice(max(round(x) - reach, 0), round(x) + reach + 1)
    owner = segments[rows, columns]
    radius = np.hypot(
        np.arange(owner.shape[0])[:, None] + rows.start - y, np.arange(owner.shape[1]) + columns.start - x
    )
    own = (owner == label) | (owner == 0)
    counted = own & (radius < reach)
    ring = radius[counted].astype(np.intp)
    pixels = np.bincount(ring, minlength=reach)
    light = np.bincount(ring, unstretched[rows, columns][counted], minlength=reach)
    # Rings of which nothing is seen take after their neighbours.
    seen = np.flatnonzero(pixels)
    r90, flux = petrosian_r90(np.interp(np.arange(reach), seen, light[seen] / pixels[seen]))
    if r90 > furthest * radius[owner == label].max():
        r90 = 0.0  # hardly any outline stands out: the profile of something so faint is noise
    inside = radius <= r90
    return r90, flux, bool((inside & ~own).sum() > 0.1 * inside.sum())


def _reaches_over(x: float, y: float, r90: float, shape: tuple[int, ...]) -> bool:
    return min(x, y, shape[1] - 1 - x, shape[0] - 1 - y) < 2 * r90


def _without_twins(galaxies: list[FieldGalaxy]) -> list[FieldGalaxy]:
    """Drop the fainter of two within two pixels: the same galaxy, found in neighbouring tiles."""
    from scipy.spatial import KDTree

    if not galaxies:
        return []
    pairs = KDTree([(galaxy.x, galaxy.y) for galaxy in galaxies]).query_pairs(2.0)
    twins = {later for _, later in pairs}
    return [galaxy for row, galaxy in enumerate(galaxies) if row not in twins]
