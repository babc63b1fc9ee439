"""FITS planes to RGB, as an SDSS composite would show them."""

import bz2
import gzip
import io
import lzma
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8

from galvote.errors import ImageError
from galvote.images.limits import MAX_PIXELS, refuse_bomb
from galvote.io.bands import BANDS, Look, bare_names, choose_bands, say_names

STRETCH = 80.0
"""Lupton's stretch, in units of the sky noise: brightness is about linear up to ``STRETCH / SOFTENING``."""

SOFTENING = 8.0
"""Lupton's Q: how strongly what is brighter is compressed."""

BLACK = -1.0
"""Brightness that is shown black, in units of the sky noise: the sky of SDSS composites is nearly black."""

GAINS = (0.8, 0.8, 1.4)
"""Weights of the blue, green and red planes after division by their noise."""

SAMPLE = 1_000_000
"""Sky and noise are estimated on about this many pixels of a plane."""

_MOST_BYTES_PER_PIXEL = 3 * 8 + 8
"""Of an unpacked file: three planes of float64, and something to spare for headers."""

_Opener = Callable[[Any], Any]
_PACKED: dict[bytes, _Opener] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_IN_MEMORY = 1 << 26  # bytes of an unpacked file; what is more is put on the disk

_FEW = 10_000  # pixels among which numbers that recur are looked for
_ISOLATED = 5  # standard deviations by which a value that fills gaps is away from what is measured
_MOST = 1e9  # noises above the sky, so that a hot pixel remains a number in float32


