"""What a simulated galaxy is: its true parameters, and how often each kind of galaxy comes."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from galvote.images.geometry import R90_PIXELS

PIXEL_SCALE = 0.396
"""Width of a pixel of the SDSS camera, arcsec."""

THINNEST_DISC = 0.13
"""Axis ratio of a disc seen exactly from its edge."""

SKY_NOISE = 0.025
"""Noise of the sky in the r band, nanomaggies a camera pixel."""

Kind = Literal["elliptical", "disc", "star"]
Oddity = Literal["nothing", "ring", "arc", "disturbed", "irregular", "merger", "dust lane"]


@dataclass(frozen=True)
class GalaxyShape:
    """The true parameters of a simulated galaxy; what does not apply to its kind is left at its default."""

    kind: Kind  # a star is one that was taken for a galaxy
    magnitude: float = 16.0  # in the r band
    radius: float = 10.0  # that holds 90 % of the Petrosian flux in the r band, arcsec
    seeing: float = 1.2  # full width at half maximum of the point-spread function, arcsec
    angle: float = 0.0  # of the long axis, degrees from the image's x axis towards its y axis (downwards)
    redness: float = 0.5  # age of the stars, 0 (blue) to 1 (red)
    roundness: float = 1.0  # axis ratio of an elliptical, 0 to 1
    sersic_index: float = 4.0  # concentration of an elliptical or a bulge; 1 exponential, 4 de Vaucouleurs'
    inclination: float = 0.0  # of a disc, degrees: 0 is face-on, 90 edge-on
    bulge_share: float = 0.0  # of a disc galaxy's light, 0 to 1
    boxiness: float = 0.0  # of the bulge, 0 (round) to 1 (a box)
    bar_strength: float = 0.0  # 0 (none) to 1
    bar_length: float = 0.4  # half of it, in units of the radius
    bar_angle: float = 0.0  # from the disc's long axis, degrees within the disc; arms start from there too
    arms: int = 0  # 0 to 6
    arm_strength: float = 0.0  # contrast, 0 (none) to 1
    pitch: float = 20.0  # between an arm and a circle, degrees: 10 is tightly, 20 medium, 35 loosely wound
    clockwise: bool = False  # which way the arms turn
    oddity: Oddity = "nothing"
    odd_strength: float = 0.0  # how clearly it shows, 0 to 1

    @property
    def axis_ratio(self) -> float:
        """Of the galaxy as seen on the sky, before the air blurs it."""
        if self.kind != "disc":
            return self.roundness
        tilt = math.radians(self.inclination)
        return math.hypot(math.cos(tilt), THINNEST_DISC * math.sin(tilt))

    @property
    def is_edge_on(self) -> bool:
        """Whether most people would call the disc edge-on."""
        return self.kind == "disc" and self.inclination > 80

    @property
    def is_barred(self) -> bool:
        """Whether the bar is strong enough to be noticed."""
        return self.bar_strength > 0.4

    @property
    def bulge_shape(self) -> Literal["round", "boxy", "no"]:
        """What the bulge looks like from the edge of the disc."""
        if self.bulge_share < 0.1:
            return "no"
        return "boxy" if self.boxiness > 0.5 else "round"

    @property
    def openness(self) -> float:
        """How much of what lies in the disc's plane shows: 1 face-on, and 0 where the disc hides itself."""
        return 1 / (1 + math.exp((self.inclination - 74) / 4)) if self.kind == "disc" else 0.0

    @property
    def flux(self) -> float:
        """In the r band, nanomaggies."""
        return 10 ** (0.4 * (22.5 - self.magnitude))

    @property
    def camera_pixel(self) -> float:
        """Width of a pixel of the SDSS camera, GZ2 pixels."""
        return PIXEL_SCALE * R90_PIXELS / self.radius

    @property
    def blur(self) -> float:
        """Full width at half maximum of the point-spread function, GZ2 pixels."""
        return self.seeing * R90_PIXELS / self.radius

    def describe(self) -> str:
        """Name the galaxy in a few words, for captions: ``barred, 2 arms``."""
        if self.kind == "star":
            return "star"
        if self.oddity != "nothing":
            return self.oddity
        if self.kind == "elliptical":
            return _in_words(self.roundness, (0.4, 0.75), ("cigar-shaped", "in between", "round"))
        if self.is_edge_on:
            return f"edge-on, {self.bulge_shape} bulge"
        bar = "barred" if self.is_barred else ""
        if not self.arms:
            return bar or (
                "disc, "
                + _in_words(self.bulge_share, (0.05, 0.2, 0.5), ("no", "noticeable", "obvious", "dominant"))
                + " bulge"
            )
        arms = f"{self.arms} arm{'s' if self.arms > 1 else ''}"
        return f"{bar or _in_words(self.pitch, (14.0, 26.0), ('tight', 'medium', 'loose'))}, {arms}"


