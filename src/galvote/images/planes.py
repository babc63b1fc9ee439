"""The planes of FITS images with a WCS: which file holds them, where they lie, how bright their sky is."""

from __future__ import annotations

import math
import re
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from galvote.errors import ImageError
from galvote.images.fits import SAMPLE, choose_bands, list_names, measure_sky

_SAME_GRID = 0.05  # pixels between two planes' grids that are taken for one


class OpenFiles:
    """FITS files, opened when they are first needed; pickled, they are closed.

    They are also closed when nothing refers to this object any more.
    Hold the lock while reading: neither astropy's files nor wcslib are made for several threads.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._files = dict[str, Any]()
        weakref.finalize(self, _close_all, self._files)

    def __reduce__(self) -> tuple[type[OpenFiles], tuple[()]]:
        return OpenFiles, ()

    def units(self, path: str) -> Any:
        """Return a file's list of HDUs."""
        from astropy.io import fits

        with self.lock:
            if path not in self._files:
                self._files[path] = fits.open(path)  # maps into memory what need not be scaled
            return self._files[path]

    def close(self) -> None:
        """Close all files; they are opened again when they are needed."""
        with self.lock:
            _close_all(self._files)


def _close_all(files: dict[str, Any]) -> None:
    while files:
        files.popitem()[1].close()


@dataclass(frozen=True, eq=False)
class Plane:
    """One band of an image."""

    path: str
    unit: int  # number of the HDU
    index: tuple[int, ...]  # on all axes of the HDU but the last two
    shape: tuple[int, int]
    wcs: Any  # `astropy.wcs.WCS` of the last two axes
    sky: float = 0.0  # brightness, in units of the plane
    noise: float = 1.0
    # Whether blocks of 0, of 3 × 3 pixels and more, are without data, as where a survey has not been. In
    # whole numbers 0 is a number; single ones are also what packing makes of the sky.
    zero_is_blank: bool = False
    shares_grid: bool = True  # with the image's first plane

    def read(
        self, files: OpenFiles, left: int, bottom: int, columns: int, rows: int
    ) -> Float32[np.ndarray, "y x"]:
        """Return the brightness of a part above the sky, in units of the noise; NaN where there is none."""
        height, width = self.shape
        part = np.full((rows, columns), np.nan, np.float32)
        y = slice(max(bottom, 0), min(bottom + rows, height))
        x = slice(max(left, 0), min(left + columns, width))
        if y.start < y.stop and x.start < x.stop:
            inner = part[y.start - bottom : y.stop - bottom, x.start - left : x.stop - left]
            try:
                with files.lock:
                    inner[:] = self._pixels(files, y, x)
            except Exception as error:  # of a tile that is damaged, which opening the file did not find
                raise ImageError("truncated", f"{self.path} is damaged here ({error}); check it.") from error
            if self.zero_is_blank:
                inner[_blocks(inner == 0)] = np.nan
            inner -= np.float32(self.sky)
            inner /= np.float32(self.noise)
            inner[~np.isfinite(inner)] = np.nan
        return part

    def with_sky(self, files: OpenFiles) -> Plane:
        """Return the plane with its sky and noise, measured on rows from all over it."""
        height, width = self.shape
        rows = np.linspace(0, height - 1, min(math.ceil(SAMPLE / width), height)).astype(int)
        sample = np.concatenate(
            [self._pixels(files, slice(row, row + 1), slice(width)).ravel() for row in rows.tolist()]
        )
        sample = sample[np.isfinite(sample)].astype(np.float32)
        zero_is_blank = bool((sample != np.rint(sample)).any())
        sky, noise = measure_sky(sample[sample != 0] if zero_is_blank else sample)
        return replace(self, sky=sky, noise=noise, zero_is_blank=zero_is_blank)

    def seen_from(self, first: Plane) -> Plane:
        """Return the plane with its word on whether it shares the grid of the first one."""
        from astropy.wcs import NoConvergence
        from astropy.wcs.utils import pixel_to_pixel

        x, y = np.meshgrid(*(np.linspace(0, side - 1, 5) for side in first.shape[::-1]))
        try:
            with quiet():
                there_x, there_y = pixel_to_pixel(first.wcs, self.wcs, x, y)
            same = bool(np.hypot(there_x - x, there_y - y).max() < _SAME_GRID)
        except NoConvergence:
            same = False
        return replace(self, shares_grid=same and self.shape == first.shape)

    def _pixels(self, files: OpenFiles, y: slice, x: slice) -> Any:
        from astropy.io import fits

        unit = files.units(self.path)[self.unit]
        if isinstance(unit, fits.CompImageHDU):
            return unit.section[(*self.index, y, x)]  # unpacks the tiles that are needed
        # Whole rows astropy reads, or maps into memory, at once; parts of them it would read one by one.
        return unit.section[(*self.index, y)][:, x]


