"""From a galaxy's true shape to the picture that SDSS would have taken of it.

Light is a surface brightness in nanomaggies a camera pixel, in the bands g, r and i; lengths are GZ2 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from galvote.images.simulate.crowd import SKY_NOISE
from galvote.images.simulate.shapes import FRAME, R90, GalaxyShape, Oddity

EXTENTS = {128: 256, 424: 424}
"""How much of the GZ2 frame a picture shows, in GZ2 pixels, by its width in pixels."""

Plane: TypeAlias = Float32[np.ndarray, "y x"]
Light: TypeAlias = Float32[np.ndarray, "y x 3"]

# Fluxes in g, r and i relative to r, of old, middle-aged and young stars.
_OLD = np.array((0.43, 1.0, 1.47), dtype=np.float32)
_MIXED = np.array((0.60, 1.0, 1.28), dtype=np.float32)
_YOUNG = np.array((0.90, 1.0, 1.02), dtype=np.float32)
# Noise of the sky and brightness of the colours red, green and blue: SDSS shows i, r and g
# (Lupton et al. 2004, PASP 116, 133; the factors are those of its sky server).
_NOISE = SKY_NOISE * np.array((0.7, 1.0, 1.4), dtype=np.float32)
_BRIGHTNESS = 0.17 * np.array((7.8, 5.7, 4.9), dtype=np.float32)
_STRETCH = 1.6
_SKY_OFFSET = 0.012
_PHOTONS = 0.63
"""Light of the sky in r, nanomaggies a camera pixel; a galaxy as bright doubles the variance."""


def render_galaxy(
    shape: GalaxyShape, rng: np.random.Generator, pixels: int = 128
) -> UInt8[np.ndarray, "y x 3"]:
    """Render a galaxy as an SDSS colour picture: blurred by the air, with neighbours and sky noise.

    Parameters
    ----------
    rng
        Draws what the shape leaves open: clumps, neighbours, noise. The same draws give the same sky at both
        sizes.
    pixels
        424 for the whole GZ2 frame, or 128 for its central 256 GZ2 pixels.
    """
    sky = _Sky(pixels)
    light = _star(shape, sky) if shape.kind == "star" else _galaxy(shape, sky, rng)
    _add_neighbours(light, shape, sky, rng)
    if shape.oddity == "dust lane":
        light *= _dust(shape, sky)
    return _expose(light, shape, sky, rng)


@dataclass(frozen=True)
class _Sky:
    """The part of the GZ2 frame that a picture shows."""

    pixels: int

    @property
    def scale(self) -> float:
        """GZ2 pixels a picture pixel."""
        return EXTENTS[self.pixels] / self.pixels

    @property
    def positions(self) -> Float32[np.ndarray, " pixel"]:
        """Of the picture's columns (and rows) from its centre, GZ2 pixels."""
        return (np.arange(self.pixels, dtype=np.float32) + 0.5) * self.scale - EXTENTS[self.pixels] / 2

    def spread(self, grid: Float32[np.ndarray, "row column *band"]) -> Float32[np.ndarray, "y x *band"]:
        """Lay a grid that covers the whole frame over the picture."""
        cells = len(grid) / FRAME
        step = self.scale * cells
        start = (0.5 * self.scale + (FRAME - EXTENTS[self.pixels]) / 2) * cells - 0.5
        placing = np.array([[step, 0, start], [0, step, start]], dtype=np.float32)
        size = (self.pixels, self.pixels)
        return cv2.warpAffine(
            grid, placing, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )

    def turned(self, angle: float, x: float = 0.0, y: float = 0.0) -> tuple[Plane, Plane]:
        """Coordinates along and across an axis through (x, y) that is turned by ``angle`` degrees."""
        return _turned(self.pixels, angle, x, y)


def _turned(pixels: int, angle: float, x: float, y: float) -> tuple[Plane, Plane]:
    across, down = _Sky(pixels).positions - np.float32(x), _Sky(pixels).positions - np.float32(y)
    cos, sin = np.float32(math.cos(math.radians(angle))), np.float32(math.sin(math.radians(angle)))
    return across * cos + (down * sin)[:, None], (down * cos)[:, None] - across * sin


def _radius(u: Plane, v: Plane, axis_ratio: float, boxiness: float = 0.0) -> Plane:
    """Distance from the centre along the long axis, of generalised ellipses (Athanassoula et al. 1990)."""
    v = v / np.float32(axis_ratio)
    if boxiness == 0:
        return np.sqrt(u * u + v * v + np.float32(0.5))
    power = np.float32(2 + 2 * boxiness)
    return np.asarray((np.abs(u) ** power + np.abs(v) ** power + np.float32(0.5)) ** (1 / power), np.float32)


def _sersic(radius: Plane, half_light: float, index: float, axis_ratio: float) -> Plane:
    """Sérsic profile of unit flux (Graham & Driver 2005, PASA 22, 118; b_n of Ciotti & Bertin 1999)."""
    b = 2 * index - 1 / 3 + 4 / (405 * index) + 46 / (25515 * index**2)
    flux = 2 * math.pi * index * half_light**2 * axis_ratio * b ** (-2 * index) * math.gamma(2 * index)
    return np.exp(np.float32(-b) * (radius / np.float32(half_light)) ** np.float32(1 / index)) / np.float32(
        flux
    )


