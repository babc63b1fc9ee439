"""The simulated volunteers: how a galaxy's true shape divides them, and what they vote.

The probabilities are smooth functions of the shape as it can be seen: a weak bar divides the volunteers, and
arms that the air has blurred away are not voted for.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from galvote.images.geometry import R90_PIXELS
from galvote.simulate.shapes import PIXEL_SCALE, SKY_NOISE, GalaxyShape, Oddity
from galvote.trees import load_tree, to_cumulative

TREE = load_tree("gz2")
"""The tree that the simulated volunteers walk down."""

ODD_ANSWERS: Mapping[Oddity, str] = {
    "ring": "ring",
    "arc": "lens_or_arc",
    "disturbed": "disturbed",
    "irregular": "irregular",
    "merger": "merger",
    "dust lane": "dust_lane",
}
"""Label of the answer that names each oddity."""


def answer_probabilities(shape: GalaxyShape) -> Float[np.ndarray, " answer"]:
    """Return how likely a volunteer who is asked a question gives each answer, in (0, 1).

    They sum to 1 within each question of `TREE`: the conditional fractions of infinitely many volunteers.
    """
    by_question = _probabilities(shape)
    return np.concatenate([by_question[question.name] for question in TREE.questions])


def ask_volunteers(
    probabilities: Float[np.ndarray, " answer"], volunteers: int, rng: np.random.Generator
) -> Int[np.ndarray, " answer"]:
    """Let volunteers walk down the tree and return how many gave each answer."""
    counts = np.zeros(len(TREE), dtype=np.int64)
    for question in TREE.asking_order:
        parents = TREE.parents[question.name]
        asked = int(counts[list(parents)].sum()) if parents else volunteers
        columns = TREE.slices[question.name]
        counts[columns] = rng.multinomial(asked, probabilities[columns])
    return counts


def conditional_fractions(counts: Int[np.ndarray, " answer"]) -> Float[np.ndarray, " answer"]:
    """Divide each question's counts by their sum; NaN where nobody was asked."""
    fractions = np.full(len(TREE), np.nan)
    for columns in TREE.slices.values():
        if asked := counts[columns].sum():
            fractions[columns] = counts[columns] / asked
    return fractions


def cumulative_fractions(counts: Int[np.ndarray, " answer"]) -> Float[np.ndarray, " answer"]:
    """Return the counts as the challenge publishes them: cumulative, with "odd" normalised to 1.

    Where every volunteer said "star or artifact" nobody was asked whether anything is odd; that counts as no.
    """
    fractions = conditional_fractions(counts)
    odd = TREE.slices["odd"]
    if np.isnan(fractions[odd]).any():
        fractions[odd] = (0, 1)
    return np.asarray(to_cumulative(TREE, fractions[None])[0])


