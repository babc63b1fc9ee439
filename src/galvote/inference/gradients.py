"""What of a network's input mattered for an answer, by its gradients."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.overrides import TorchFunctionMode

from galvote.errors import ModelError
from galvote.models import GalaxyNetwork

_LEAST_CELLS = 7
"""Cells on a side of the coarsest feature map that a heat map is made of; the last may have one or two."""

_STEPS = 64  # along the path of integrated gradients, which is then within about a per cent of complete
_BATCH = 32


@torch.inference_mode()
def conditional_fractions(
    network: GalaxyNetwork, seen: UInt8[np.ndarray, "1 y x 3"], question: str
) -> Float32[np.ndarray, " answer"]:
    """Return the conditional fractions of one question in a network's input."""
    return np.asarray(_shares(network, network.features(_to_device(network, seen)), question)[0].cpu())


def attribute(
    network: GalaxyNetwork, image: UInt8[np.ndarray, "y x 3"], question: str, answer: int
) -> Float32[np.ndarray, "y x 3"]:
    """Return what each sample of an image adds to an answer's conditional fraction, against a black one.

    Integrated gradients (Sundararajan, Taly & Yan 2017, *Axiomatic attribution for deep networks*, equation
    3): the samples times the mean gradient on the straight path from black to the image, here at the
    middles of 64 steps, which are shorter near black, where fractions change most.
    """
    whole = _to_device(network, image[None])
    gradient = torch.zeros_like(whole)
    for start in range(0, _STEPS, _BATCH):
        middles = (torch.arange(start, start + _BATCH, device=whole.device) + 0.5) / _STEPS
        # At the square of the middle, so each counts twice the middle.
        share, weight = (middles**2)[:, None, None, None], (2 * middles)[:, None, None, None]
        on_path = (share * whole).requires_grad_()
        with torch.enable_grad():
            fractions = _shares(network, network.features(on_path), question)[:, answer]
            (found,) = torch.autograd.grad(fractions.sum(), on_path)
        gradient += (weight * found).sum(dim=0, keepdim=True) / _STEPS
    return np.asarray((whole * gradient)[0].detach().cpu().numpy(), dtype=np.float32)


def _to_device(network: GalaxyNetwork, images: UInt8[np.ndarray, "n y x 3"]) -> Tensor:
    return torch.from_numpy(images).to(next(network.parameters()).device).float()


def _shares(network: GalaxyNetwork, features: Tensor, question: str) -> Tensor:
    """Return the conditional fractions of one question."""
    fractions: Tensor = network.head(features)[:, network.head.tree.slices[question]]
    # A question that is put to nobody has no fractions: avoid 0 / 0.
    fractions = fractions + 1e-9
    return fractions / fractions.sum(dim=1, keepdim=True)


class _KeepMaps(TorchFunctionMode):
    """Keeps the last map with enough cells, in this thread alone: hooks would see what others predict."""

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


def grad_cam(
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
                "Grad-CAM needs a network that sees the image as a whole, which "
                f"{network.spec.encoder} does not; ask for integrated-gradients."
            )
        chosen = kept.last
        (gradient,) = torch.autograd.grad(against_others, chosen)
    heat = (gradient.relu() * chosen).sum(dim=1)[0].relu()
    size = seen.shape[1]
    return np.asarray(
        cv2.resize(heat.detach().cpu().numpy(), (size, size), interpolation=cv2.INTER_LINEAR), np.float32
    )
