"""FITS planes to RGB, as an SDSS composite would show them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from galvote.errors import ImageError
from galvote.images.limits import MAX_PIXELS, refuse_bomb

STRETCH = 80.0
"""Lupton's stretch, in units of the sky noise: brightness is about linear up to ``STRETCH / SOFTENING``."""

SOFTENING = 8.0
"""Lupton's Q: how strongly what is brighter is compressed."""

BLACK = -1.0
"""Brightness that is shown black, in units of the sky noise: the sky of SDSS composites is nearly black."""

GAINS = (0.8, 0.8, 1.4)
"""Weights of the blue, green and red planes after division by their noise."""

_BANDS = tuple("ugrizy")
"""What extensions that hold bands are called, from blue to red."""

_NO_NAMES = ("", "primary", "compressed_image")
"""Names that astropy and fpack give to what has none."""

_MOST_BYTES_PER_PIXEL = 3 * 8 + 8
"""Of an unpacked file: three planes of float64, and something to spare for headers."""

SAMPLE = 1_000_000
"""Sky and noise are estimated on about this many pixels of a plane."""


def decode_fits(files: tuple[bytes, ...], *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "y x 3"]:
    """Make a Lupton composite of FITS planes.

    Parameters
    ----------
    files
        One file (also gzipped) whose first image is a cube ``(3, y, x)`` as numpy reads it, from blue to red
        (g, r, i, or g, r, z), or one plane ``(y, x)``, which gives grey; one file of several planes of one
        shape, of which `choose_bands` takes three; or three files of one plane each in the order g, r, i.
    max_pixels
        Of a plane; larger ones are refused before they are read.

    Returns
    -------
    ndarray
        Pixels in [0, 255], first row at the top: rows of FITS count upwards, so they are reversed. The
        reddest plane is shown red.

    Raises
    ------
    ImageError
        ``truncated``, ``too-large``, ``not-an-image``, or ``unsupported`` if the planes have another shape,
        a plane has no finite number, or it is not clear which extensions are the bands.

    Notes
    -----
    The stretch is that of Lupton et al. 2004, PASP 116, 133 (`astropy.visualization.make_lupton_rgb`). To
    make it the same whatever the units, each plane is first brought to its sky (clipped median) and divided
    by its noise (scaled median absolute deviation of the clipped pixels); `STRETCH` then gives the noise that
    GZ2 pictures have, 3 to 4 levels of 255. Noise grows from g to i or z somewhat more than composites weigh
    the planes down (SDSS: g 7.8, r 5.7, i 4.9 for fluxes in nanomaggies; Legacy Surveys: g 6, r 3.4, z 2.2),
    and `GAINS` makes that up, so colours are about those of SDSS pictures. NaN and infinite pixels are shown
    as sky.
    """
    planes = [plane for file in files for plane in _read_planes(file, max_pixels)]
    shapes = sorted({plane.shape for plane in planes})
    if len(planes) not in (1, 3) or len(shapes) > 1:
        raise ImageError(
            "unsupported",
            f"Found {len(planes)} FITS planes of shape {' and '.join(map(str, shapes))}; send one cube "
            "(3, y, x) from blue to red, one plane (y, x), or three files of one plane each, g, r and i.",
        )
    return compose([_above_sky(plane[::-1]) for plane in planes])


def compose(planes: Sequence[Float32[np.ndarray, "y x"]]) -> UInt8[np.ndarray, "y x 3"]:
    """Make a Lupton composite of one plane or three, as `decode_fits` describes it.

    Parameters
    ----------
    planes
        Brightness above the sky in units of the sky's noise, from blue to red, first row at the top. What
        is not finite is shown as sky.
    """
    from astropy.visualization import make_lupton_rgb

    finite = [np.where(np.isfinite(plane), plane, np.float32(0)) for plane in planes]
    if len(finite) == 1:
        blue = green = red = finite[0] - BLACK
    else:
        blue, green, red = (gain * plane - BLACK for gain, plane in zip(GAINS, finite, strict=True))
    return np.asarray(make_lupton_rgb(red, green, blue, stretch=STRETCH, Q=SOFTENING), dtype=np.uint8)


