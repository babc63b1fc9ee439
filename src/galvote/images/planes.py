"""The planes of FITS images with a WCS: which file holds them, where they lie, how bright their sky is."""

import math
import re
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from galvote.errors import ImageError
from galvote.images.celestial import quiet, read_wcs, to_pixel
from galvote.images.fits import choose_images, choose_planes, say_images, unpack
from galvote.images.stretch import SAMPLE, Sky, measure_sky
from galvote.io.bands import choose_bands, say_names

_SAME_GRID = 0.05  # pixels between two planes' grids that are taken for one


class OpenFiles:
    """FITS files, opened when they are first needed, closed when nothing refers to this, or pickled.

    Hold the lock while reading: neither astropy's files nor wcslib are made for several threads.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._files = dict[str, Any]()
        weakref.finalize(self, _close_all, self._files)

    def __reduce__(self) -> "tuple[type[OpenFiles], tuple[()]]":
        return OpenFiles, ()

    def units(self, path: str) -> Any:
        """Return a file's list of HDUs."""
        from astropy.io import fits

        with self.lock:
            if path not in self._files:
                with Path(path).open("rb") as file:
                    whole = unpack(file)  # once, because no part of it could be read alone
                # Maps into memory what need not be scaled.
                self._files[path] = fits.open(path if whole is file else whole)
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
    sky: Sky = field(default_factory=lambda: Sky(0.0, 1.0))
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
                    inner[:] = self.sky.above(self._pixels(files, y, x))
            except Exception as error:  # of a tile that is damaged, which opening the file did not find
                raise ImageError("truncated", f"{self.path} is damaged here ({error}); check it.") from error
        return part

    def with_sky(self, files: OpenFiles) -> "Plane":
        """Return the plane with its sky and noise, measured on rows from all over it."""
        height, width = self.shape
        rows = np.linspace(0, height - 1, min(math.ceil(SAMPLE / width), height)).astype(int)
        sample = np.concatenate(
            [self._pixels(files, slice(row, row + 1), slice(width)).ravel() for row in rows.tolist()]
        )
        return replace(self, sky=measure_sky(sample, self.name))

    def seen_from(self, first: "Plane") -> "Plane":
        """Return the plane with its word on whether it shares the grid of the first one."""
        x, y = np.meshgrid(*(np.linspace(0, side - 1, 5) for side in first.shape[::-1]))
        with quiet():
            there_x, there_y = to_pixel(self.wcs, first.wcs.pixel_to_world(x.ravel(), y.ravel()))
        same = bool(np.hypot(there_x - x.ravel(), there_y - y.ravel()).max() < _SAME_GRID)
        return replace(self, shares_grid=same and self.shape == first.shape)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        band = "".join(f", plane {plane}" for plane in self.index if any(self.index))
        return f"{self.path}[{self.unit}]{band}"

    def _pixels(self, files: OpenFiles, y: slice, x: slice) -> Any:
        from astropy.io import fits

        unit = files.units(self.path)[self.unit]
        if isinstance(unit, fits.CompImageHDU):
            return unit.section[(*self.index, y, x)]  # unpacks the tiles that are needed
        # Whole rows astropy reads, or maps into memory, at once; parts of them it would read one by one.
        return unit.section[(*self.index, y)][:, x]


def open_planes(
    places: Sequence[str | Path], files: OpenFiles, bands: Sequence[str] = ()
) -> tuple[Plane, ...]:
    """Return the one plane or the three, from blue to red, that these files or extensions hold.

    `choose_bands` is asked for the bands, of one file among its planes, of several among the files.
    """
    if len(places) > 1 and (order := choose_bands([""] * len(places), bands)):
        places, bands = [places[place] for place in order], ()
    with quiet():
        found = [unit for place in places for unit in _find_images(str(place), files, bands)]
        planes = [plane for path, number in found for plane in _read_planes(path, number, files, bands)]
    if len(planes) not in (1, 3):
        raise ImageError(
            "unsupported",
            f"Found {len(planes)} planes in {', '.join(map(str, places))}; give one, or three from blue to "
            "red.",
        )
    return planes[0], *(plane.seen_from(planes[0]) for plane in planes[1:])


def _find_images(place: str, files: OpenFiles, bands: Sequence[str]) -> list[tuple[str, int]]:
    """Return the file and the numbers of the HDUs that a place names, from blue to red."""
    named = None if Path(place).is_file() else re.fullmatch(r"(?P<path>.+)\[(?P<unit>[^\[\]]+)\]", place)
    path = named["path"] if named else place
    if not Path(path).is_file():
        raise ImageError("missing", f"There is no file {path}; check the path.")
    try:
        units = files.units(path)
        if named:
            name, there = named["unit"], [unit.name for unit in units]
            number = int(name) if name.isdecimal() else None
            if (number is not None and number >= len(there)) or (number is None and name not in units):
                raise ImageError(
                    "unsupported",
                    f"{path} has no HDU {name}; those it has, from 0 on, are {say_names(there)}.",
                )
            return [(path, units.index_of(name if number is None else number))]
        images = {number: unit for number, unit in enumerate(units) if unit.is_image and len(unit.shape) >= 2}
    except (OSError, EOFError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ImageError("truncated", f"{place} cannot be read as FITS ({error}); check the file.") from error
    if not images:
        raise ImageError("unsupported", f"{path} holds 0 images; give a file that holds one.")
    first = next(iter(images))
    lone = len(images) == 1 and (not bands or len([side for side in images[first].shape if side != 1]) > 2)
    chosen = [first] if lone else choose_images(images, bands)
    if chosen is None:
        # Several may have one name, as SCI of each chip.
        names = [unit.name for unit in images.values()]
        one = next((name for name in names if name and names.count(name) == 1), first)
        asked = f"--bands {','.join(bands)} chooses none" if bands else "it is not clear which are the bands"
        raise ImageError(
            "unsupported",
            f"{path} holds {len(images)} images {say_images(images)}, and {asked}; say which one, as "
            f"{path}[{one}], or which three with --bands.",
        )
    return [(path, number) for number in chosen]


def _read_planes(path: str, number: int, files: OpenFiles, bands: Sequence[str]) -> list[Plane]:
    place = f"{path}[{number}]"
    try:
        unit = files.units(path)[number]
        shape = unit.shape if unit.is_image else ()
        deep = [axis for axis, length in enumerate(shape[:-2]) if length != 1]
        if len(shape) < 2 or len(deep) > 1:
            choose_planes(unit, shape, bands, place)
        chosen = [0]
        if deep:
            chosen = choose_planes(unit, (shape[deep[0]], *shape[-2:]), bands, place)
        wcs = read_wcs(unit.header, tuple(shape[-2:]), files.units(path), place)
        indices = [tuple(band if axis in deep else 0 for axis in range(len(shape) - 2)) for band in chosen]
        return [Plane(path, number, index, tuple(shape[-2:]), wcs).with_sky(files) for index in indices]
    except ImageError:
        raise
    except Exception as error:  # astropy raises all sorts at damaged files
        raise ImageError("truncated", f"{path} is cut short or damaged ({error}); check it.") from error
