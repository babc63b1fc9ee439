"""Find the galaxies of one plane of an image, and measure where they are and how large.

Positions are in pixels of the plane as numpy holds it: x along the second axis, y along the first, and the
centre of the first pixel is (0, 0).
"""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from galvote.errors import GalvoteError

_MESH = 256  # pixels; wider than most galaxies, or the sky would swallow them
_SMOOTHING = 1.2  # pixels, standard deviation of the Gaussian through which things are detected
_THRESHOLD = 2.0  # of what is detected above the sky, in standard deviations of the sky
_LEAST_PIXELS = 10
_CONTRAST = 0.02  # share of the joint light that makes a part a galaxy; less takes spiral arms apart


@dataclass(frozen=True)
class FieldGalaxy:
    """One thing found in a wide image, most likely a galaxy."""

    x: float  # of its centre in pixels; (0, 0) is the centre of the first pixel
    y: float
    r90: float  # pixels, of the circle that holds 90 % of the Petrosian flux; 0 if it is too faint to tell
    axis_ratio: float  # minor over major axis of the second moments, in (0, 1]
    angle: float  # of the major axis, in degrees from x towards y, in [0, 180)
    flux: float  # Petrosian, in the units of the plane (squared, if the plane is stretched)
    crowded: bool  # other things cover more than a tenth of the circle of r90
    touches_edge: bool = False  # the circle of twice r90 reaches over the edge of the image
    number: int = 0  # 1 for the brightest of its image, and so on; 0 before they are numbered


def refuse_without_photutils() -> None:
    """Raise `GalvoteError` unless photutils, and scikit-image, with which it parts things, are installed."""
    if find_spec("photutils") is None or find_spec("skimage") is None:
        raise GalvoteError(
            "Finding galaxies needs photutils and scikit-image; "
            "install them with: pip install 'galvote[field]'"
        )


def find_in_plane(plane: Float32[np.ndarray, "y x"], *, stretched: bool = False) -> list[FieldGalaxy]:
    """Find the galaxies of one plane and measure them, in no order; it needs photutils.

    Brightness is in units of which 1 is the least that stands out of a sky without noise; NaN counts as sky.
    Brightness that is stretched, roughly the square root of the light, is squared for measuring.
    """
    refuse_without_photutils()
    from astropy.utils.exceptions import AstropyUserWarning
    from photutils.background import Background2D
    from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    plane = np.nan_to_num(plane)
    # By default boxes with a large galaxy are refused, and the whole image if there is no other box.
    sky = Background2D(plane, np.minimum(_MESH, plane.shape), exclude_percentile=100)
    above = (plane - sky.background).astype(np.float32)
    smooth = cv2.GaussianBlur(above, (0, 0), _SMOOTHING)
    # 8-bit skies may be flat black: one grey level is the least that stands out.
    detectable = np.maximum(_THRESHOLD * sky.background_rms, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        warnings.simplefilter("ignore", AstropyUserWarning)  # deblending says how it spaced its levels
        segments = detect_sources(smooth, detectable, n_pixels=_LEAST_PIXELS)
        if segments is None:
            return []
        segments = deblend_sources(
            smooth, segments, n_pixels=_LEAST_PIXELS, contrast=_CONTRAST, progress_bar=False
        )
    shapes = SourceCatalog(above, segments, convolved_data=smooth)
    light = above * np.abs(above) if stretched else above
    furthest = 0.8 if stretched else 2.0  # squares of a profile's outskirts are noise sooner than itself
    galaxies = list[FieldGalaxy]()
    for label, box, x, y, elongation, angle in zip(
        segments.labels.tolist(),
        segments.slices,
        shapes.x_centroid.tolist(),
        shapes.y_centroid.tolist(),
        shapes.elongation.value.tolist(),
        shapes.orientation.value.tolist(),
        strict=True,
    ):
        r90, flux, crowded = _measure(light, segments.data, label, box, x, y, furthest)
        galaxies.append(FieldGalaxy(x, y, r90, 1 / elongation, angle % 180, flux, crowded))
    return galaxies


def petrosian_r90(profile: Float[np.ndarray, " ring"]) -> tuple[float, float]:
    """Return the radius that holds 90 % of the Petrosian flux, and that flux, from means in rings of a pixel.

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


def _measure(
    light: Float32[np.ndarray, "y x"],
    segments: Int[np.ndarray, "y x"],
    label: int,
    box: tuple[slice, slice],
    x: float,
    y: float,
    furthest: float,
) -> tuple[float, float, bool]:
    """Return r90 (0 if far beyond the outline), flux and crowdedness of one segment without the others."""
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
    sums = np.bincount(ring, light[rows, columns][counted], minlength=reach)
    # Rings of which nothing is seen take after their neighbours.
    seen = np.flatnonzero(pixels)
    r90, flux = petrosian_r90(np.interp(np.arange(reach), seen, sums[seen] / pixels[seen]))
    if r90 > furthest * radius[owner == label].max():
        r90 = 0.0  # hardly any outline stands out: the profile of something so faint is noise
    inside = radius <= r90
    return r90, flux, bool((inside & ~own).sum() > 0.1 * inside.sum())
