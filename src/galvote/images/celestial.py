"""Where the pixels of a FITS image lie on the sky: its WCS, read with care."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from galvote.errors import ImageError

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

_AXES = (("RA", "DEC"), ("GLON", "GLAT"))
_NUMBERS = re.compile(r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]")
_NAMED = ("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CRVAL1", "CRVAL2", "RADESYS", "EQUINOX")
_ROUND_TRIP = 1.0  # pixels


def read_wcs(header: Any, shape: tuple[int, ...], units: Any, place: str) -> Any:
    """Return the WCS (`astropy.wcs.WCS`) of an image's last two axes; an `ImageError` names what is wrong.

    It has to lead from the image's corners to the sky and back. Other HDUs of its file may hold distortions.
    """
    from astropy.wcs import WCS
    from astropy.wcs.utils import wcs_to_celestial_frame

    if "CTYPE1" not in header:
        raise ImageError(
            "unsupported", f"{place} has no WCS that leads to the sky; write one into its header."
        )
    header = _tidy(header, place)
    given = ", ".join(f"{key} = {header[key]!r}" for key in _NAMED if key in header)
    remedy = (
        f"({given}); galvote reads RA and DEC, or GLON and GLAT, in the projections of the FITS standard, as "
        "in RA---TAN and DEC--TAN, also with SIP or TPV. Correct the header, or resample the image with the "
        "package reproject."
    )
    axes = sorted(str(header.get(f"CTYPE{axis}", "")).upper().split("-")[0] for axis in (1, 2))
    try:
        wcs = WCS(header, fobj=units, naxis=2)
        if axes not in map(sorted, _AXES) or not all(re.match(r"\w+-+\w", ctype) for ctype in wcs.wcs.ctype):
            raise ValueError("these axes are no projection of the sky")
        wcs_to_celestial_frame(wcs)
        _check_corners(wcs, shape)
    except Exception as error:  # astropy and wcslib raise all sorts
        said = [line.strip() for line in str(error).splitlines() if not line.startswith("ERROR")]
        reason = "".join(said[-1:]).rstrip(".") or "its distortions are not understood"
        raise ImageError("unsupported", f"The WCS of {place} is unsupported: {reason} {remedy}") from error
    return wcs


def _tidy(header: Any, place: str) -> Any:
    """Return a header whose units and frame are written as the standard has them."""
    header = header.copy()
    for key in list(header):
        value = header[key]
        if _NUMBERS.fullmatch(key) and isinstance(value, str):
            raise ImageError("unsupported", f"{key} = {value!r} of {place} is no number; write it as one.")
    for axis in (1, 2):
        if (ctype := f"CTYPE{axis}") in header:
            header[ctype] = str(header[ctype]).upper()
        if f"CRVAL{axis}" not in header:
            raise ImageError("unsupported", f"The WCS of {place} has no CRVAL{axis}; write it in degrees.")
        unit = str(header.get(f"CUNIT{axis}", "")).strip().lower()
        if unit in ("degree", "degrees", "deg", "degs"):
            header[f"CUNIT{axis}"] = "deg"
    for key in ("EQUINOX", "EPOCH"):
        if isinstance(equinox := header.get(key), str) and re.fullmatch(r"\s*[JB]?\d+(\.\d*)?\s*", equinox):
            header[key] = float(equinox.strip(" JB"))
    if str(header.get("CTYPE1", "")).upper().startswith("GL"):
        for key in ("RADESYS", "RADECSYS", "EQUINOX"):  # of these astropy would make other coordinates
            header.remove(key, ignore_missing=True)
    return header


def _check_corners(wcs: Any, shape: tuple[int, ...]) -> None:
    """Raise an error if a corner leads to a place on the sky that leads elsewhere."""
    height, width = shape
    x, y = np.array([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)], float).T
    with quiet():
        off = np.hypot(*(to_pixel(wcs, wcs.pixel_to_world(x, y)) - [x, y]))
    if (off > _ROUND_TRIP).any():
        raise ValueError(f"a corner's position on the sky is {np.nanmax(off):.4g} pixels away from it")


def to_pixel(wcs: Any, sky: SkyCoord, *, distorted: bool = True) -> Float[np.ndarray, "2 place"]:
    """Return x and y of positions, NaN where there is none; distortions may be left out.

    `astropy.wcs.utils.skycoord_to_pixel` takes x for the axis of longitudes, whichever that is.
    """
    from astropy.wcs import NoConvergence
    from astropy.wcs.utils import wcs_to_celestial_frame

    there = sky.transform_to(wcs_to_celestial_frame(wcs)).spherical
    world = np.empty((len(sky), 2))
    world[:, wcs.wcs.lng], world[:, wcs.wcs.lat] = there.lon.deg, there.lat.deg
    if not distorted:
        return np.asarray(wcs.wcs_world2pix(world, 0).T)
    try:
        found = wcs.all_world2pix(world, 0)
    except NoConvergence as error:
        found = error.best_solution
        if error.divergent is not None:
            found[error.divergent] = np.nan
    return np.asarray(found.T)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep quiet about headers that astropy puts right, and about positions that are nowhere on an image."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"):
        warnings.simplefilter("ignore")
        yield