def _probabilities(shape: GalaxyShape) -> Mapping[str, Float[np.ndarray, " answer"]]:
    blur = shape.blur / R90_PIXELS
    camera_pixels = math.pi * (shape.radius / PIXEL_SCALE) ** 2
    signal = shape.flux / camera_pixels / SKY_NOISE
    clear = 1 - math.exp(-signal / 4)
    sight = clear * _contrast(blur, 0.8)
    is_disc, is_star = shape.kind == "disc", shape.kind == "star"

    edge = _step(shape.inclination, 79.0, 3.0) if is_disc else 0.5 * _step(0.36 - shape.axis_ratio, 0.0, 0.04)
    arms = bar = 0.0
    if shape.arms:
        distance_apart = 2 * math.pi * 0.6 * math.sin(math.radians(shape.pitch)) / shape.arms
        arms = shape.arm_strength * clear * shape.openness * _contrast(blur, distance_apart)
    if shape.bar_strength:
        bar = shape.bar_strength * clear * shape.openness * _contrast(blur, 2 * shape.bar_length)
    odd = shape.odd_strength * (0.5 + 0.5 * sight)

    star = 0.93 if is_star else 0.01 + 0.04 * math.exp(-signal / 3)
    hints = 2.2 * arms + 1.2 * bar + 1.1 * edge + 0.7 * odd + 0.5 * is_disc * (1 - shape.bulge_share)
    featured = 0.03 + 0.94 * _step(hints, 0.6, 0.2)
    seen_ratio = math.sqrt((shape.axis_ratio**2 + blur**2) / (1 + blur**2))

    barred = 0.04 + 0.92 * _step(bar, 0.34, 0.08)
    spiral = 0.06 + 0.92 * _step(arms, 0.12, 0.04)
    is_odd = 0.11 + 0.86 * _step(odd, 0.42, 0.08)
    no_bulge = _step(shape.bulge_share, 0.10, -0.03) if is_disc else 0.05
    boxy = 0.05 + 0.9 * _step(shape.boxiness, 0.5, 0.08)

    return {
        "smooth_or_features": _shares((1 - star) * (1 - featured), (1 - star) * featured, star),
        "edge_on": _shares(yes := 0.02 + 0.96 * edge, 1 - yes),
        "bar": _shares(barred, 1 - barred),
        "spiral": _shares(spiral, 1 - spiral),
        "bulge": _ordered(math.sqrt(shape.bulge_share if is_disc else 0.8), (0.18, 0.48, 0.82), 0.07),
        "odd": _shares(is_odd, 1 - is_odd),
        "roundness": _ordered(1 - seen_ratio, (0.24, 0.6), 0.05),
        "odd_feature": _odd_feature(shape, odd),
        "edge_on_bulge": _shares((1 - no_bulge) * (1 - boxy), (1 - no_bulge) * boxy, no_bulge),
        "arm_winding": _ordered(shape.pitch, (14.0, 26.0), 2.5) if shape.arms else _shares(0.45, 0.35, 0.2),
        "arm_number": _arm_number(shape, arms),
    }


def _odd_feature(shape: GalaxyShape, odd: float) -> Float[np.ndarray, " answer"]:
    guesses = _shares(0.10, 0.07, 0.12, 0.14, 0.43, 0.12, 0.02)
    if shape.oddity == "nothing":
        return guesses
    truth = [answer.label == ODD_ANSWERS[shape.oddity] for answer in TREE.question("odd_feature").answers]
    seen = 0.9 * _step(odd, 0.3, 0.08)
    return np.asarray(seen * np.array(truth) + (1 - seen) * guesses)


def _arm_number(shape: GalaxyShape, visible: float) -> Float[np.ndarray, " answer"]:
    guesses = _shares(0.04, 0.28, 0.05, 0.02, 0.03, 0.58)
    if not shape.arms:
        return guesses
    # A volunteer miscounts by one more often the more arms there are to count.
    miscounts = 0.03 * shape.arms
    near = np.zeros(7)
    for count, share in ((-1, miscounts / 2), (0, 1 - miscounts), (1, miscounts / 2)):
        near[min(max(shape.arms + count, 1), 6)] += share
    counted = np.array([near[1], near[2], near[3], near[4], near[5] + near[6], 0.0])
    seen = 0.95 * _step(visible, 0.22 + 0.02 * shape.arms, 0.06)
    return np.asarray(seen * counted + (1 - seen) * guesses)


def _contrast(blur: float, wavelength: float) -> float:
    """Return what a Gaussian blur of this full width at half maximum leaves of a wave."""
    return math.exp(-2 * (math.pi * blur / 2.355 / wavelength) ** 2)


def _step(value: float, middle: float, width: float) -> float:
    """Rise smoothly from 0 to 1 around ``middle``; fall if the width is negative."""
    return 1 / (1 + math.exp(-(value - middle) / width))


def _ordered(value: float, limits: tuple[float, ...], width: float) -> Float[np.ndarray, " answer"]:
    """Divide the volunteers among answers that follow one another, with soft limits between them."""
    below = [0.0, *(_step(limit, value, width) for limit in limits), 1.0]
    return _shares(*np.diff(below))


def _shares(*weights: float) -> Float[np.ndarray, " answer"]:
    shares = np.array(weights, dtype=np.float64) + 1e-6
    return np.asarray(shares / shares.sum())