def _blocks(where: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return which pixels are in a block of at least 3 × 3."""
    opened = cv2.morphologyEx(where.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened, dtype=bool)


def open_planes(places: Sequence[str | Path], files: OpenFiles) -> tuple[Plane, ...]:
    """Return the one plane or the three planes that these places hold, from blue to red, with their sky.

    Raises
    ------
    ImageError
        If there is no such image, it has another number of planes, or no celestial WCS.
    """
    with quiet():
        found = [unit for place in places for unit in _find_images(str(place), files)]
        planes = [plane for path, number in found for plane in _read_planes(path, number, files)]
    if len(planes) not in (1, 3):
        raise ImageError(
            "unsupported",
            f"Found {len(planes)} planes in {', '.join(map(str, places))}; give one, or three from blue to "
            "red.",
        )
    return planes[0], *(plane.seen_from(planes[0]) for plane in planes[1:])


def _find_images(place: str, files: OpenFiles) -> list[tuple[str, int]]:
    """Return the file and the numbers of the HDUs that a place names, from blue to red."""
    named = None if Path(place).is_file() else re.fullmatch(r"(?P<path>.+)\[(?P<unit>[^\[\]]+)\]", place)
    path = named["path"] if named else place
    if not Path(path).is_file():
        raise ImageError("missing", f"There is no file {path}; check the path.")
    try:
        with Path(path).open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                raise ImageError(
                    "unsupported",
                    f"No part of {path} can be read alone; gunzip it, or compress it with fpack instead.",
                )
        units = files.units(path)
        if named:
            unit = units[int(named["unit"]) if named["unit"].isdecimal() else named["unit"]]
            return [(path, units.index(unit))]
        images = [number for number, unit in enumerate(units) if unit.is_image and len(unit.shape) >= 2]
        names = [units[number].name for number in images]
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ImageError("truncated", f"{place} cannot be read as FITS ({error}); check the file.") from error
    if not images:
        raise ImageError("unsupported", f"{path} holds 0 images; give a file that holds one.")
    chosen = [0] if len(images) == 1 else choose_bands(names)
    if chosen is None:
        # Several may have one name, as SCI of each chip.
        one = next((name for name in names if name and names.count(name) == 1), images[0])
        raise ImageError(
            "unsupported",
            f"{path} holds {len(images)} images ({list_names(names)}), and it is not clear which are the "
            f"bands; say which one, as {path}[{one}], or name three extensions g, r and i.",
        )
    return [(path, images[place]) for place in chosen]


def _read_planes(path: str, number: int, files: OpenFiles) -> list[Plane]:
    from astropy.wcs import WCS

    try:
        unit = files.units(path)[number]
        shape = unit.shape if unit.is_image else ()
        deep = [axis for axis, length in enumerate(shape[:-2]) if length != 1]
        if len(shape) < 2 or len(deep) > 1 or (deep and shape[deep[0]] != 3):
            raise ImageError(
                "unsupported",
                f"{path}[{number}] is of shape {shape} as numpy reads it; give a plane (y, x), or a cube "
                "(3, y, x) from blue to red.",
            )
        wcs = WCS(unit.header, fobj=files.units(path), naxis=2)
        if not wcs.has_celestial:
            raise ImageError(
                "unsupported",
                f"{path}[{number}] has no WCS that leads to the sky; write one into its header.",
            )
        return [
            Plane(
                path,
                number,
                tuple(band if axis in deep else 0 for axis in range(len(shape) - 2)),
                tuple(shape[-2:]),
                wcs,
            ).with_sky(files)
            for band in range(3 if deep else 1)
        ]
    except ImageError:
        raise
    except Exception as error:  # astropy and wcslib raise all sorts at damaged files
        raise ImageError("truncated", f"{path} is cut short or damaged ({error}); check it.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep quiet about headers that astropy puts right, and about positions that are nowhere on an image."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"):
        warnings.simplefilter("ignore")
        yield