def _galaxy(shape: GalaxyShape, sky: _Sky, rng: np.random.Generator) -> Light:
    bend, lumps, turn, distance = (
        rng.normal(size=2),
        rng.standard_normal((40, 40), np.float32),
        *rng.uniform(size=2),
    )
    u, v = sky.turned(shape.angle)
    odd = {shape.oddity: np.float32(shape.odd_strength)}
    if disturbed := odd.get("disturbed", odd.get("merger")):
        v = (
            v
            + disturbed * np.float32(6 * np.sign(bend[0])) * (u / 50) ** 2
            + disturbed * np.float32(bend[1]) * (u / 50) ** 3
        )
    if shape.kind == "elliptical":
        half_light = R90 / (2 + 0.25 * shape.sersic_index)
        old = _sersic(_radius(u, v, shape.roundness), half_light, shape.sersic_index, shape.roundness)
        mixed, young = np.zeros_like(old), np.zeros_like(old)
    else:
        old, mixed, young = _disc(shape, sky, u, v, lumps, odd)
    if disturbed:
        x, y = sky.turned(shape.angle + 360 * turn)
        mixed += 0.5 * disturbed * _tail(x, y)
    if merger := odd.get("merger"):
        away = 28 + 30 * distance
        x, y = away * math.cos(2 * math.pi * turn), away * math.sin(2 * math.pi * turn)
        x, y = sky.turned(360 * turn + 50, x, y)
        old += 0.8 * merger * _sersic(_radius(x, y, 0.7), 10, 2, 0.7)
    if arc := odd.get("arc"):
        x, y = sky.turned(360 * turn)
        r = np.hypot(x, y)
        young += arc * 0.12 * np.exp(-(((r - 34) / 3) ** 2) - (np.arctan2(y, x) / 0.9) ** 4) / 500
    colours = np.stack([_OLD * (1 - shape.redness) + _OLD * shape.redness, _MIXED, _YOUNG])
    flux = np.float32(shape.flux * shape.camera_pixel**2)
    light = np.asarray(np.stack([old, mixed, young], axis=2) @ colours, np.float32) * flux
    return _blurred(light, shape, sky)


def _disc(
    shape: GalaxyShape, sky: _Sky, u: Plane, v: Plane, lumps: Plane, odd: Mapping[Oddity, np.float32]
) -> tuple[Plane, Plane, Plane]:
    """Old, mixed and young stars of a disc galaxy; together they have about unit flux."""
    ratio = shape.axis_ratio
    scale_length = R90 / (2.3 + 1.6 * ratio)
    r = _radius(u, v, ratio)
    disc = _sersic(r, 1.678 * scale_length, 1, ratio) * (1 - shape.bulge_share)
    flattening = math.hypot(
        math.cos(math.radians(shape.inclination)), 0.7 * math.sin(math.radians(shape.inclination))
    )
    bulge_size = scale_length * (0.25 + 0.6 * shape.bulge_share)
    bulge = _sersic(_radius(u, v, flattening, shape.boxiness), bulge_size, shape.sersic_index, flattening)
    old = bulge * shape.bulge_share
    young = np.zeros_like(disc)
    across = v / np.float32(ratio)
    if shape.bar_strength:
        turn = math.radians(shape.bar_angle)
        along = u * np.float32(math.cos(turn)) + across * np.float32(math.sin(turn))
        aside = across * np.float32(math.cos(turn)) - u * np.float32(math.sin(turn))
        length = R90 * shape.bar_length
        inside = np.maximum(0, 1 - (along / length) ** 2 - (aside / (0.28 * length)) ** 2)
        old += (
            0.35
            * shape.bar_strength
            * (1 - shape.bulge_share)
            * inside
            / np.float32(0.28 * length**2 * ratio * 1.57)
        )
    if shape.arms:
        arms = _arms(shape, u, across, r)
        young += disc * shape.arm_strength * (2.2 * arms)
        disc = disc * (1 - 0.6 * np.float32(shape.arm_strength) * (1 - arms))
    if ring := odd.get("ring"):
        young += 1.6 * ring * disc.max() * 0.25 * np.exp(-(((r - 34) / 4) ** 2))
    if irregular := odd.get("irregular"):
        clumps = np.exp(irregular * (1.2 * sky.spread(lumps)) - 0.5)
        disc = disc * clumps
        young += disc * irregular * clumps * 0.6
    return old, disc, young


