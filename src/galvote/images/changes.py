"""What other surveys, seeing and image processing do to an image, for networks that are to hold there.

Labels stay those of the image as it was. With a teacher, whose predictions are of unchanged images, this
is consistency training (Xie et al. 2020, *Unsupervised data augmentation*, arXiv:1904.12848).
"""

import math

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from pydantic import BaseModel, ConfigDict, Field

_SHARE = 1 / 3
"""How many of the changed images have a certain change."""


class Changes(BaseModel):
    """How images are changed; by default none is.

    Parameters
    ----------
    share
        Share of the images that is changed.
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
        Share of the changed images that becomes grey: one band, or a mixture.
    jpeg_quality
        Lowest quality that an image is stored with in between.
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


_Image = UInt8[np.ndarray, "y x 3"]


def change(image: _Image, r90_pixels: float, changes: Changes, random: np.random.Generator) -> _Image:
    """Return an image of the same size, changed at random, each way in a third of the cases.

    Parameters
    ----------
    image
        RGB.
    r90_pixels
        How many pixels wide one r90 is.
    changes
        How far each change goes.
    random
        Draws which are made, and how far.
    """
    if (blur := changes.blur) and _happens(random):
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.2, 1) * blur * r90_pixels)
    levels = _levels(changes, random)
    image = cv2.LUT(image, np.rint(255 * levels.clip(0, 1)).astype(np.uint8)[:, None, :])
    if random.random() < changes.single_band:
        # Any one band, or a mixture of all.
        weights = np.eye(3)[random.integers(3)] if random.random() < 0.5 else random.dirichlet((3, 3, 3))
        grey = np.rint(image @ weights).astype(np.uint8)
        image = np.repeat(grey[..., None], 3, axis=2)
    if changes.noise and _happens(random):
        sigma = 255 * changes.noise * random.random()
        noisy = image + random.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
        image = noisy.clip(0, 255).astype(np.uint8)
    if changes.jpeg_quality < 100 and _happens(random):
        quality = int(random.integers(changes.jpeg_quality, 100))
        _, file = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
        decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), dtype=np.uint8)
        image = np.ascontiguousarray(decoded[..., ::-1])
    return image


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
