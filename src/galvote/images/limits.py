"""How large an image may be that is decoded."""

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
