"""The part of the GZ2 frame that an image shows, and positions on it in GZ2 pixels."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float32

from galvote.images.geometry import COMPACT, FRAME_PIXELS, R90_PIXELS

WIDTHS = {COMPACT.pixels: COMPACT.field_of_view * R90_PIXELS, FRAME_PIXELS: float(FRAME_PIXELS)}
"""How much of the frame an image shows, in GZ2 pixels, by its width in pixels."""

Plane: TypeAlias = Float32[np.ndarray, "y x"]
Light: TypeAlias = Float32[np.ndarray, "y x 3"]


@dataclass(frozen=True)
class Sky:
    """The sky behind an image of 128 or 424 pixels."""

    pixels: int

    @property
    def scale(self) -> float:
        """Width of a pixel, GZ2 pixels."""
        return WIDTHS[self.pixels] / self.pixels

    @property
    def positions(self) -> Float32[np.ndarray, " pixel"]:
        """Where the image's columns (and rows) are, GZ2 pixels from its centre."""
        return (np.arange(self.pixels, dtype=np.float32) + 0.5) * self.scale - WIDTHS[self.pixels] / 2

    def axes(self, angle: float, x: float = 0.0, y: float = 0.0) -> tuple[Plane, Plane]:
        """Return coordinates along and across an axis through (x, y) that is turned by ``angle`` degrees."""
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        across, down = (self.positions - x)[None, :], (self.positions - y)[:, None]
        return across * cos + down * sin, down * cos - across * sin

    def spread(self, grid: Float32[np.ndarray, "row column *band"]) -> Float32[np.ndarray, "y x *band"]:
        """Lay a square grid that covers the whole frame over the image, between its cells linearly."""
        cells = len(grid) / FRAME_PIXELS
        step = self.scale * cells
        start = ((FRAME_PIXELS - WIDTHS[self.pixels] + self.scale) / 2) * cells - 0.5
        placing = np.array([[step, 0, start], [0, step, start]], dtype=np.float32)
        laid: Float32[np.ndarray, "y x *band"] = cv2.warpAffine(
            grid,
            placing,
            (self.pixels, self.pixels),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        return laid
