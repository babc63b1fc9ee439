"""What computes the network: torch, ONNX Runtime or OpenVINO, behind one interface."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from galvote.errors import ModelError
from galvote.models import GalaxyNetwork, best_device, fast_precision, run_network
from galvote.models.fusion import fuse
from galvote.models.memory import keep_some_freed_memory

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BACKENDS = ("auto", "torch", "torch-float32", "onnx", "openvino")
"""What may be asked for; `auto` is what `fastest_backend` says."""

_PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "onnxruntime", "openvino"),
}
"""What an extra of the same name installs: exporting, the comparison with torch, and what computes."""

_OUTPUTS = ("fractions", "features")

_PIXELS_AT_ONCE = 2**17
"""What torch takes at once on a processor, such as 32 pictures of 64 × 64 pixels or 8 of 128 × 128.

Activations of more are larger than its caches and than the blocks of memory that are kept for the next.
"""

Fractions = Float32[np.ndarray, "galaxy answer"]
Features = Float32[np.ndarray, "galaxy feature"]
Outputs = tuple[Fractions, Features]


@runtime_checkable
class Backend(Protocol):
    """What a `Predictor` needs of whatever computes the network.

    `compute` is called by several threads at once, each of which has one core for itself.
    """

    @property
    def name(self) -> str:
        """What computes, in which precision and where: rows of another name differ in their last digits."""

    @property
    def width(self) -> int:
        """How many features there are."""

    def compute(self, images: UInt8[np.ndarray, "galaxy y x 3"]) -> Outputs:
        """Return cumulative vote fractions and features of a network's input.

        Parameters
        ----------
        images
            RGB, as `galvote.images.network_input` makes them.
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


class OnnxBackend:
    """ONNX Runtime on the processor, in float32.

    Parameters
    ----------
    network
        ONNX bytes that take ``images`` and give ``fractions`` and ``features``.
    """

    name = "onnx float32 cpu"

    def __init__(self, network: bytes) -> None:
        self._session = open_session(network)
        self.width = int(self._session.get_outputs()[1].shape[1])

    def compute(self, images: UInt8[np.ndarray, "galaxy y x 3"]) -> Outputs:
        """Return cumulative vote fractions and features of a network's input."""
        fractions, features = self._session.run(_OUTPUTS, {"images": images})
        return fractions, features


def open_session(model: bytes) -> InferenceSession:
    """Return ONNX bytes ready to run in the caller's thread alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OpenVinoBackend:
    """OpenVINO on the processor, in bfloat16 where the processor multiplies it natively, else float32.

    Parameters
    ----------
    network
        As for `OnnxBackend`.
    """

    def __init__(self, network: bytes) -> None:
        import openvino

        core = openvino.Core()
        native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        cores = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if native else "f32",
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores,  # each batch on one core, as in the other backends
            "ENABLE_CPU_PINNING": False,  # decoders want the cores too
        }
        self.name = f"openvino {'bfloat16' if native else 'float32'} cpu"
        self._compiled = core.compile_model(core.read_model(network), "CPU", settings)
        self._requests = threading.local()  # a request serves one caller at a time
        self.width = int(self._compiled.output("features").partial_shape[1].get_length())

    def compute(self, images: UInt8[np.ndarray, "galaxy y x 3"]) -> Outputs:
        """Return cumulative vote fractions and features of a network's input."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        self._requests.own.infer({"images": images})
        # Copies: the next call writes into the same memory.
        fractions, features = (np.array(self._requests.own.get_tensor(name).data) for name in _OUTPUTS)
        return fractions, features


def fastest_backend(exported: bool = False) -> str:
    """Return the fastest installed backend whose RMSE is within 0.0005 of float32 on the validation split.

    The order is what ``benchmarks.speed.backends`` measures on one core of a processor with bfloat16
    instructions: OpenVINO in bfloat16, torch in bfloat16, ONNX Runtime, and what is in float32 otherwise.
    GPUs are torch's.

    Parameters
    ----------
    exported
        Of those that can compute an exported model, which torch cannot; torch if there is none.
    """
    if best_device() != "cpu" and not exported:
        return "torch"
    native = fast_precision() is torch.bfloat16
    order = ["openvino", "torch", "onnx"] if native else ["onnx", "openvino", "torch"]
    if exported:
        order.remove("torch")
    return next((name for name in order if not _missing(name)), "torch")


def choose_backend(name: str, exported: bool = False) -> str:
    """Return the backend that is meant, which is not `auto`, or raise `ModelError` if it cannot be had."""
    if name not in BACKENDS:
        raise ModelError(f"There is no backend {name!r}; choose one of {', '.join(BACKENDS)}.")
    if name == "auto":
        return fastest_backend(exported)
    if missing := _missing(name):
        raise ModelError(
            f"The backend {name} needs the packages {' and '.join(missing)}; install them with: "
            f"pip install 'galvote[{name}]'"
        )
    return name


def _missing(name: str) -> list[str]:
    return [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]
