"""What a plane's sky is like, and planes to RGB, as an SDSS composite would show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8

from galvote.errors import ImageError

STRETCH = 80.0
"""Lupton's stretch, in units of the sky noise: brightness is about linear up to ``STRETCH / SOFTENING``."""

SOFTENING = 8.0
"""Lupton's Q: how strongly what is brighter is compressed."""

BLACK = -1.0
"""Brightness that is shown black, in units of the sky noise: the sky of SDSS composites is nearly black."""

GAINS = (0.8, 0.8, 1.4)
"""Weights of the blue, green and red planes after division by their noise."""

SAMPLE = 1_000_000
"""Sky and noise are estimated on about this many pixels of a plane."""

_FEW = 10_000  # pixels among which numbers that recur are looked for
_ISOLATED = 5  # standard deviations by which a value that fills gaps is away from what is measured
_MOST = 1e9  # noises above the sky, so that a hot pixel remains a number in float32


@dataclass(frozen=True)
class Sky:
    """What a plane's sky is like: its level, its noise (a standard deviation), and what stands for no data.

    Numbers such as -9999 may, and blocks of 0, of 3 × 3 pixels and more, as where a survey has not been. In
    whole numbers 0 is a number, and where nothing is negative it may be a sky without noise; single ones are
    also what packing makes of the sky.
    """

    level: float
    noise: float
    fills: tuple[float, ...] = ()
    zero_is_blank: bool = False

    def above(self, pixels: Shaped[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
        """Return the brightness of pixels above the sky in units of the noise; NaN where there is none."""
        light = np.array(pixels, np.float64)
        gaps = ~np.isfinite(light)
        for fill in self.fills:
            gaps |= light == fill
        if self.zero_is_blank:
            gaps |= _blocks(light == 0)
        light -= self.level
        light /= self.noise
        light[gaps] = np.nan
        return np.clip(light, -_MOST, _MOST).astype(np.float32)


def compose(
    planes: Sequence[Float32[np.ndarray, "y x"]], stretch: str = "lupton"
) -> UInt8[np.ndarray, "y x 3"]:
    """Make an image (Lupton et al. 2004, PASP 116, 133) of brightness in units of the sky's noise.

    Of one plane the stretch may be ``percentile``, linear from black at its percentile 0.5 to white at 99.5,
    or ``asinh``, of what is between 0.5 and 99.9. What is not finite is shown as sky.

    In these units, `STRETCH` gives the noise that GZ2 images have, 3 to 4 levels of 255. Noise grows from g
    to i or z somewhat more than composites weigh the planes down (SDSS: g 7.8, r 5.7, i 4.9 for fluxes in
    nanomaggies; Legacy Surveys: g 6, r 3.4, z 2.2), and `GAINS` makes that up.
    """
    from astropy.visualization import AsinhStretch, make_lupton_rgb

    finite = [np.where(np.isfinite(plane), plane, np.float32(0)) for plane in planes]
    if stretch != "lupton":
        if len(finite) > 1:
            raise ImageError(
                "unsupported",
                f"The stretch {stretch} is for images of one plane, and this one has {len(finite)}; leave "
                "--stretch out (in Python, stretch=), or choose one plane with --bands.",
            )
        low, high = np.nanpercentile(planes[0], (0.5, 99.5 if stretch == "percentile" else 99.9))
        grey = np.clip((finite[0] - low) / ((high - low) or 1.0), 0, 1)
        grey = AsinhStretch()(grey) if stretch == "asinh" else grey
        return np.repeat(np.rint(255 * grey).astype(np.uint8)[:, :, None], 3, axis=2)
    if len(finite) == 1:
        blue = green = red = finite[0] - BLACK
    else:
        blue, green, red = (gain * plane - BLACK for gain, plane in zip(GAINS, finite, strict=True))
    return np.asarray(make_lupton_rgb(red, green, blue, stretch=STRETCH, Q=SOFTENING), dtype=np.uint8)


def measure_sky(pixels: Shaped[np.ndarray, "*pixels"], name: str) -> Sky:
    """Return a plane's sky, a clipped median and its scaled deviation; `ImageError` if it has no light."""
    from astropy.stats import sigma_clipped_stats

    finite = pixels[np.isfinite(pixels)]
    sample = finite[:: max(1, finite.size // SAMPLE)].astype(np.float64)
    fills = _find_fills(sample)
    sample = sample[~np.isin(sample, fills)]
    zero_is_blank = bool((sample != np.rint(sample)).any() and (sample < 0).any())
    if zero_is_blank:
        sample = sample[sample != 0]
    ends = sorted({sample.min(), sample.max()}) if sample.size else []
    if np.isin(sample, ends).all():
        what = f"only {' and '.join(f'{value + 0:g}' for value in ends)}" if ends else "no finite number"
        raise ImageError(
            "unsupported",
            f"{name} has {what}, so it is no image; leave it out, or name those that are with --bands, as "
            "in --bands 0 or --bands SCI (in Python, bands=).",
        )
    unit = 2.0 ** np.frexp(np.abs(sample).max())[1]  # squares of any unit are then numbers
    _, level, noise = sigma_clipped_stats(sample / unit, stdfunc="mad_std")
    if not noise > 0:  # the brightest half per cent are taken to be 200 times the noise above the sky
        noise = (np.percentile(sample / unit, 99.5) - level) / 200 or 1 / unit
    return Sky(float(level * unit), float(noise * unit), fills, zero_is_blank)


def _find_fills(sample: Float64[np.ndarray, " pixel"]) -> tuple[float, ...]:
    """Return the numbers that stand for none; of 0 see `Sky`.

    They recur, and are far from all others or, among real numbers that do not recur, in the midst of them.
    """
    values, counts = np.unique(sample[:: max(1, sample.size // _FEW)], return_counts=True)
    often, alone = counts > counts.sum() / 10, counts == 1
    often[[0, -1] if values.size else []] = False
    fills = values[often & (values != 0)].tolist() if alone.sum() > 0.9 * (~often).sum() else list[float]()
    sample = sample[~np.isin(sample, fills)]
    while sample.size:
        for fill in (sample.min(), sample.max()):
            others = sample[sample != fill]
            if sample.size - others.size > 1 and others.size and _is_far(fill, others):
                fills.append(float(fill))
                sample = others
                break
        else:
            break
    return tuple(fills)


def _is_far(fill: float, others: Float64[np.ndarray, " pixel"]) -> bool:
    """Whether a number is farther above others than they reach, or below than noise explains."""
    low, high = others.min(), others.max()
    if fill > high:
        return bool(fill - high > high - low > 0)
    spread = np.subtract(*np.percentile(others, (50, 16)))
    # In whole numbers, a spread of 0 is one of less than their steps.
    return bool(low - fill > _ISOLATED * spread) and bool(
        low - fill > _ISOLATED * np.diff(np.unique(others)).min(initial=math.inf)
    )


def _blocks(where: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return which pixels are in a block of at least 3 × 3."""
    opened = cv2.morphologyEx(where.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened, dtype=bool)