def _arms(shape: GalaxyShape, u: Plane, across: Plane, r: Plane) -> Plane:
    """Logarithmic arms, 1 on their ridges and towards 0 between them."""
    start = R90 * (shape.bar_length if shape.bar_strength else 0.16)
    wound = np.log(r / np.float32(start)) / np.float32(math.tan(math.radians(shape.pitch)))
    phase = np.arctan2(across, u) - np.float32(math.radians(shape.bar_angle))
    phase = phase + wound if shape.clockwise else phase - wound
    ridge = np.exp(np.float32(1.8) * (np.cos(np.float32(shape.arms) * phase) - 1))
    inside = 1 / (1 + np.exp(-(r - np.float32(0.8 * start)) / np.float32(2.5)))
    return np.asarray(ridge * inside, np.float32)


def _tail(x: Plane, y: Plane) -> Plane:
    """Return the light of a tidal tail: a faint curved plume on one side."""
    bent = y - (x / 9) ** 2 / 4
    return np.asarray(np.where(x > 0, np.exp(-((bent / 8) ** 2) - x / 40), 0) / 4000, np.float32)


def _dust(shape: GalaxyShape, sky: _Sky) -> Light:
    u, v = sky.turned(shape.angle)
    depth = 2.2 * shape.odd_strength * np.exp(-((v / 4) ** 2) - (u / 45) ** 4)
    return np.asarray(np.exp(-depth[..., None] * np.array((1.2, 0.9, 0.7))), np.float32)


def _star(shape: GalaxyShape, sky: _Sky) -> Light:
    u, v = sky.turned(shape.angle)
    size = np.float32(shape.blur / 2.355)
    r = np.hypot(u, v)
    glow = np.exp(-0.5 * (r / size) ** 2) + 0.02 / (1 + (r / (2 * size)) ** 2) ** 1.5
    spikes = np.exp(-np.abs(v) / (0.3 * size) - np.abs(u) / (6 * size)) + np.exp(
        -np.abs(u) / (0.3 * size) - np.abs(v) / (6 * size)
    )
    plane = (glow + 0.02 * spikes) / (2 * math.pi * size**2)
    colour = _YOUNG * (1 - shape.redness) + _OLD * shape.redness
    return np.asarray(plane[..., None] * colour, np.float32) * np.float32(shape.flux * shape.camera_pixel**2)


def _blurred(light: Light, shape: GalaxyShape, sky: _Sky) -> Light:
    """Blur by a core and wings, each a Gaussian."""
    core = shape.blur / 2.355 / sky.scale
    sharp = cv2.GaussianBlur(light, (0, 0), core, borderType=cv2.BORDER_REPLICATE)
    wings = cv2.GaussianBlur(sharp, (0, 0), 2 * core, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(0.85 * sharp + 0.15 * wings, np.float32)


def _add_neighbours(light: Light, shape: GalaxyShape, sky: _Sky, rng: np.random.Generator) -> None:
    """Add the faint stars and galaxies that stand around, as many as a patch of this size has."""
    arcmin = FRAME / R90 * shape.radius / 60
    count = min(int(rng.poisson(8 * arcmin**2)), 60)
    x, y = rng.uniform(-FRAME / 2, FRAME / 2, (2, count))
    magnitude = 22.3 + np.log10(rng.uniform(1e-3, 1, count)) / 0.4
    size = shape.blur / 2.355 * rng.uniform(1, 1.6, count)
    redness = rng.uniform(-0.2, 1.4, count)[:, None]
    flux = 10 ** (0.4 * (22.5 - magnitude)) * shape.camera_pixel**2 / (2 * math.pi * size**2)
    colours = (_OLD * redness + _YOUNG * (1 - redness)) * flux[:, None]
    along = np.exp(-0.5 * ((sky.positions - x[:, None]) / size[:, None]) ** 2)
    down = np.exp(-0.5 * ((sky.positions - y[:, None]) / size[:, None]) ** 2)
    for band in range(3):
        light[..., band] += (down.T * colours[:, band]) @ along


def _expose(
    light: Light, shape: GalaxyShape, sky: _Sky, rng: np.random.Generator
) -> UInt8[np.ndarray, "y x 3"]:
    """Add the noise of sky and galaxy and stretch to 8 bits as SDSS does."""
    # Finer grains than two GZ2 pixels would cost time and be lost in the JPEG; averaged, they are fainter.
    grain = max(shape.camera_pixel, 2.0)
    cells = math.ceil(FRAME / grain)
    noise = sky.spread(rng.standard_normal((cells, cells, 3), np.float32))
    noise *= _NOISE * np.float32(min(1.0, shape.camera_pixel / grain))
    light = light + noise * np.sqrt(1 + np.maximum(light, 0) / np.float32(_PHOTONS))
    colours = light[..., ::-1] * _BRIGHTNESS[::-1]
    brightness = np.maximum(colours.mean(axis=2, keepdims=True), np.float32(1e-6))
    stretched = np.arcsinh(np.float32(_STRETCH) * brightness) / np.float32(_STRETCH) / brightness
    colours = colours * stretched + np.float32(_SKY_OFFSET)
    # What is too bright keeps its colour.
    colours /= np.maximum(colours.max(axis=2, keepdims=True), 1)
    return np.asarray(np.clip(colours, 0, 1) * 255 + 0.5, np.uint8)
