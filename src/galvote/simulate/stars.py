"""Where a galaxy's stars are, before the air blurs them: bulge, disc, bar, arms, and what is odd.

Lengths are GZ2 pixels, light is per square GZ2 pixel, and a galaxy's light adds up to about 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from galvote.images.geometry import R90_PIXELS
from galvote.simulate.shapes import GalaxyShape
from galvote.simulate.sky import Light, Plane, Sky

# Fluxes in g, r and i, in units of that in r.
OLD = np.array((0.43, 1.0, 1.46), dtype=np.float32)
YOUNG = np.array((0.85, 1.0, 1.18), dtype=np.float32)


@dataclass(frozen=True)
class Chance:
    """What a shape leaves open."""

    lumps: Float32[np.ndarray, "row column"]  # standard normal, over the whole frame: where stars form
    wobble: Float32[np.ndarray, "coarse_row coarse_column"]  # how far arms stray from their curve
    turn: float  # where a companion, a tail or an arc is around the galaxy, 0 to 1
    distance: float  # outwards, 0 to 1

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Chance":
        """Draw it all, needed or not, so that what is drawn next does not depend on the shape."""
        return cls(
            rng.standard_normal((40, 40), np.float32),
            rng.standard_normal((8, 8), np.float32),
            rng.uniform(),
            rng.uniform(),
        )


def galaxy_light(shape: GalaxyShape, sky: Sky, chance: Chance) -> Light:
    """Return the light of a galaxy in the bands g, r and i."""
    u, v = sky.axes(shape.angle)
    disturbed = _strength(shape, "disturbed") + 0.6 * _strength(shape, "merger")
    if disturbed:
        v = v + disturbed * (14 * (u / R90_PIXELS) ** 2 - 8 * (u / R90_PIXELS) ** 3)
    if shape.kind == "elliptical":
        old = _sersic(_radius(u, v, shape.roundness), R90_PIXELS / 2.15, shape.sersic_index, shape.roundness)
        mixed = young = np.zeros_like(old)
    else:
        old, mixed, young = _disc_galaxy(shape, sky, u, v, chance)
    if disturbed:
        mixed = mixed + 0.5 * disturbed * _tail(*sky.axes(360 * chance.turn + 120))
    if merger := _strength(shape, "merger"):
        away, towards = 28 + 24 * chance.distance, 2 * math.pi * chance.turn
        x, y = sky.axes(360 * chance.turn + 50, away * math.cos(towards), away * math.sin(towards))
        old = old + (0.3 + 0.4 * merger) * _sersic(_radius(x, y, 0.7), 13.0, 2.0, 0.7)
    if arc := _strength(shape, "arc"):
        young = young + 0.15 * arc * _arc(*sky.axes(360 * chance.turn))
    middle = OLD * shape.redness + YOUNG * (1 - shape.redness)
    colours = np.stack([0.5 * (OLD + middle), middle, 0.7 * YOUNG + 0.3 * middle])
    return np.asarray(np.stack([old, mixed, young], axis=2) @ colours)


def _disc_galaxy(
    shape: GalaxyShape, sky: Sky, u: Plane, v: Plane, chance: Chance
) -> tuple[Plane, Plane, Plane]:
    """Return old, mixed and young stars."""
    ratio = shape.axis_ratio
    across = v / ratio
    # 90 % of an exponential disc lies within 3.9 scale lengths face-on, 2.3 edge-on.
    scale_length = R90_PIXELS / (2.3 + 1.6 * ratio)
    centre = 8 * _strength(shape, "irregular") + 12 * _strength(shape, "disturbed")
    r = _radius(u - centre, v, ratio)
    disc_share = 1 - shape.bulge_share
    disc = disc_share * _sersic(r, 1.678 * scale_length, 1.0, ratio)

    tilt = math.radians(shape.inclination)
    flatness = math.hypot(math.cos(tilt), 0.7 * math.sin(tilt))
    # A boxy bulge is a bar seen from its side: larger and with a sharper edge than others.
    size = scale_length * (0.25 + 0.6 * shape.bulge_share) * (1 + shape.boxiness)
    index = shape.sersic_index * (1 - shape.boxiness) + 0.6 * shape.boxiness
    bulge = _sersic(_radius(u, v, flatness, shape.boxiness), size, index, flatness)
    old = shape.bulge_share * bulge
    if shape.bar_strength:
        old = old + 0.35 * disc_share * shape.bar_strength * _bar(shape, u, across) / ratio

    young = np.zeros_like(disc)
    if shape.arms:
        arms = _arms(shape, u, across, r, sky.spread(chance.wobble))
        contrast = shape.arm_strength * shape.openness
        young = 2.2 * contrast * disc * arms * np.exp(0.4 * sky.spread(chance.lumps))
        disc = disc * (1 - 0.6 * contrast * (1 - arms))
    if ring := _strength(shape, "ring"):
        young = young + 0.45 * ring * disc_share * _ring(r, 34.0, 5.0) / ratio
        disc = disc * (1 - 0.5 * ring)
    if irregular := _strength(shape, "irregular"):
        clumps = disc * np.exp(irregular * sky.spread(chance.lumps))
        disc, young = 0.3 * clumps, 0.7 * clumps
    return old, disc, young


def _radius(u: Plane, v: Plane, axis_ratio: float, boxiness: float = 0.0) -> Plane:
    """Return the long half axis of the ellipse, or box (Athanassoula et al. 1990), through each point."""
    # The small constant keeps the centre smooth where a pixel cannot show it anyway.
    if not boxiness:
        return np.asarray(np.sqrt(u * u + (v / axis_ratio) ** 2 + 0.5))
    power = 2 + 4 * boxiness
    return np.asarray((np.abs(u) ** power + np.abs(v / axis_ratio) ** power + 0.5) ** (1 / power))


def _sersic(radius: Plane, half_light: float, index: float, axis_ratio: float) -> Plane:
    """Return a Sérsic profile (Graham & Driver 2005, PASA 22, 118; b_n after Ciotti & Bertin 1999)."""
    b = 2 * index - 1 / 3 + 4 / (405 * index) + 46 / (25515 * index**2)
    flux = 2 * math.pi * index * half_light**2 * axis_ratio * b ** (-2 * index) * math.gamma(2 * index)
    return np.asarray(np.exp(-b * (radius / half_light) ** (1 / index)) / flux)


def _bar(shape: GalaxyShape, u: Plane, across: Plane) -> Plane:
    """Return a Ferrers bar of index 1, in the plane of the disc."""
    turn = math.radians(shape.bar_angle)
    long = R90_PIXELS * shape.bar_length
    short = 0.28 * long
    along = u * math.cos(turn) + across * math.sin(turn)
    aside = across * math.cos(turn) - u * math.sin(turn)
    inside = np.maximum(0, 1 - (along / long) ** 2 - (aside / short) ** 2)
    return np.asarray(inside / (math.pi / 2 * long * short))


def _arms(shape: GalaxyShape, u: Plane, across: Plane, r: Plane, wobble: Plane) -> Plane:
    """Return logarithmic arms: 1 on their ridges, towards 0 between them and inside their start."""
    start = R90_PIXELS * (shape.bar_length if shape.bar_strength else 0.16)
    wound = np.log(r / start) / math.tan(math.radians(shape.pitch))
    angle = np.arctan2(across, u) - math.radians(shape.bar_angle)
    phase = shape.arms * (angle + wound if shape.clockwise else angle - wound) + 0.25 * wobble
    # A single arm is not half the disc wide.
    narrowness = max(1.8, 6 / shape.arms)
    ridges = np.exp(narrowness * (np.cos(phase) - 1))
    return np.asarray(ridges / (1 + np.exp((0.8 * start - r) / 2.5)))


def _ring(r: Plane, radius: float, width: float) -> Plane:
    return np.asarray(np.exp(-(((r - radius) / width) ** 2)) / (2 * math.pi**1.5 * radius * width))


def _arc(x: Plane, y: Plane) -> Plane:
    """Return an arc as of a galaxy behind that is lensed: a third of a ring."""
    return np.asarray(3 * _ring(np.hypot(x, y), 34.0, 3.5) * np.exp(-((np.arctan2(y, x) / 1.1) ** 4)))


def _tail(x: Plane, y: Plane) -> Plane:
    """Return a tidal tail: a faint curved plume on one side, wider farther out."""
    width = 9 + np.maximum(x, 0) / 6
    plume = np.exp(-(((y - (x / 16) ** 2) / width) ** 2) - np.maximum(x, 0) / 32)
    return np.asarray(plume / (1 + np.exp(-np.maximum(x, -60) / 3)) / 1500)


def _strength(shape: GalaxyShape, oddity: str) -> float:
    return shape.odd_strength if shape.oddity == oddity else 0.0
