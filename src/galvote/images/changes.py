"""What other surveys, seeing and image processing do to a picture, for networks that are to hold there.

Labels stay those of the picture as it was. With a teacher, whose predictions are of unchanged pictures, this
is consistency training (Xie et al. 2020, *Unsupervised data augmentation*, arXiv:1904.12848).
"""

import math

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from pydantic import BaseModel, ConfigDict, Field

_SHARE = 1 / 3
"""How many of the changed pictures have a certain change."""


class Changes(BaseModel):
    """How pictures are changed; by default none is.

    Parameters
    ----------
    share
        Share of the pictures that is changed.
    zoom
        Magnification at most, or its inverse; for who draws the view, not for `change`.
    blur
        Largest σ of a Gaussian, in r90.
    noise
        Largest σ, as a share of white.
    gamma
        Largest exponent, or its inverse.
    asinh
        Largest softening of an asinh stretch.
    white_balance
        Largest factor of a channel, or its inverse.
    single_band
        Share of the changed pictures that becomes grey: one band, or a mixture.
    jpeg_quality
        Lowest quality that a picture is stored with in between.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(0.0, ge=0, le=1)
    zoom: float = Field(1.35, ge=1, le=4)
    blur: float = Field(0.07, ge=0, le=1)
    noise: float = Field(0.04, ge=0, le=1)
    gamma: float = Field(1.8, ge=1, le=4)
    asinh: float = Field(5.0, ge=0)
    white_balance: float = Field(1.35, ge=1, le=4)
    single_band: float = Field(0.15, ge=0, le=1)
    jpeg_quality: int = Field(30, ge=1, le=100)


Picture = UInt8[np.ndarray, "y x 3"]


def change(picture: Picture, r90_pixels: float, changes: Changes, random: np.random.Generator) -> Picture:
    """Return a picture of the same size, changed at random, each way in a third of the cases.

    Parameters
    ----------
    picture
        RGB.
    r90_pixels
        How many pixels wide one r90 is.
    changes
        How far each change goes.
    random
        Draws which are made, and how far.
    """
    if (blur := changes.blur) and _happens(random):
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.2, 1) * blur * r90_pixels)
    levels = _levels(changes, random)
    picture = cv2.LUT(picture, np.rint(255 * levels.clip(0, 1)).astype(np.uint8)[:, None, :])
    if random.random() < changes.single_band:
        # Any one band, or a mixture of all.
        weights = np.eye(3)[random.integers(3)] if random.random() < 0.5 else random.dirichlet((3, 3, 3))
        grey = np.rint(picture @ weights).astype(np.uint8)
        picture = np.repeat(grey[..., None], 3, axis=2)
    if changes.noise and _happens(random):
        sigma = 255 * changes.noise * random.random()
        noisy = picture + random.standard_normal(picture.shape, dtype=np.float32) * np.float32(sigma)
        picture = noisy.clip(0, 255).astype(np.uint8)
    if changes.jpeg_quality < 100 and _happens(random):
        quality = int(random.integers(changes.jpeg_quality, 100))
        _, file = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
        decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), dtype=np.uint8)
        picture = np.ascontiguousarray(decoded[..., ::-1])
    return picture


def _levels(changes: Changes, random: np.random.Generator) -> Float64[np.ndarray, "level 3"]:
    """Return what each of the 256 levels becomes in each channel, from 0 to 1."""
    levels = np.linspace(0, 1, 256)[:, None].repeat(3, axis=1)
    if _happens(random):
        levels **= _factor(changes.gamma, random)
    if changes.asinh and _happens(random):
        softening = changes.asinh * random.uniform(0.1, 1)
        levels = np.arcsinh(softening * levels) / math.asinh(softening)
    if _happens(random):
        levels *= [_factor(changes.white_balance, random) for _ in range(3)]
    return levels


def _happens(random: np.random.Generator) -> bool:
    return bool(random.random() < _SHARE)


def _factor(largest: float, random: np.random.Generator) -> float:
    """Draw a factor between a number and its inverse, uniform in the logarithm."""
    return math.exp(random.uniform(-1, 1) * math.log(largest))
