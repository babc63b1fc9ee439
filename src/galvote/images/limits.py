"""What is refused before anything is decoded or looked up."""

import math

from galvote.errors import ImageError

MAX_PIXELS = 80_000_000
"""Images whose header announces more are refused before a pixel is decoded."""


def refuse_bomb(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `ImageError` if a header announces more pixels than that."""
    if width * height > max_pixels:
        raise ImageError(
            "too-large",
            f"The header announces {width} × {height} pixels, more than the {max_pixels / 1e6:g} million "
            "that are decoded. Cut the part out that you need.",
        )


def refuse_nowhere(ra: float, dec: float, r90: float) -> None:
    """Raise `ImageError` without a position on the sky (``no-position``) or a size (``no-size``)."""
    if not (math.isfinite(ra) and abs(dec) <= 90):
        raise ImageError("no-position", f"Ra {ra} and dec {dec} are no position on the sky in degrees.")
    if not 0 < r90 < math.inf:
        raise ImageError("no-size", "The galaxy's r90 is unknown, and with it the scale of its image.")
