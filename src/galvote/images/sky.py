"""A FITS image with a WCS: cutouts by position on the sky, without reading the image whole.

Positions are ICRS, in degrees; sizes are r90 in arcseconds. Pixels of the image are counted as astropy counts
them: x along the second axis, y along the first and upwards, and the centre of the first pixel is (0, 0).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from galvote.errors import ImageError
from galvote.images.celestial import quiet, to_pixel
from galvote.images.geometry import FRAME_PIXELS, FRAME_WIDTH, cut_square
from galvote.images.limits import MAX_PIXELS, refuse_nowhere
from galvote.images.measure import find_in_plane
from galvote.images.planes import OpenFiles, Plane, open_planes
from galvote.images.stretch import compose
from galvote.io.bands import Look
from galvote.io.positions import Coordinates

TOLERATED_GAPS = 0.05
"""Share of the middle half of a frame that may lack data; sky is shown there."""

_SQUARE = 0.02  # how much the sides of a pixel may differ
_LEAST_R90 = 2.0  # pixels; stars are hardly smaller
_WINDOWS = (256.0, 512.0, 1024.0)  # pixels, in which a galaxy of unknown size is looked for


@dataclass(frozen=True, eq=False)
class SkyField:
    """One wide FITS image in one band or three, from blue to red, and where it lies on the sky.

    Parts of it are read when they are asked for. Sky and noise of each plane are measured once, so the
    stretch is the same for all its galaxies, and the outskirts of one that fills its cutout are not taken for
    sky. Several threads may make images at a time, and it can be pickled. Pixels are those of the first
    plane, `scale` arcseconds wide.
    """

    planes: tuple[Plane, ...]
    scale: float
    _files: OpenFiles = field(repr=False)
    stretch: str = "lupton"

    @classmethod
    def open(cls, places: str | Path | Sequence[str | Path], look: Look | None = None) -> "SkyField":
        """Open a FITS image with a WCS, or three of one band each, g, r, i, whose WCS may differ.

        It is a plane ``(y, x)``, a cube ``(3, y, x)`` or three extensions, from blue to red or named after
        their bands. Of a file with other images besides, name the extension: ``image.fits[SCI]`` or
        ``image.fits[1]``.
        """
        files, look = OpenFiles(), look or Look()
        try:
            planes = open_planes([places] if isinstance(places, str | Path) else places, files, look.bands)
            return cls(planes, _pixel_scale(planes[0]), files, look.stretch)
        except BaseException:
            files.close()
            raise

    def __enter__(self) -> "SkyField":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._files.close()

    @property
    def name(self) -> str:
        """Paths of the files with the numbers of the extensions that are shown, in brackets."""
        return ", ".join(dict.fromkeys(f"{plane.path}[{plane.unit}]" for plane in self.planes))

    def images(
        self, ra: Coordinates, dec: Coordinates, r90: Coordinates
    ) -> list[Callable[[], UInt8[np.ndarray, "p p 3"]]]:
        """Return what makes each galaxy's image when called; ra and dec in degrees, r90 in arcseconds.

        It is a whole GZ2 frame, 8.48 r90 wide, as `compose` makes it, of at least 424 pixels, which are
        interpolated if the image has fewer, and averages if it has at least twice as many. Instead
        `ImageError` may be raised:

        - ``no-position``: a coordinate is not finite, or not on the sky;
        - ``outside``: the position is not on the image;
        - ``no-size``: the r90 is unknown;
        - ``incomplete``: more than `TOLERATED_GAPS` of the middle half of the frame is beyond the edge, NaN
          or blank (blocks of 0 in an image of real numbers), in any of the bands;
        - ``too-large``: the frame has too many pixels.
        """
        x, y = self._locate(ra, dec)
        places = zip(*(column.tolist() for column in (ra, dec, r90, x, y)), strict=True)
        return [partial(self._image, *place) for place in places]

    def measure_r90(self, ra: Coordinates, dec: Coordinates) -> Iterator[float]:
        """Yield the Petrosian r90 in arcseconds of what `find_in_plane` finds at each position, or NaN."""
        x, y = self._locate(ra, dec)
        yield from (self._measure(float(column), float(row)) for column, row in zip(x, y, strict=True))

    def _locate(self, ra: Coordinates, dec: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Return x and y on the first plane, NaN where there is none."""
        from astropy.coordinates import SkyCoord

        wcs, (height, width) = self.planes[0].wcs, self.planes[0].shape
        places = np.full((2, len(ra)), np.nan)
        on_sky = np.flatnonzero(np.isfinite(ra) & (np.abs(dec) <= 90))
        with self._files.lock, quiet():
            sky = SkyCoord(ra[on_sky], dec[on_sky], unit="deg")
            x, y = to_pixel(wcs, sky, distorted=False)
            # Distortions are defined on the image only; far from it they lead anywhere.
            near = (np.abs(x - width / 2) < width) & (np.abs(y - height / 2) < height)
            places[:, on_sky[near]] = to_pixel(wcs, sky[near])
        return places[0], places[1]

    def _image(self, ra: float, dec: float, r90: float, x: float, y: float) -> UInt8[np.ndarray, "p p 3"]:
        refuse_nowhere(ra, dec, r90)
        if not self._holds(x, y):
            raise ImageError("outside", f"The position is not on {self.name}.")
        width = r90 * FRAME_WIDTH / self.scale
        _refuse_huge(math.ceil(width))
        grid = _Grid.around(x, y, width, cell=max(int(width / FRAME_PIXELS), 1))
        width /= grid.cell
        planes = [self._above_sky(plane, grid) for plane in self.planes]
        column, row = grid.place(x, y)
        _refuse_gaps(planes, column, row, width / 2)
        rgb = compose([plane[::-1] for plane in planes], self.stretch)
        return cut_square(rgb, column, grid.cells - 1 - row, width, max(round(width), FRAME_PIXELS))

    def _measure(self, x: float, y: float) -> float:
        if not self._holds(x, y):
            return math.nan
        band = self.planes[len(self.planes) // 2]  # r of g, r, i: the r90 of SDSS is that in r
        for window in _WINDOWS:
            grid = _Grid.around(x, y, window, cell=1)
            column, row = grid.place(x, y)
            distance, r90 = min(
                (
                    (math.hypot(galaxy.x - column, galaxy.y - row), galaxy.r90)
                    for galaxy in find_in_plane(self._above_sky(band, grid))
                ),
                default=(math.inf, math.nan),
            )
            if r90 < window / FRAME_WIDTH:
                break
        return r90 * self.scale if r90 >= _LEAST_R90 and distance < max(r90, 3.0) else math.nan

    def _holds(self, x: float, y: float) -> bool:
        height, width = self.planes[0].shape
        return -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5

    def _above_sky(self, plane: Plane, grid: "_Grid") -> Float32[np.ndarray, "cell cell"]:
        """Return the brightness above the sky on the grid, in units of the noise; NaN where there is none."""
        if plane.shares_grid:
            size = grid.cells * grid.cell
            return _average(plane.read(self._files, grid.left, grid.bottom, size, size), grid.cell)
        # Over one cutout, the way from grid to grid is straight to a small part of a pixel.
        corners = np.array([[0, 1, 0], [0, 0, 1]]) * float(grid.cells)
        with self._files.lock, quiet():
            there = to_pixel(plane.wcs, self.planes[0].wcs.pixel_to_world(*grid.centres(*corners)))
        if not np.isfinite(there).all():
            return np.full((grid.cells, grid.cells), np.nan, np.float32)
        start = there[:, :1]
        steps = (there[:, 1:] - start) / grid.cells
        reach = np.hstack([there, there[:, 1:2] + there[:, 2:] - start])
        cell = max(int(math.sqrt(abs(np.linalg.det(steps)))), 1)
        left, bottom = (math.floor(side) - 2 * cell for side in reach.min(axis=1))
        columns, rows = (math.ceil(side / cell) + 5 for side in np.ptp(reach, axis=1))
        _refuse_huge(max(columns, rows) * cell)
        part = _average(plane.read(self._files, left, bottom, columns * cell, rows * cell), cell)
        start = (start - [[left], [bottom]] + 0.5) / cell - 0.5
        return np.asarray(
            cv2.warpAffine(
                part,
                np.hstack([steps / cell, start]),
                (grid.cells, grid.cells),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=math.nan,
            )
        )


@dataclass(frozen=True)
class _Grid:
    """A square of the first plane's pixels, averaged over cells of ``cell`` × ``cell``."""

    left: int
    bottom: int
    cell: int
    cells: int

    @classmethod
    def around(cls, x: float, y: float, width: float, cell: int) -> "_Grid":
        """Return the grid that covers a square, with two cells beyond it for interpolation."""
        left, bottom = (math.floor(centre - width / 2) - 2 * cell for centre in (x, y))
        return cls(left, bottom, cell, math.ceil(width / cell) + 5)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the column and the row of a place on the plane."""
        return (x - self.left + 0.5) / self.cell - 0.5, (y - self.bottom + 0.5) / self.cell - 0.5

    def centres(
        self, column: Float[np.ndarray, " place"], row: Float[np.ndarray, " place"]
    ) -> tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]]:
        """Return where on the plane these columns and rows are."""
        return (column + 0.5) * self.cell - 0.5 + self.left, (row + 0.5) * self.cell - 0.5 + self.bottom


def _refuse_huge(width: int) -> None:
    """Raise `ImageError` (``too-large``) if a square of this width has more than `MAX_PIXELS`."""
    if width**2 > MAX_PIXELS:
        raise ImageError(
            "too-large",
            f"The frame is {width} × {width} pixels of the image large; galvote reads "
            f"{MAX_PIXELS / 1e6:g} million at most. Check that r90 is in arcseconds.",
        )


def _pixel_scale(plane: Plane) -> float:
    """Return the width of a pixel in arcseconds."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    x, y = (float(scale) * 3600 for scale in proj_plane_pixel_scales(plane.wcs))
    if not abs(x - y) <= _SQUARE * min(x, y):
        raise ImageError(
            "unsupported",
            f"The pixels of {plane.path} are {x:.4g} × {y:.4g} arcseconds large; resample the image to "
            "square ones, for instance with the package reproject.",
        )
    return math.sqrt(x * y)


def _average(part: Float32[np.ndarray, "y x"], cell: int) -> Float32[np.ndarray, "row column"]:
    if cell == 1:
        return part
    rows, columns = part.shape[0] // cell, part.shape[1] // cell
    return np.asarray(part.reshape(rows, cell, columns, cell).mean(axis=(1, 3)))


def _refuse_gaps(
    planes: Sequence[Float32[np.ndarray, "cell cell"]], column: float, row: float, width: float
) -> None:
    """Raise `ImageError` if the square of this width lacks data in any plane."""
    rows, columns = (
        slice(round(centre - width / 2), max(round(centre + width / 2), round(centre)) + 1)
        for centre in (row, column)
    )
    gaps = float(np.isnan([plane[rows, columns] for plane in planes]).any(axis=0).mean())
    if gaps > TOLERATED_GAPS:
        raise ImageError(
            "incomplete", f"{gaps:.0%} of the middle half of the frame is beyond the edge or has no data."
        )