def draw_shape(rng: np.random.Generator) -> GalaxyShape:
    """Draw a galaxy as SDSS might have met it.

    About 2 % are stars and 39 % ellipticals; the rest are discs at random inclinations. Numbers grow with
    magnitude as in a static Euclidean universe, to the limit of GZ2 (r = 17).
    """
    magnitude = float(np.clip(17 + math.log10(rng.uniform(1e-9, 1)) / 0.6, 13.0, 17.0))
    # A galaxy of given luminosity is smaller and fainter by the same factor when it is farther away.
    radius = float(np.clip(6.5 * 10 ** (0.2 * (16 - magnitude) + rng.normal(0, 0.14)), 3.5, 40.0))
    seeing = float(1.2 * math.exp(rng.normal(0, 0.1)))
    angle, redness = float(rng.uniform(0, 180)), float(rng.beta(3, 2))
    kind = rng.choice(3, p=(0.02, 0.39, 0.59))
    seen = partial(
        GalaxyShape, magnitude=magnitude, radius=radius, seeing=seeing, angle=angle, redness=redness
    )
    if kind == 0:
        return seen(
            "star", magnitude=float(rng.uniform(12.5, 15.5)), radius=float(rng.uniform(1.6, 4.5)) * seeing
        )
    if kind == 1:
        oddity = _ODD_ELLIPTICALS[rng.choice(5, p=(0.90, 0.02, 0.03, 0.04, 0.01))]
        return seen(
            "elliptical",
            redness=0.6 + 0.4 * redness,
            roundness=float(np.clip(1 - abs(rng.normal(0, 0.33)), 0.25, 1)),
            sersic_index=float(rng.uniform(2.0, 5.0)),
            oddity=oddity,
            odd_strength=_odd_strength(oddity, rng),
        )
    oddity = _ODD_DISCS[rng.choice(6, p=(0.81, 0.05, 0.03, 0.05, 0.05, 0.01))]
    inclination = math.degrees(math.acos(rng.uniform(0, 1)))
    if oddity == "dust lane":
        inclination = 84 + inclination / 15
    elif oddity in ("ring", "irregular"):
        inclination *= 0.7
    arms = int(rng.choice(7, p=(0.20, 0.025, 0.45, 0.13, 0.085, 0.055, 0.055)))
    if oddity in ("ring", "irregular"):
        arms = 0
    bulge_share = float(rng.beta(1.3, 4)) * (0.3 if oddity == "irregular" else 1)
    return seen(
        "disc",
        sersic_index=float(rng.uniform(1.5, 3.5)),
        inclination=inclination,
        bulge_share=bulge_share,
        boxiness=float(rng.beta(0.5, 2.0)),
        bar_strength=float(rng.beta(1, 1.2)) if rng.uniform() < 0.45 else 0.0,
        bar_length=float(rng.uniform(0.25, 0.55)),
        bar_angle=float(rng.uniform(0, 180)),
        arms=arms,
        arm_strength=float(rng.beta(2, 1.2)) if arms else 0.0,
        pitch=float(np.clip(8 + rng.gamma(1.5, 5.0), 8, 45)),
        clockwise=bool(rng.uniform() < 0.5),
        oddity=oddity,
        odd_strength=_odd_strength(oddity, rng),
    )


_ODD_ELLIPTICALS: tuple[Oddity, ...] = ("nothing", "arc", "disturbed", "merger", "dust lane")
_ODD_DISCS: tuple[Oddity, ...] = ("nothing", "ring", "disturbed", "irregular", "merger", "dust lane")


def _odd_strength(oddity: Oddity, rng: np.random.Generator) -> float:
    strength = float(rng.uniform(0.3, 1))
    return 0.0 if oddity == "nothing" else strength


def _in_words(value: float, limits: tuple[float, ...], words: tuple[str, ...]) -> str:
    return words[sum(value > limit for limit in limits)]
