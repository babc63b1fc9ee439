"""The whole network: uint8 images in, vote fractions out, described by a `NetworkSpec`."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from galvote.models.description import NetworkDescription
from galvote.models.encoders import NetworkSpec
from galvote.models.heads import TreeHead
from galvote.trees import DecisionTree


class GalaxyNetwork(nn.Module):
    """Encoder and tree head behind one interface.

    Parameters
    ----------
    spec, tree
        What to build, and the tree whose columns are predicted.
    others
        Trees of further campaigns, each with a head that is trained too; a saved network has one.
    """

    def __init__(
        self, spec: NetworkDescription, tree: DecisionTree, others: Sequence[DecisionTree] = ()
    ) -> None:
        super().__init__()
        self.spec = NetworkSpec.model_validate(spec.model_dump())
        self.encoder = self.spec.build()
        width = int(self.encoder.width)  # type: ignore[arg-type]
        self.head = TreeHead(width, tree, spec.head)
        self.others = nn.ModuleList(TreeHead(width, other, spec.head) for other in others)

    @property
    def heads(self) -> tuple[TreeHead, ...]:
        """The head of its own tree, then those of further campaigns."""
        return (self.head, *self.others)

    def with_head(self, head: TreeHead) -> "GalaxyNetwork":
        """Return a network that shares the encoder and has this head alone.

        Parameters
        ----------
        head
            For the encoder's features.
        """
        alone = copy.copy(self)
        alone._modules = {"encoder": self.encoder, "head": head, "others": nn.ModuleList()}
        return alone

    def features(
        self, images: UInt8[Tensor, "galaxy y x 3"] | Float[Tensor, "galaxy y x 3"]
    ) -> Float[Tensor, "galaxy feature"]:
        """Return the encoder's features of images.

        Parameters
        ----------
        images
            RGB in [0, 255]; floats, too, for they have gradients.
        """
        # Pixels stay uint8 until here. The permuted view is channels-last already, which convolutions like.
        turned = turn_and_mirror(images.permute(0, 3, 1, 2).float() / 255, self.spec.orientations)
        features: Tensor = self.encoder(turned)  # (orientation galaxy) feature
        # A reshape and no chunks, so that an exported network takes any number of galaxies.
        return features.reshape(self.spec.orientations, -1, features.shape[1]).mean(dim=0)

    def forward(self, images: UInt8[Tensor, "galaxy y x 3"]) -> Float[Tensor, "galaxy answer"]:
        """Return cumulative vote fractions, float32, in ``tree.columns`` order.

        Parameters
        ----------
        images
            RGB, as wide as the spec says.
        """
        fractions: Tensor = self.head(self.features(images))
        return fractions


def turn_and_mirror(images: Float[Tensor, "galaxy 3 y x"], count: int) -> Float[Tensor, "turned 3 y x"]:
    """Return square images as they are, then mirrored (2), in quarter turns (4), or in both (8).

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
        As `galvote.images.network_input` makes them; as many as fit into one batch.
    precision
        bfloat16 or float32; if not given, `fast_precision` of the network's device.
    """
    device = next(network.parameters()).device
    fast = precision or fast_precision(device.type)
    with torch.autocast(device.type, fast, enabled=fast is not torch.float32):
        features = network.features(torch.from_numpy(images).to(device))
        fractions: Tensor = network.head(features)
    return fractions.cpu().numpy(), features.float().cpu().numpy()


def count_parameters(network: nn.Module) -> int:
    """Return how many parameters a network has, those of averaged weights too, which have no gradient.

    Parameters
    ----------
    network
        Any.
    """
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
