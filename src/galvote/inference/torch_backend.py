"""PyTorch as what computes the network."""

import numpy as np
import torch
from jaxtyping import UInt8

from galvote.inference.backends import Outputs
from galvote.models import GalaxyNetwork, best_device, fast_precision, run_network
from galvote.models.fusion import fuse
from galvote.models.memory import keep_some_freed_memory

_PIXELS_AT_ONCE = 2**17
"""What torch takes at once on a processor, such as 32 images of 64 × 64 pixels or 8 of 128 × 128.

Activations of more are larger than its caches and than the blocks of memory that are kept for the next.
"""


class TorchBackend:
    """PyTorch on the best device there is: CUDA, MPS or the processor.

    Parameters
    ----------
    network
        In evaluation mode.
    precision
        bfloat16 or float32; `galvote.models.fast_precision` if not given.
    """

    def __init__(self, network: GalaxyNetwork, precision: torch.dtype | None = None) -> None:
        self.network = network.to(best_device())
        self._precision = precision or fast_precision()
        self.fused = fuse(self.network, self._precision)
        """What computes; `network` stays as it is, for gradients."""
        if best_device() == "cpu":
            keep_some_freed_memory()

    @property
    def name(self) -> str:
        """As ``torch bfloat16 cpu``."""
        precision = str(self._precision).removeprefix("torch.")
        return f"torch {precision} {best_device()}"

    @property
    def width(self) -> int:
        """How many features there are."""
        return self.network.head.linear.in_features

    def compute(self, images: UInt8[np.ndarray, "galaxy y x 3"]) -> Outputs:
        """Return cumulative vote fractions and features of a network's input."""
        count, height, width, _ = images.shape
        at_once = max(1, _PIXELS_AT_ONCE // (height * width)) if best_device() == "cpu" else count
        made = [
            run_network(self.fused, images[start : start + at_once], self._precision)
            for start in range(0, count, at_once)
        ]
        return np.concatenate([some for some, _ in made]), np.concatenate([some for _, some in made])
