"""Orientations of a cutout, and the warp that shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt8


@dataclass(frozen=True)
class View:
    """One orientation of a cutout; the default is the cutout as it is.

    The galaxy is shifted, then flipped left to right, then turned and magnified about the centre.

    Parameters
    ----------
    angle
        Turn in degrees, counter-clockwise as seen on the screen.
    flip
        Mirror left to right before turning.
    zoom
        Magnification; 2 shows the central half.
    shift
        How far right and down the galaxy moves, in widths of the cutout.
    """

    angle: float = 0.0
    flip: bool = False
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def matrix(self, size: int, pixels: int) -> Float64[np.ndarray, "2 3"]:
        """Return the affine map from the view's pixels to the cutout's.

        Parameters
        ----------
        size
            Width of the cutout in pixels.
        pixels
            Width of the view in pixels.

        Returns
        -------
        Matrix to be multiplied by ``(x, y, 1)``; whole numbers are pixel centres, as in OpenCV.
        """
        turn = math.radians(self.angle)
        step = size / pixels / self.zoom
        mirror = -1.0 if self.flip else 1.0
        # Rows point down, so this turns what is seen counter-clockwise.
        linear = step * np.array(
            [
                [mirror * math.cos(turn), -mirror * math.sin(turn)],
                [math.sin(turn), math.cos(turn)],
            ]
        )
        centre = (size - 1) / 2 - size * np.array(self.shift)
        return np.column_stack([linear, centre - linear @ np.full(2, (pixels - 1) / 2)])


def standard_views(count: int) -> tuple[View, ...]:
    """Return views spread evenly over rotations and flips, the identity first.

    An even count is half as many rotations, each as it is and mirrored, so 8 are the symmetries of the
    square; an odd count is rotations only.
    """
    if count < 1:
        raise ValueError(f"{count} views; ask for at least 1.")
    flips = (False, True) if count % 2 == 0 else (False,)
    rotations = count // len(flips)
    return tuple(View(angle=360 * turn / rotations, flip=flip) for flip in flips for turn in range(rotations))


def warp_cutout(
    cutout: UInt8[np.ndarray, "size size 3"], view: View, pixels: int
) -> UInt8[np.ndarray, "pixels pixels 3"]:
    """Show a cutout in another orientation and on other pixels.

    Returns
    -------
    Bilinear samples at `View.matrix`; beyond its edge the cutout is mirrored (OpenCV's ``BORDER_REFLECT``,
    which is torch's ``reflection`` without aligned corners), because a black corner would tell the angle.

    Notes
    -----
    At half the cutout's width each bilinear sample lies between four pixels, so the identity is their exact
    average. A cutout of more than twice the pixels is first area-averaged to twice the pixels.
    """
    if len(cutout) > 2 * pixels:
        cutout = np.asarray(cv2.resize(cutout, (2 * pixels, 2 * pixels), interpolation=cv2.INTER_AREA))
    warped = cv2.warpAffine(
        cutout,
        view.matrix(len(cutout), pixels),
        (pixels, pixels),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(warped)