def measure_sky(plane: Float32[np.ndarray, "*pixels"]) -> tuple[float, float]:
    """Return the brightness of the sky and its noise: clipped median and scaled median absolute deviation.

    Without noise, the brightest half per cent are taken to be 200 times the noise above the sky. If no number
    is finite, that is an `ImageError`.
    """
    from astropy.stats import sigma_clipped_stats

    finite = plane[np.isfinite(plane)]
    if not finite.size:
        raise ImageError("unsupported", "A FITS plane has no finite number; leave it out, or send a JPEG.")
    sample = finite[:: max(1, finite.size // SAMPLE)]
    _, sky, noise = sigma_clipped_stats(sample, stdfunc="mad_std")
    if not noise > 0:
        noise = (float(np.percentile(sample, 99.5)) - sky) / 200 or 1.0
    return float(sky), float(noise)


def choose_bands(names: Sequence[str]) -> list[int] | None:
    """Return which of a file's images are its three bands, from blue to red; None if their names do not tell.

    They are g, r and i if each is the name of one image; else three images that are named as bands or, in the
    order of the file, have no names.
    """
    bands = _without_defaults(names)
    if all(bands.count(band) == 1 for band in "gri"):
        return [bands.index(band) for band in "gri"]
    if len(bands) != 3:
        return None
    if not any(bands):
        return [0, 1, 2]
    if len(set(bands)) == 3 and all(band in _BANDS for band in bands):
        return sorted(range(3), key=lambda place: _BANDS.index(bands[place]))
    return None


def list_names(names: Sequence[str]) -> str:
    """Return the names of a file's images as a message has them."""
    given = _without_defaults(names)
    return ", ".join(name if bare else "unnamed" for name, bare in zip(names, given, strict=True))


def _without_defaults(names: Sequence[str]) -> list[str]:
    """Return names in lower case, empty where there is none."""
    lower = [name.strip().lower() for name in names]
    return ["" if name in _NO_NAMES else name for name in lower]


def _read_planes(file: bytes, max_pixels: int) -> list[Float32[np.ndarray, "y x"]]:
    """Return the planes of a file's first image or, if it is one of several planes, of the bands."""
    from astropy.io import fits

    try:
        stream: io.BufferedIOBase = io.BytesIO(file)
        if file.startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=stream)
            # Whatever follows the first image is unpacked to get past it.
            _refuse_long(stream, _MOST_BYTES_PER_PIXEL * max_pixels)
        if not stream.read(9).startswith(b"SIMPLE  ="):
            raise ImageError(
                "not-an-image", "The file is neither a picture nor FITS; send JPEG, PNG or FITS."
            )
        stream.seek(0)
        with fits.open(stream, memmap=False) as units:
            images = (unit for unit in units if unit.is_image and len(unit.shape) >= 2)
            first = next(images, None)
            if first is None:
                raise ImageError("unsupported", "The FITS file holds no image; send one that does.")
            shape = _squeezed(first)
            if len(shape) == 2:
                shape = (1, *shape)
            if len(shape) != 3 or shape[0] not in (1, 3):
                raise ImageError(
                    "unsupported",
                    f"The FITS image has shape {first.shape} as numpy reads it; send a cube (3, y, x) from "
                    "blue to red, or one plane (y, x).",
                )
            refuse_bomb(shape[2], shape[1], max_pixels)  # before any more of a compressed file is unpacked
            if shape[0] == 3:
                return list(np.asarray(first.data, dtype=np.float32).reshape(shape))
            chosen = _choose_planes(first, images)
            for unit in chosen:
                height, width = _squeezed(unit)
                refuse_bomb(width, height, max_pixels)
            return [np.asarray(unit.data, dtype=np.float32).reshape(_squeezed(unit)) for unit in chosen]
    except ImageError:
        raise
    except Exception as error:  # astropy raises all sorts at damaged bytes, and each concerns this file only
        raise ImageError(
            "truncated", f"The FITS file is cut short or damaged ({error}); fetch it again."
        ) from error


def _choose_planes(first: Any, others: Iterable[Any]) -> list[Any]:
    """Return the HDUs of the bands, or the first one alone if no other is like it."""
    from astropy.io import fits

    images = [first, *(unit for unit in others if len(_squeezed(unit)) == 2)]
    alike = [unit for unit in images if _squeezed(unit) == _squeezed(first)]
    names = [unit.name for unit in images]
    for group in (images if any(_without_defaults(names)) else [], alike):
        places = choose_bands([unit.name for unit in group])
        if places is not None:
            return [group[place] for place in places]
    lone = len(alike) == 1 or (isinstance(first, fits.PrimaryHDU) and len(alike) != 3)
    if not lone:
        raise ImageError(
            "unsupported",
            f"The FITS file holds {len(images)} planes ({list_names(names)}), and it is not clear which are "
            "the bands; name three extensions g, r and i, or send the plane you mean in a file of its own.",
        )
    return [first]


def _squeezed(unit: Any) -> tuple[int, ...]:
    """Return the shape of an image without the axes of length 1."""
    return tuple(length for length in unit.shape if length != 1)


def _refuse_long(stream: gzip.GzipFile, most: int) -> None:
    """Raise `ImageError` if a stream unpacks to more bytes than that, and rewind it."""
    while stream.read(1 << 20):
        if stream.tell() > most:
            raise ImageError(
                "too-large",
                f"The file unpacks to more than the {most / 1e6:.0f} MB that are read; send planes alone.",
            )
    stream.seek(0)


def _above_sky(plane: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
    """Return brightness above the sky in units of the sky's noise."""
    sky, noise = measure_sky(plane)
    return (plane - np.float32(sky)) / np.float32(noise)
