"""What computes the network: ONNX Runtime, OpenVINO or torch, behind one interface."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from galvote.errors import ModelError
from galvote.inference.cores import count_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BACKENDS = ("auto", "onnx", "onnx-float32", "openvino", "torch", "torch-float32")
"""What may be asked for; `auto` is the fastest here, see `galvote.inference.speed`."""

_EXTRAS = {"onnx": "onnx", "openvino": "openvino", "torch": "train"}
_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}

_OUTPUTS = ("fractions", "features")

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


class OnnxBackend:
    """ONNX Runtime on the processor.

    Parameters
    ----------
    network
        ONNX file or bytes that take ``images`` and give ``fractions`` and ``features``.
    precision
        What the graph computes in.
    """

    def __init__(self, network: Path | bytes, precision: Literal["float32", "int8"] = "float32") -> None:
        self.name = f"onnx {precision} cpu"
        self._session = open_session(network)
        fractions, features = self._session.get_outputs()
        self.width = int(features.shape[1])
        self.sizes = int(self._session.get_inputs()[0].shape[1]), int(fractions.shape[1])
        """How many pixels wide its images are, and how many answers it gives."""

    def compute(self, images: UInt8[np.ndarray, "galaxy y x 3"]) -> Outputs:
        """Return cumulative vote fractions and features of a network's input."""
        fractions, features = self._session.run(_OUTPUTS, {"images": images})
        return fractions, features


def open_session(model: Path | bytes) -> InferenceSession:
    """Return an ONNX file or bytes ready to run in the caller's thread alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


class OpenVinoBackend:
    """OpenVINO on the processor, in bfloat16 where the processor multiplies it natively, else float32.

    Parameters
    ----------
    network
        As for `OnnxBackend`.
    """

    def __init__(self, network: Path | bytes) -> None:
        import openvino

        core = openvino.Core()
        native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        cores = count_cores()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if native else "f32",
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores,  # each batch on one core, as in the other backends
            "ENABLE_CPU_PINNING": False,  # decoders want the cores too
        }
        self.name = f"openvino {'bfloat16' if native else 'float32'} cpu"
        # OpenVINO looks for numpy at its first array, and two threads that do so at once wait for ever.
        _ = openvino.Tensor(np.zeros(1, np.uint8)).data
        self._compiled = core.compile_model(core.read_model(network), "CPU", settings)
        self._requests = threading.local()  # a request serves one caller at a time
        self.width = int(self._compiled.output("features").partial_shape[1].get_length())
        ends = self._compiled.input("images"), self._compiled.output("fractions")
        self.sizes = tuple(int(end.partial_shape[1].get_length()) for end in ends)

    def compute(self, images: UInt8[np.ndarray, "galaxy y x 3"]) -> Outputs:
        """Return cumulative vote fractions and features of a network's input."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        self._requests.own.infer({"images": images})
        # Copies: the next call writes into the same memory.
        fractions, features = (np.array(self._requests.own.get_tensor(name).data) for name in _OUTPUTS)
        return fractions, features


def installed_backends() -> list[str]:
    """Return the backends that can compute a network here, in the precision that suits them."""
    return [name for name in ("onnx", "openvino", "torch") if find_spec(_PACKAGES[name]) is not None]


def check_backend(name: str) -> None:
    """Raise `ModelError` unless there is a backend of this name and its package is installed."""
    if name not in BACKENDS:
        raise ModelError(f"There is no backend {name!r}; choose one of {', '.join(BACKENDS)}.")
    kind = name.removesuffix("-float32")
    if name != "auto" and find_spec(_PACKAGES[kind]) is None:
        raise ModelError(
            f"The backend {name} needs {_PACKAGES[kind]}, which is not installed: "
            f"pip install 'galvote[{_EXTRAS[kind]}]'"
        )
