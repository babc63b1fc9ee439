"""FITS planes to RGB."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from galvote.errors import ImageError


def decode_fits(files: tuple[bytes, ...]) -> UInt8[np.ndarray, "y x 3"]:
    """Decode one FITS file of three planes or one, or three one-band files."""
    raise ImageError("unsupported", f"{len(files)} FITS file(s): not read yet; send a JPEG.")
