"""Images as small files and in pages."""

import base64
import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from galvote.io.atomic import write_whole

MAX_BYTES = 3_000_000
"""What a PNG may weigh, so that a page or a message can show it."""


def write_png(image: UInt8[np.ndarray, "y x 3"], path: Path) -> None:
    """Write a PNG, with fewer shades if it would weigh too much.

    PNG spends most of its bytes on the noise of the sky, which lies in the last bits: they are dropped, up to
    four of them, until the file is small enough.
    """
    data = b""
    for dropped in range(5):
        file = io.BytesIO()
        Image.fromarray((image >> dropped) << dropped).save(file, "PNG", compress_level=4)
        data = file.getvalue()
        if len(data) <= MAX_BYTES:
            break
    write_whole(path, data)


def to_data_url(image: UInt8[np.ndarray, "y x 3"]) -> str:
    """Return an image as a JPEG in a data URL, for a page that needs nothing from elsewhere."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=90)
    return _data_url(encoded.getvalue(), "jpeg")


def read_data_url(path: Path) -> str:
    """Return a PNG file as a data URL."""
    return _data_url(path.read_bytes(), "png")


def _data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
