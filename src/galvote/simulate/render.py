"""From a galaxy's true shape to the image that SDSS would have taken of it.

Light is a surface brightness in nanomaggies a camera pixel, in the bands g, r and i; lengths are GZ2 pixels.
"""

import math

import cv2
import numpy as np
from jaxtyping import UInt8

from galvote.images.geometry import FRAME_PIXELS, R90_PIXELS
from galvote.simulate.shapes import SKY_NOISE, GalaxyShape
from galvote.simulate.sky import Light, Sky
from galvote.simulate.stars import OLD, YOUNG, Chance, galaxy_light

# Noise of the sky in g, r and i, and light of the sky in r, with which a galaxy's own photons compare.
_NOISE = SKY_NOISE * np.array((0.7, 1.0, 1.4), dtype=np.float32)
_SKY_LIGHT = 0.63
# SDSS shows g, r and i as blue, green and red with these weights (the colours of its sky server, after Lupton
# et al. 2004, PASP 116, 133); overall brightness and stretch are chosen so that the profiles of simulated
# galaxies look like those of real GZ2 images.
_WEIGHTS = 0.27 * np.array((7.8, 5.7, 4.9), dtype=np.float32)
_STRETCH = 7.0
_BLACK = 0.012
_SATURATION = 60.0


def render_galaxy(
    shape: GalaxyShape, rng: np.random.Generator, pixels: int = 128
) -> UInt8[np.ndarray, "y x 3"]:
    """Render a galaxy as an SDSS colour image: blurred by the air, with neighbours and sky noise.

    ``rng`` draws what the shape leaves open. The same draws give the same sky at both sizes: 424 pixels for
    the whole GZ2 frame, or 128 for its central 256.
    """
    sky, chance = Sky(pixels), Chance.draw(rng)
    if shape.kind == "star":
        light = _star(shape, sky)
    else:
        light = galaxy_light(shape, sky, chance)
        if shape.oddity == "dust lane":
            light *= _dust(shape, sky)
        light = _blur(light, shape, sky)
    light *= shape.flux * shape.camera_pixel**2
    _add_neighbours(light, shape, sky, rng)
    _add_noise(light, shape, sky, rng)
    return _develop(light)


def _star(shape: GalaxyShape, sky: Sky) -> Light:
    """Return a star of unit flux with the halo and the spikes of bright ones."""
    u, v = sky.axes(shape.angle)
    size = shape.blur / 2.355
    r = np.hypot(u, v) / size
    along, aside = np.abs(u) / size, np.abs(v) / size
    spikes = np.exp(-3 * aside - along / 4) + np.exp(-3 * along - aside / 4)
    plane = np.exp(-0.5 * r**2) + 0.01 / (1 + r**2 / 4) ** 1.5 + 0.01 * spikes
    colour = OLD * shape.redness + YOUNG * (1 - shape.redness)
    return np.asarray(plane[..., None] * colour / (2 * math.pi * size**2))


def _dust(shape: GalaxyShape, sky: Sky) -> Light:
    """Return what a lane of dust along the long axis lets through; least in the blue."""
    u, v = sky.axes(shape.angle)
    depth = 4 * shape.odd_strength * np.exp(-(((v - 1.5) / 4) ** 2) - (u / (0.9 * R90_PIXELS)) ** 4)
    return np.asarray(np.exp(depth[..., None] * np.array((-1.2, -0.9, -0.7), dtype=np.float32)))


def _blur(light: Light, shape: GalaxyShape, sky: Sky) -> Light:
    """Blur by a core and wings, each a Gaussian."""
    width = shape.blur / 2.355 / sky.scale
    core = cv2.GaussianBlur(light, (0, 0), width, borderType=cv2.BORDER_REPLICATE)
    wings = cv2.GaussianBlur(core, (0, 0), 2 * width, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(0.85 * core + 0.15 * wings)


def _add_neighbours(light: Light, shape: GalaxyShape, sky: Sky, rng: np.random.Generator) -> None:
    """Add the faint stars and galaxies that stand around, about 8 a square arcminute."""
    arcmin = FRAME_PIXELS / R90_PIXELS * shape.radius / 60
    count = min(int(rng.poisson(8 * arcmin**2)), 60)
    x, y = rng.uniform(-FRAME_PIXELS / 2, FRAME_PIXELS / 2, (2, count))
    magnitude = 22.3 + np.log10(rng.uniform(1e-3, 1, count)) / 0.4
    size = shape.blur / 2.355 * rng.uniform(1, 1.6, count)
    redness = rng.uniform(-0.3, 1.5, (count, 1))
    peak = 10 ** (0.4 * (22.5 - magnitude)) * shape.camera_pixel**2 / (2 * math.pi * size**2)
    colours = (OLD * redness + YOUNG * (1 - redness)) * peak[:, None]
    # A round Gaussian is the product of one along x and one along y.
    columns = np.exp(-0.5 * ((sky.positions - x[:, None]) / size[:, None]) ** 2)
    rows = np.exp(-0.5 * ((sky.positions - y[:, None]) / size[:, None]) ** 2)
    for band in range(3):
        light[..., band] += (rows.T * colours[:, band]) @ columns


def _add_noise(light: Light, shape: GalaxyShape, sky: Sky, rng: np.random.Generator) -> None:
    """Add the noise of sky and galaxy, in grains of a camera pixel."""
    # Grains finer than two GZ2 pixels would cost time and be lost in the JPEG; averaged, they are fainter.
    grain = max(shape.camera_pixel, 2.0)
    cells = math.ceil(FRAME_PIXELS / grain)
    noise = sky.spread(rng.standard_normal((cells, cells, 3), np.float32))
    noise *= _NOISE * np.float32(shape.camera_pixel / grain)
    light += noise * np.sqrt(1 + np.maximum(light, 0) / _SKY_LIGHT)


def _develop(light: Light) -> UInt8[np.ndarray, "y x 3"]:
    """Stretch to 8 bits: the asinh of the brightness, with the colour as it is (Lupton et al. 2004)."""
    colours = np.minimum(light * _WEIGHTS, _SATURATION)[..., ::-1]
    # Band by band: numpy is slow along an axis of three.
    red, green, blue = (colours[..., band] for band in range(3))
    brightness = np.maximum((red + green + blue) * (_STRETCH / 3), 1e-6)
    stretch = np.arcsinh(brightness) / brightness
    # What is too bright keeps its colour too.
    stretch /= np.maximum(np.maximum(np.maximum(red, green), blue) * stretch, 1)
    colours = np.clip(colours * stretch[..., None] + _BLACK, 0, 1)
    return np.asarray(colours * 255 + 0.5, np.uint8)
