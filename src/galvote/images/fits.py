"""FITS files to RGB: which of their planes are shown."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from galvote.errors import ImageError
from galvote.images.limits import MAX_PIXELS, refuse_bomb
from galvote.images.stretch import compose, measure_sky
from galvote.io.bands import BANDS, Look, bare_names, choose_bands, say_names

_MOST_BYTES_PER_PIXEL = 3 * 8 + 8
"""Of an unpacked file: three planes of float64, and something to spare for headers."""

_PACKED: Mapping[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_IN_MEMORY = 1 << 26  # bytes of an unpacked file; what is more is put on the disk


def is_fits(file: bytes) -> bool:
    """Whether a file begins as FITS does, or as what FITS is packed with."""
    return file.startswith((b"SIMPLE  =", *_PACKED))


def decode_fits(
    files: tuple[bytes, ...], look: Look | None = None, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "y x 3"]:
    """Make an image of one FITS plane or three, in one file or three, from blue to red.

    A plane is ``(y, x)``, a cube ``(band, y, x)`` as numpy reads it; `choose_bands` takes three of a file's
    by their names. The first row is shown below. What is not finite, or fills gaps (`Sky`), is shown as sky.
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
        if absent := [name for name in wanted if name.isdecimal() and int(name) >= len(names) > 0]:
            raise ImageError(
                "unsupported",
                f"{place} has no plane {', '.join(absent)}; its planes are 0 to {len(names) - 1}.",
            )
        said = f" of {say_names(names)}" if any(names) else ""
        asked = f", not {','.join(wanted)}" if wanted else ""
        raise ImageError(
            "unsupported",
            f"{place} has shape {tuple(shape)} as numpy reads it{said}{asked}; give a plane (y, x), a cube "
            "(3, y, x) from blue to red, or say with --bands (in Python, bands=) what each plane is, as in "
            "u,g,r,i,z, or which are shown, as in 1,2,3.",
        )
    return found


def choose_images(images: Mapping[int, Any], wanted: Sequence[str]) -> list[int] | None:
    """Return the numbers of the HDUs that are the bands; without names, only those of one type are."""
    names = [unit.name for unit in images.values()]
    types = {unit.header["BITPIX"] for unit in images.values()}
    if len(types) > 1 and not (wanted or any(bare_names(names))):
        return None
    places = choose_bands(names, wanted, numbers := list(images))
    return None if places is None else [numbers[place] for place in places]


def say_images(images: Mapping[int, Any]) -> str:
    """Return the names, numbers and, if they differ, types of HDUs as a message has them."""
    bits = [unit.header["BITPIX"] for unit in images.values()]
    types = ", ".join(f"{'float' if bit < 0 else 'int'}{abs(bit)}" for bit in bits)
    of_types = f" of {types}" if len(set(bits)) > 1 else ""
    names = say_names([unit.name for unit in images.values()])
    return f"({names}), HDUs {', '.join(map(str, images))}{of_types}"


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
                    "not-an-image", "The file is neither an image nor FITS; send JPEG, PNG or FITS."
                )
            stream.seek(0)
            with fits.open(stream, memmap=False) as units:
                chosen = _choose_units(enumerate(units), wanted, max_pixels)
                return [
                    plane for number, unit in chosen.items() for plane in _planes_of(number, unit, wanted)
                ]
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


def _choose_units(units: Iterable[tuple[int, Any]], wanted: Sequence[str], max_pixels: int) -> dict[int, Any]:
    """Return the HDUs of the bands by number: a cube, planes, or the first alone if no other is like it."""
    from astropy.io import fits

    images = ((number, unit) for number, unit in units if unit.is_image and len(unit.shape) >= 2)
    number, first = next(images, (0, None))
    if first is None:
        raise ImageError("unsupported", "The FITS file holds no image; send one that does.")
    shape = _squeezed(first)
    refuse_bomb(shape[-1], shape[-2], max_pixels)  # before any more of a compressed file is unpacked
    if len(shape) != 2 and not (wanted and not wanted[0].isdecimal() and len(wanted) in (1, 3)):
        return {number: first}
    every = {number: first, **{n: unit for n, unit in images if len(_squeezed(unit)) >= 2}}
    alike = {n: unit for n, unit in every.items() if _squeezed(unit) == shape}
    for group in (every if wanted or any(bare_names([unit.name for unit in every.values()])) else {}, alike):
        if (chosen := choose_images(group, wanted)) is not None:
            for each in chosen:
                height, width = _squeezed(group[each])[-2:]
                refuse_bomb(width, height, max_pixels)
            return {each: group[each] for each in chosen}
    if len(shape) != 2:
        return {number: first}
    lone = len(alike) == 1 or (isinstance(first, fits.PrimaryHDU) and len(alike) != 3)
    if wanted or not lone:
        asked = (
            f"--bands {','.join(wanted)} chooses none of them"
            if wanted
            else "it is not clear which are bands"
        )
        raise ImageError(
            "unsupported",
            f"The FITS file holds {len(every)} planes {say_images(every)}, and {asked}; name one or three, "
            "from blue to red, by number or name, as in --bands 0 or --bands g,r,i (in Python, bands=).",
        )
    return {number: first}


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
