"""Orientations of a cutout, and the warp that shows them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from galvote.images.geometry import Geometry


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
        """Return the affine map from pixels of the view, ``(x, y, 1)``, to the cutout's, as OpenCV has it.

        Parameters
        ----------
        size, pixels
            Widths of the cutout and of the view in pixels.
        """
        turn = math.radians(self.angle)
        step = size / pixels / self.zoom
        mirror = -1.0 if self.flip else 1.0
        # Rows point down, so this turns what is seen counter-clockwise.
        linear = step * np.array(
            [[mirror * math.cos(turn), -mirror * math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        )
        centre = (size - 1) / 2 - size * np.array(self.shift)
        return np.column_stack([linear, centre - linear @ np.full(2, (pixels - 1) / 2)])


def tta_views(count: int) -> tuple[View, ...]:
    """Return views spread evenly over rotations and flips, the identity first.

    An even count is half as many rotations, each as it is and mirrored; an odd count is rotations only.

    Parameters
    ----------
    count
        At least 1.
    """
    if count < 1:
        raise ValueError(f"{count} views; ask for at least 1.")
    flips = (False, True) if count % 2 == 0 else (False,)
    rotations = count // len(flips)
    return tuple(View(angle=360 * turn / rotations, flip=flip) for flip in flips for turn in range(rotations))


def warp_cutout(
    cutout: UInt8[np.ndarray, "size size *channel"] | Float32[np.ndarray, "size size *channel"],
    view: View,
    pixels: int,
) -> UInt8[np.ndarray, "pixels pixels *channel"] | Float32[np.ndarray, "pixels pixels *channel"]:
    """Show a cutout in another orientation and on other pixels.

    Parameters
    ----------
    cutout
        As many rows as columns, such as RGB ``(size, size, 3)``.
    view
        The orientation.
    pixels
        Width of what is returned.

    Returns
    -------
    ndarray
        Bilinear samples at `View.matrix`, of a cutout that is first averaged to twice the pixels if it has
        more; at half its width the identity is their exact average. Beyond its edge the cutout is mirrored,
        because a black corner would tell the angle.
    """
    if len(cutout) > 2 * pixels:
        cutout = cv2.resize(cutout, (2 * pixels, 2 * pixels), interpolation=cv2.INTER_AREA)
    warped = cv2.warpAffine(
        cutout,
        view.matrix(len(cutout), pixels),
        (pixels, pixels),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(warped)


def network_input(
    cutouts: UInt8[np.ndarray, "galaxy p p 3"], views: Sequence[View], geometry: Geometry, seen: Geometry
) -> UInt8[np.ndarray, "galaxy y x 3"]:
    """Show each cutout in its view, as a network sees it, in training, prediction and everywhere else.

    Parameters
    ----------
    cutouts
        RGB.
    views
        One for each cutout.
    geometry, seen
        Of the cutouts, and of the network's input.

    Returns
    -------
    RGB images of ``seen.pixels`` that are ``seen.field_of_view`` r90 wide at zoom 1.
    """
    magnified = geometry.field_of_view / seen.field_of_view
    images = np.empty((len(cutouts), seen.pixels, seen.pixels, 3), dtype=np.uint8)
    for i, (cutout, view) in enumerate(zip(cutouts, views, strict=True)):
        images[i] = warp_cutout(cutout, replace(view, zoom=view.zoom * magnified), seen.pixels)
    return images
