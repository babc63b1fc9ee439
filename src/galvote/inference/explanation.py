"""What of an image mattered for an answer, and what a prediction owes to the image's orientation."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from galvote.errors import ModelError
from galvote.images import View, network_input
from galvote.inference.predictor import Predictor
from galvote.trees import Question

Method = Literal["gradcam", "integrated-gradients"]
METHODS: tuple[Method, ...] = get_args(Method)

_BATCH = 32
_BLUR = 1 / 64  # of the image's width: gradients of single pixels are noise to the eye


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a network looked for one answer.

    Parameters
    ----------
    question, answer
        Name of the question, and column of the answer.
    fraction
        Conditional vote fraction of the answer in the network's own orientation, in [0, 1].
    seen
        What the network saw of the cutout.
    heat
        How much each pixel mattered, scaled so that the largest is 1; all 0 where nothing did.
    """

    question: str
    answer: str
    fraction: float
    seen: UInt8[np.ndarray, "y x 3"]
    heat: Float32[np.ndarray, "y x"]


def explain(
    predictor: Predictor,
    cutout: UInt8[np.ndarray, "p p 3"],
    question: str,
    answer: str | None = None,
    *,
    method: Method = "gradcam",
) -> Explanation:
    """Return which parts of a cutout mattered for an answer.

    Parameters
    ----------
    predictor
        Of a model whose network torch can build.
    cutout
        Of the predictor's `geometry`.
    question, answer
        Name of a question of its tree, and column of one of its answers; by default the likeliest.
    method
        ``gradcam``: where what an inner layer found speaks for the answer rather than for the question's
        others (Selvaraju et al. 2017, in the form of Jiang et al. 2021). ``integrated-gradients``: how much
        each pixel adds to or takes from the answer's fraction on the way from a black image, without its
        sign.

    Raises
    ------
    TreeError
        If there is no such question.
    ModelError
        If the question has no such answer, or Grad-CAM cannot be used with the network.
    """
    asked = predictor.tree.question(question)
    network = predictor.network
    # It needs torch; without that, the line above has said what to do.
    from galvote.inference.gradients import attribute, conditional_fractions, grad_cam

    seen = network_input(cutout[None], [View()], predictor.geometry, network.spec.geometry)
    shares = conditional_fractions(network, seen, question)
    columns = [each.column for each in asked.answers]
    chosen = int(shares.argmax()) if answer is None else _place_of(answer, asked)
    if method == "gradcam":
        heat = grad_cam(network, seen, question, chosen)
    else:
        heat = np.abs(attribute(network, seen[0], question, chosen).sum(axis=2))
        heat = cv2.GaussianBlur(heat, (0, 0), max(0.5, _BLUR * len(heat)))
    heat = np.asarray(heat / (heat.max() or 1.0), dtype=np.float32)
    return Explanation(question, columns[chosen], float(shares[chosen]), seen[0], heat)


def rotate(
    predictor: Predictor, cutout: UInt8[np.ndarray, "p p 3"], angles: Float32[np.ndarray, " angle"]
) -> Float32[np.ndarray, "angle answer"]:
    """Return the cumulative fractions, in ``tree.columns`` order, of a cutout rotated by each of some angles.

    Parameters
    ----------
    predictor
        Whatever its backend.
    cutout
        Of the predictor's `geometry`.
    angles
        In degrees, counter-clockwise.
    """
    views = [View(angle=float(angle)) for angle in angles]
    fractions = list[Float32[np.ndarray, "angle answer"]]()
    for start in range(0, len(views), _BATCH):
        part = views[start : start + _BATCH]
        seen = network_input(
            np.repeat(cutout[None], len(part), 0), part, predictor.geometry, predictor.card.network.geometry
        )
        fractions.append(predictor.backend.compute(seen)[0])
    return np.concatenate(fractions)


def _place_of(answer: str, question: Question) -> int:
    columns = [each.column for each in question.answers]
    if answer not in columns:
        raise ModelError(f"{answer!r} is no answer of {question.name}; its answers are {', '.join(columns)}.")
    return columns.index(answer)
