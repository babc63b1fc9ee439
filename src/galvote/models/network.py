"""The whole network: uint8 pictures in, vote fractions out, described by a `NetworkSpec`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from galvote.images import Geometry, View, tta_views, warp_cutout
from galvote.models.encoders import NetworkSpec
from galvote.models.heads import TreeHead
from galvote.trees import DecisionTree


class GalaxyNetwork(nn.Module):
    """Encoder and tree head behind one interface.

    Parameters
    ----------
    spec
        What to build.
    tree
        The tree whose columns are predicted.
    """

    def __init__(self, spec: NetworkSpec, tree: DecisionTree) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = spec.build()
        self.head = TreeHead(int(self.encoder.width), tree, spec.head)  # type: ignore[arg-type]

    def features(
        self, images: UInt8[Tensor, "galaxy y x 3"] | Float[Tensor, "galaxy y x 3"]
    ) -> Float[Tensor, "galaxy feature"]:
        """Return the encoder's features of RGB pictures in [0, 255]; floats, too, for they have gradients."""
        # Pixels stay uint8 until here. The permuted view is channels-last already, which convolutions like.
        turned = turn_and_mirror(images.permute(0, 3, 1, 2).float() / 255, self.spec.orientations)
        features: Tensor = self.encoder(turned)  # (orientation galaxy) feature
        # A reshape and no chunks, so that an exported network takes any number of galaxies.
        return features.reshape(self.spec.orientations, -1, features.shape[1]).mean(dim=0)

    def forward(self, images: UInt8[Tensor, "galaxy y x 3"]) -> Float[Tensor, "galaxy answer"]:
        """Return cumulative vote fractions, float32, in ``tree.columns`` order."""
        fractions: Tensor = self.head(self.features(images))
        return fractions


def turn_and_mirror(images: Float[Tensor, "galaxy 3 y x"], count: int) -> Float[Tensor, "turned 3 y x"]:
    """Return square pictures as they are, then mirrored (2), in quarter turns (4), or in both (8).

    A network that averages the features of 4 or 8 does not see how often the sky is turned by 90°: it pools
    over a group of symmetries (Cohen & Welling 2016, arXiv:1602.07576).
    """
    match count:
        case 1:
            return images
        case 2:
            return torch.cat([images, images.flip(3)])
        case _:
            quarters = torch.cat([torch.rot90(images, k, (2, 3)) for k in range(4)])
            return quarters if count == 4 else turn_and_mirror(quarters, 2)


def network_input(
    cutouts: UInt8[np.ndarray, "galaxy p p 3"],
    tta: list[View],
    cutout_geometry: Geometry,
    spec: NetworkSpec,
) -> UInt8[np.ndarray, "galaxy y x 3"]:
    """Warp each cutout by its view to what the network sees of it.

    Training, prediction and everything else that feeds a network goes through this function.

    Parameters
    ----------
    cutouts
        RGB cutouts of one geometry.
    tta
        One view for each.

    Returns
    -------
    RGB pictures of ``spec.pixels`` that are ``spec.field_of_view`` r90 wide at zoom 1.
    """
    magnified = cutout_geometry.field_of_view / spec.field_of_view
    images = np.empty((len(cutouts), spec.pixels, spec.pixels, 3), dtype=np.uint8)
    for i, (cutout, view) in enumerate(zip(cutouts, tta, strict=True)):
        seen = View(view.angle, view.flip, view.zoom * magnified, view.shift)
        images[i] = warp_cutout(cutout, seen, spec.pixels)
    return images


Compute = Callable[
    [UInt8[np.ndarray, "galaxy y x 3"]],
    tuple[Float32[np.ndarray, "galaxy answer"], Float32[np.ndarray, "galaxy feature"]],
]
"""Makes vote fractions and features of a network's input, whatever computes them."""


@torch.inference_mode()
def run_network(
    network: GalaxyNetwork, images: UInt8[np.ndarray, "galaxy y x 3"], precision: torch.dtype | None = None
) -> tuple[Float32[np.ndarray, "galaxy answer"], Float32[np.ndarray, "galaxy feature"]]:
    """Return the cumulative vote fractions of a network's input, and the encoder's features.

    Parameters
    ----------
    network
        In evaluation mode, on any device.
    images
        As `network_input` makes them; as many as fit into one batch.
    precision
        bfloat16 or float32; if not given, `fast_precision` of the network's device.
    """
    device = next(network.parameters()).device
    fast = precision or fast_precision(device.type)
    with torch.autocast(device.type, fast, enabled=fast is not torch.float32):
        features = network.features(torch.from_numpy(images).to(device))
        fractions: Tensor = network.head(features)
    return fractions.cpu().numpy(), features.float().cpu().numpy()


def average_views(
    network: GalaxyNetwork,
    cutouts: UInt8[np.ndarray, "galaxy p p 3"],
    cutout_geometry: Geometry,
    tta: int,
) -> Float32[np.ndarray, "galaxy answer"]:
    """Return a network's mean prediction over `views` orientations of each cutout; see `predict_tta`."""
    return predict_tta(partial(run_network, network), network.spec, cutouts, cutout_geometry, tta)[0]


def predict_tta(
    compute: Compute,
    spec: NetworkSpec,
    cutouts: UInt8[np.ndarray, "galaxy p p 3"],
    cutout_geometry: Geometry,
    tta: int,
) -> tuple[Float32[np.ndarray, "galaxy answer"], Float32[np.ndarray, "galaxy feature"]]:
    """Return the mean prediction over `views` orientations of each cutout, and its features as it is.

    Parameters
    ----------
    compute
        What runs the network, such as `run_network`.
    spec
        Of the network.
    cutouts
        RGB cutouts of one geometry; as many as fit into one batch.
    tta
        Orientations: see `galvote.images.tta_views`.

    Returns
    -------
    Cumulative vote fractions in [0, 1], in the tree's column order, and the encoder's features in the first
    orientation, which is the cutout's own.
    """
    orientations = tta_views(tta)
    made = (
        compute(network_input(cutouts, [view] * len(cutouts), cutout_geometry, spec)) for view in orientations
    )
    fractions, features = next(made)
    mean = fractions / len(orientations)
    for fractions, _ in made:
        mean += fractions / len(orientations)
    # Sums of rounded numbers may end above 1 by a digit.
    return mean.clip(0, 1), features


def count_parameters(network: nn.Module) -> int:
    """Count the parameters, those of averaged weights too, which have no gradient."""
    return sum(p.numel() for p in network.parameters())


def best_device() -> str:
    """Return the kind of device that networks run on here: ``cuda``, ``mps`` or ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fast_precision(device: str | None = None) -> torch.dtype:
    """Return bfloat16 where the processor or GPU multiplies it natively, else float32.

    Parameters
    ----------
    device
        ``cuda``, ``mps`` or ``cpu``; `best_device` if not given.
    """
    match device or best_device():
        case "cuda":
            native = torch.cuda.is_bf16_supported()
        case "mps":
            native = False  # not every version of macOS has it
        case _:
            # Without the instruction set bfloat16 is emulated, several times slower than float32.
            capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
            native = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32