@dataclass(frozen=True)
class Sky:
    """What a plane's sky is like: its level, its noise (a standard deviation), and what stands for no data.

    Numbers such as -9999 may, and blocks of 0, of 3 × 3 pixels and more, as where a survey has not been. In
    whole numbers 0 is a number, and where nothing is negative it may be a sky without noise; single ones are
    also what packing makes of the sky.
    """

    level: float
    noise: float
    fills: tuple[float, ...] = ()
    zero_is_blank: bool = False

    def above(self, pixels: Shaped[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
        """Return the brightness of pixels above the sky in units of the noise; NaN where there is none."""
        light = np.array(pixels, np.float64)
        gaps = ~np.isfinite(light)
        for fill in self.fills:
            gaps |= light == fill
        if self.zero_is_blank:
            gaps |= _blocks(light == 0)
        light -= self.level
        light /= self.noise
        light[gaps] = np.nan
        return np.clip(light, -_MOST, _MOST).astype(np.float32)


def is_fits(file: bytes) -> bool:
    """Whether a file begins as FITS does, or as what FITS is packed with."""
    return file.startswith((b"SIMPLE  =", *_PACKED))


def decode_fits(
    files: tuple[bytes, ...], look: Look | None = None, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "y x 3"]:
    """Make a Lupton composite (2004, PASP 116, 133) of one FITS plane or three, in one file or three.

    A plane is ``(y, x)``, a cube ``(band, y, x)`` as numpy reads it; `choose_bands` takes three of a file's
    by their names. The first row is shown below. What is not finite, or fills gaps (`Sky`), is shown as sky.

    To be the same whatever the units, each plane is brought to its sky (clipped median) and divided by its
    noise (scaled median absolute deviation of the clipped pixels); `STRETCH` then gives the noise that GZ2
    pictures have, 3 to 4 levels of 255. Noise grows from g to i or z somewhat more than composites weigh the
    planes down (SDSS: g 7.8, r 5.7, i 4.9 for fluxes in nanomaggies; Legacy Surveys: g 6, r 3.4, z 2.2), and
    `GAINS` makes that up.
    """
    look = look or Look()
    planes = [
        (f"{name} of file {number}" if len(files) > 1 else name, pixels)
        for number, file in enumerate(files, start=1)
        for name, pixels in _read_planes(file, look.bands, max_pixels)
    ]
    shapes = sorted({pixels.shape for _, pixels in planes})
    if len(planes) not in (1, 3) or len(shapes) > 1:
        raise ImageError(
            "unsupported",
            f"Found {len(planes)} FITS planes of shape {' and '.join(map(str, shapes))}; send one cube "
            "(3, y, x) from blue to red, one plane (y, x), or three files of one plane each, g, r and i.",
        )
    return compose([measure_sky(pixels, name).above(pixels[::-1]) for name, pixels in planes], look.stretch)


def compose(
    planes: Sequence[Float32[np.ndarray, "y x"]], stretch: str = "lupton"
) -> UInt8[np.ndarray, "y x 3"]:
    """Make a picture of planes, one or from blue to red, of brightness above the sky in units of its noise.

    Of one plane the stretch may be ``percentile``, linear from black at its percentile 0.5 to white at 99.5,
    or ``asinh``, of what is between 0.5 and 99.9. What is not finite is shown as sky.
    """
    from astropy.visualization import AsinhStretch, make_lupton_rgb

    finite = [np.where(np.isfinite(plane), plane, np.float32(0)) for plane in planes]
    if stretch != "lupton":
        if len(finite) > 1:
            raise ImageError(
                "unsupported",
                f"The stretch {stretch} is for pictures of one plane, and this one has {len(finite)}; leave "
                "--stretch out (in Python, stretch=), or choose one plane with --bands.",
            )
        low, high = np.nanpercentile(planes[0], (0.5, 99.5 if stretch == "percentile" else 99.9))
        grey = np.clip((finite[0] - low) / ((high - low) or 1.0), 0, 1)
        grey = AsinhStretch()(grey) if stretch == "asinh" else grey
        return np.repeat(np.rint(255 * grey).astype(np.uint8)[:, :, None], 3, axis=2)
    if len(finite) == 1:
        blue = green = red = finite[0] - BLACK
    else:
        blue, green, red = (gain * plane - BLACK for gain, plane in zip(GAINS, finite, strict=True))
    return np.asarray(make_lupton_rgb(red, green, blue, stretch=STRETCH, Q=SOFTENING), dtype=np.uint8)


def measure_sky(pixels: Shaped[np.ndarray, "*pixels"], name: str) -> Sky:
    """Return the sky of a plane; `ImageError` if it has no finite numbers, or the same everywhere."""
    from astropy.stats import sigma_clipped_stats

    finite = pixels[np.isfinite(pixels)]
    sample = finite[:: max(1, finite.size // SAMPLE)].astype(np.float64)
    fills = _find_fills(sample)
    sample = sample[~np.isin(sample, fills)]
    zero_is_blank = bool((sample != np.rint(sample)).any() and (sample < 0).any())
    if zero_is_blank:
        sample = sample[sample != 0]
    ends = sorted({sample.min(), sample.max()}) if sample.size else []
    if np.isin(sample, ends).all():
        what = f"only {' and '.join(f'{value + 0:g}' for value in ends)}" if ends else "no finite number"
        raise ImageError(
            "unsupported",
            f"{name} has {what}, so it is no picture; leave it out, or name those that are with --bands, as "
            "in --bands 0 or --bands SCI (in Python, bands=).",
        )
    unit = 2.0 ** np.frexp(np.abs(sample).max())[1]  # squares of any unit are then numbers
    _, level, noise = sigma_clipped_stats(sample / unit, stdfunc="mad_std")
    if not noise > 0:
        noise = (np.percentile(sample / unit, 99.5) - level) / 200 or 1 / unit
    return Sky(float(level * unit), float(noise * unit), fills, zero_is_blank)


def _find_fills(sample: Float64[np.ndarray, " pixel"]) -> tuple[float, ...]:
    """Return the numbers that stand for none; of 0 see `Sky`.

    They recur, and are far from all others or, among real numbers that do not recur, in the midst of them.
    """
    values, counts = np.unique(sample[:: max(1, sample.size // _FEW)], return_counts=True)
    often, alone = counts > counts.sum() / 10, counts == 1
    often[[0, -1] if values.size else []] = False
    fills = values[often & (values != 0)].tolist() if alone.sum() > 0.9 * (~often).sum() else list[float]()
    sample = sample[~np.isin(sample, fills)]
    while sample.size:
        for fill in (sample.min(), sample.max()):
            others = sample[sample != fill]
            if sample.size - others.size > 1 and others.size and _is_far(fill, others):
                fills.append(float(fill))
                sample = others
                break
        else:
            break
    return tuple(fills)


def _is_far(fill: float, others: Float64[np.ndarray, " pixel"]) -> bool:
    """Whether a number is farther above others than they reach, or below than noise explains."""
    low, high = others.min(), others.max()
    if fill > high:
        return bool(fill - high > high - low > 0)
    spread = np.subtract(*np.percentile(others, (50, 16)))
    # In whole numbers, a spread of 0 is one of less than their steps.
    return bool(low - fill > _ISOLATED * spread) and bool(
        low - fill > _ISOLATED * np.diff(np.unique(others)).min(initial=math.inf)
    )


def name_planes(header: Mapping[str, Any], count: int) -> list[str]:
    """Return the bands of a cube by CTYPE3 = 'RGB', BANDS = 'grz', BAND0 … or FILTER1 …; else empty texts."""
    together = (str(header.get(key, "")) for key in ("CTYPE3", "BANDS"))
    said = [list(re.sub(r"[\s,]", "", names)) for names in together]
    for key, first in (("BAND", 0), ("BAND", 1), ("FILTER", 1)):
        said.append([str(header.get(f"{key}{first + plane}", "")).strip() for plane in range(count)])
    for names in said:
        names = [name.lower() for name in names]
        if len(set(names)) == len(names) == count and all(name in BANDS for name in names):
            return names
    return [""] * count


def choose_planes(unit: Any, shape: Sequence[int], wanted: Sequence[str], place: str) -> list[int]:
    """Return which planes of a cube of this shape are shown, or raise `ImageError`."""
    names = name_planes(unit.header, shape[0]) if len(shape) == 3 else []
    if [unit.name.lower()] == list(wanted):  # an HDU by its name, and no plane of it
        wanted = ()
    found = choose_bands(names, wanted) or choose_bands([""] * len(names), wanted)
    if found is None:
        said = f" of {say_names(names)}" if any(names) else ""
        asked = f", not {','.join(wanted)}" if wanted else ""
        raise ImageError(
            "unsupported",
            f"{place} has shape {tuple(shape)} as numpy reads it{said}{asked}; give a plane (y, x), a cube "
            "(3, y, x) from blue to red, or say with --bands (in Python, bands=) what each plane is, as in "
            "u,g,r,i,z, or which are shown, as in 1,2,3.",
        )
    return found


def choose_images(units: Sequence[Any], numbers: Sequence[int], wanted: Sequence[str]) -> list[int] | None:
    """Return which HDUs of images are the bands; without names, only those of one type are."""
    names = [unit.name for unit in units]
    if not (wanted or any(bare_names(names))) and len({unit.header["BITPIX"] for unit in units}) > 1:
        return None
    return choose_bands(names, wanted, numbers)


def say_images(units: Sequence[Any], numbers: Sequence[int]) -> str:
    """Return the names, numbers and, if they differ, types of HDUs as a message has them."""
    bits = [unit.header["BITPIX"] for unit in units]
    types = ", ".join(f"{'float' if bit < 0 else 'int'}{abs(bit)}" for bit in bits)
    of_types = f" of {types}" if len(set(bits)) > 1 else ""
    return f"({say_names([unit.name for unit in units])}), HDUs {', '.join(map(str, numbers))}{of_types}"


def unpack(file: Any, most: int | None = None) -> Any:
    """Return a file, or what it holds if it is packed; `ImageError` if that is more bytes than may be."""
    start = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in _PACKED.items() if start.startswith(magic)), None)
    if opener is None:
        return file
    with ExitStack() as stack:
        whole = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))
        packed = stack.enter_context(opener(file))
        while part := packed.read(1 << 20):
            whole.write(part)
            if most and whole.tell() > most:
                raise ImageError(
                    "too-large",
                    f"The file unpacks to more than the {most / 1e6:.0f} MB read; send planes alone.",
                )
        whole.seek(0)
        stack.pop_all()
    return whole


def _read_planes(
    file: bytes, wanted: Sequence[str], max_pixels: int
) -> list[tuple[str, Shaped[np.ndarray, "y x"]]]:
    """Return the planes that are shown of a file, and what they are called in messages."""
    from astropy.io import fits

    try:
        # Whatever follows the first image of a packed file is unpacked to get past it.
        with unpack(io.BytesIO(file), _MOST_BYTES_PER_PIXEL * max_pixels) as stream:
            if not stream.read(9).startswith(b"SIMPLE  ="):
                raise ImageError(
                    "not-an-image", "The file is neither a picture nor FITS; send JPEG, PNG or FITS."
                )
            stream.seek(0)
            with fits.open(stream, memmap=False) as units:
                chosen = _choose_units(enumerate(units), wanted, max_pixels)
                return [plane for number, unit in chosen for plane in _planes_of(number, unit, wanted)]
    except ImageError:
        raise
    except Exception as error:  # astropy raises all sorts at damaged bytes, and each concerns this file only
        if "compression type" in str(error):
            raise ImageError(
                "unsupported", f"{error} (ZCMPTYPE); pack the file with RICE_1 or GZIP_2."
            ) from error
        raise ImageError(
            "truncated", f"The FITS file is cut short or damaged ({error}); fetch it again."
        ) from error


def _choose_units(
    units: Iterable[tuple[int, Any]], wanted: Sequence[str], max_pixels: int
) -> list[tuple[int, Any]]:
    """Return the HDUs of the bands: a cube, or planes, or the first one alone if no other is like it."""
    from astropy.io import fits

    images = ((number, unit) for number, unit in units if unit.is_image and len(unit.shape) >= 2)
    first = next(images, None)
    if first is None:
        raise ImageError("unsupported", "The FITS file holds no image; send one that does.")
    shape = _squeezed(first[1])
    refuse_bomb(shape[-1], shape[-2], max_pixels)  # before any more of a compressed file is unpacked
    if len(shape) != 2 and not (wanted and not wanted[0].isdecimal() and len(wanted) in (1, 3)):
        return [first]
    every = [first, *(each for each in images if len(_squeezed(each[1])) >= 2)]
    alike = [each for each in every if _squeezed(each[1]) == shape]
    for group in (every if wanted or any(bare_names([unit.name for _, unit in every])) else [], alike):
        places = choose_images([unit for _, unit in group], [number for number, _ in group], wanted)
        if places is not None:
            for place in places:
                height, width = _squeezed(group[place][1])[-2:]
                refuse_bomb(width, height, max_pixels)
            return [group[place] for place in places]
    if len(shape) != 2:
        return [first]
    lone = len(alike) == 1 or (isinstance(first[1], fits.PrimaryHDU) and len(alike) != 3)
    if wanted or not lone:
        said = say_images([unit for _, unit in every], [number for number, _ in every])
        asked = (
            f"--bands {','.join(wanted)} chooses none of them"
            if wanted
            else "it is not clear which are bands"
        )
        raise ImageError(
            "unsupported",
            f"The FITS file holds {len(every)} planes {said}, and {asked}; name one or three, from blue to "
            "red, by number or name, as in --bands 0 or --bands g,r,i (in Python, bands=).",
        )
    return [first]


def _planes_of(
    number: int, unit: Any, wanted: Sequence[str]
) -> Iterator[tuple[str, Shaped[np.ndarray, "y x"]]]:
    """Yield the planes of an HDU that are shown."""
    name = "".join(f" ({name})" for name in bare_names([unit.name]) if name)
    place, shape = f"HDU {number}{name}", _squeezed(unit)
    if len(shape) == 2:
        yield place, np.asarray(unit.data).reshape(shape)
        return
    for plane in choose_planes(unit, shape, wanted, place):
        yield f"Plane {plane} of {place}", np.asarray(unit.data).reshape(shape)[plane]


def _squeezed(unit: Any) -> tuple[int, ...]:
    """Return the shape of an image without the axes of length 1."""
    return tuple(length for length in unit.shape if length != 1)


def _blocks(where: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return which pixels are in a block of at least 3 × 3."""
    opened = cv2.morphologyEx(where.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened, dtype=bool)
