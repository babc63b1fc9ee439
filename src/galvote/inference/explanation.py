"""What of a picture mattered for an answer, and what a prediction owes to the picture's orientation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.overrides import TorchFunctionMode

from galvote.errors import ModelError
from galvote.images import View, network_input
from galvote.inference.predictor import Predictor
from galvote.models import GalaxyNetwork
from galvote.trees import Question

Method = Literal["gradcam", "integrated-gradients"]
METHODS: tuple[Method, ...] = get_args(Method)

_LEAST_CELLS = 7
"""Cells on a side of the coarsest feature map that a heat map is made of; the last may have one or two."""

_STEPS = 64  # along the path of integrated gradients, which is then within about a per cent of complete
_BATCH = 32
_BLUR = 1 / 64  # of the picture's width: gradients of single pixels are noise to the eye


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a network looked for one answer.

    Parameters
    ----------
    question
        Name of the question.
    answer
        Column of the answer.
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
        With torch as its backend.
    cutout
        Of the predictor's `geometry`.
    question
        Name of a question of the predictor's tree.
    answer
        Column of one of its answers; the likeliest if not given.
    method
        ``gradcam``: where what an inner layer found speaks for the answer rather than for the question's
        others (Selvaraju et al. 2017, *Grad-CAM*, in the form for inner layers of Jiang et al. 2021).
        ``integrated-gradients``: how much each pixel adds to or
        takes from the answer's fraction on the way from a black picture, without its sign (see `attribute`).

    Raises
    ------
    TreeError
        If there is no such question.
    ModelError
        If the question has no such answer, or Grad-CAM cannot be used with the network.
    """
    asked = predictor.tree.question(question)
    network = predictor.network
    seen = network_input(cutout[None], [View()], predictor.geometry, network.spec.geometry)
    with torch.inference_mode():
        shares = _shares(network, network.features(_to_device(network, seen)), question)[0]
    columns = [each.column for each in asked.answers]
    chosen = int(shares.argmax()) if answer is None else _place_of(answer, asked)
    if method == "gradcam":
        heat = _grad_cam(network, seen, question, chosen)
    else:
        heat = np.abs(attribute(network, seen[0], question, chosen).sum(axis=2))
        heat = cv2.GaussianBlur(heat, (0, 0), max(0.5, _BLUR * len(heat)))
    return Explanation(question, columns[chosen], float(shares[chosen]), seen[0], _scale(heat))


def attribute(
    network: GalaxyNetwork, image: UInt8[np.ndarray, "y x 3"], question: str, answer: int
) -> Float32[np.ndarray, "y x 3"]:
    """Share the difference that a picture makes to an answer out among its samples.

    Parameters
    ----------
    network
        In evaluation mode.
    image
        As the network sees it.
    question
        Name of the question.
    answer
        Position of the answer within the question.

    Returns
    -------
    What each sample adds to the answer's conditional fraction: the sum is the fraction in this picture minus
    that in a black one, which is what the sky looks like, up to the error of the sum over the path.

    Notes
    -----
    Integrated gradients (Sundararajan, Taly & Yan 2017, *Axiomatic attribution for deep networks*, equation
    3): the samples times the mean gradient on the straight path from black to the picture, here at the
    middles of 64 equal steps.
    """
    whole = _to_device(network, image[None])
    gradient = torch.zeros_like(whole)
    for start in range(0, _STEPS, _BATCH):
        middles = (torch.arange(start, start + _BATCH, device=whole.device) + 0.5) / _STEPS
        on_path = (middles[:, None, None, None] * whole).requires_grad_()
        with torch.enable_grad():
            fractions = _shares(network, network.features(on_path), question)[:, answer]
            (found,) = torch.autograd.grad(fractions.sum(), on_path)
        gradient += found.sum(dim=0, keepdim=True) / _STEPS
    return np.asarray((whole * gradient)[0].detach().cpu().numpy(), dtype=np.float32)


def rotate(
    predictor: Predictor, cutout: UInt8[np.ndarray, "p p 3"], angles: Float32[np.ndarray, " angle"]
) -> Float32[np.ndarray, "angle answer"]:
    """Predict a cutout rotated by each of some angles.

    Parameters
    ----------
    predictor
        Whatever its backend.
    cutout
        Of the predictor's `geometry`.
    angles
        In degrees, counter-clockwise.

    Returns
    -------
    Cumulative vote fractions in [0, 1], in ``tree.columns`` order.
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


def _to_device(network: GalaxyNetwork, images: UInt8[np.ndarray, "n y x 3"]) -> Tensor:
    return torch.from_numpy(images).to(next(network.parameters()).device).float()


def _shares(network: GalaxyNetwork, features: Tensor, question: str) -> Tensor:
    """Return the conditional fractions of one question."""
    fractions: Tensor = network.head(features)[:, network.head.tree.slices[question]]
    # A question that is put to nobody has no fractions: avoid 0 / 0.
    fractions = fractions + 1e-9
    return fractions / fractions.sum(dim=1, keepdim=True)


class _KeepMaps(TorchFunctionMode):
    """Keeps the last map that is made with enough cells, in this thread alone.

    Hooks on the network's modules would see what other threads predict meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) >= _LEAST_CELLS:
            self.last = output
        return output


def _grad_cam(
    network: GalaxyNetwork, seen: UInt8[np.ndarray, "1 y x 3"], question: str, answer: int
) -> Float32[np.ndarray, "y x"]:
    """Weigh an inner map by how much it speaks for an answer, place by place, and keep what is positive.

    Grad-CAM weighs a channel by the mean of its gradients over the last map, which here has two or four cells
    a side. In maps before it one channel speaks for an answer here and against it there, so the mean says
    little; weights of each place do not need it (Jiang et al. 2021, *LayerCAM*, IEEE TIP 30, 5875).
    """
    with torch.enable_grad():
        with _KeepMaps() as kept:
            features = network.features(_to_device(network, seen))
        outputs = network.head.linear(features)[0, network.head.tree.slices[question]]
        # An output that rises with all others of its question changes no fraction.
        against_others = outputs[answer] - outputs.mean()
        if kept.last is None or len(kept.last) != 1:
            raise ModelError(
                "Grad-CAM needs a network that sees the picture as a whole, which "
                f"{network.spec.encoder} does not; ask for integrated-gradients."
            )
        chosen = kept.last
        (gradient,) = torch.autograd.grad(against_others, chosen)
    heat = (gradient.relu() * chosen).sum(dim=1)[0].relu()
    size = seen.shape[1]
    return np.asarray(
        cv2.resize(heat.detach().cpu().numpy(), (size, size), interpolation=cv2.INTER_LINEAR), np.float32
    )


def _scale(heat: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
    highest = float(heat.max())
    return np.asarray(heat / highest if highest > 0 else np.zeros_like(heat), dtype=np.float32)
