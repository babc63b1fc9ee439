"""Bytes to cutouts, views of cutouts, and cutouts packed for training.

Cutouts by position (`sky`, `services`) and what measures galaxies (`measure`) keep their own names, so that
importing this package loads neither astropy nor photutils.
"""

from galvote.images.changes import Changes, change
from galvote.images.decode import Encoded, decode_image
from galvote.images.geometry import (
    COMPACT,
    FRAME_WIDTH,
    Geometry,
    decode_cutout,
    to_cutout,
    try_cutout,
    try_read,
)
from galvote.images.limits import MAX_PIXELS
from galvote.images.store import PackedStore, is_store, pack
from galvote.images.view import View, network_input, tta_views, warp_cutout

__all__ = [
    "COMPACT",
    "FRAME_WIDTH",
    "MAX_PIXELS",
    "Changes",
    "Encoded",
    "Geometry",
    "PackedStore",
    "View",
    "change",
    "decode_cutout",
    "decode_image",
    "is_store",
    "network_input",
    "pack",
    "to_cutout",
    "try_cutout",
    "try_read",
    "tta_views",
    "warp_cutout",
]
