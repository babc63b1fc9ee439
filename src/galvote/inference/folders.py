"""From the folder of a saved model to what computes it."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.inference.backends import Backend, OnnxBackend, OpenVinoBackend
from galvote.models import Card, load_calibration, load_card
from galvote.models.card import GRAPH, QUANTISED, check_weights


class Opened(NamedTuple):
    """A model that is ready to compute: what computes it, its card, its calibration, and its folder."""

    backend: Backend
    card: Card
    calibration: Calibration | None
    folder: Path | None


def open_folder(folder: Path, backend: str) -> Opened:
    """Open a saved model with one of the backends, but not ``auto``, or raise `ModelError`."""
    has_graph = (folder / GRAPH).is_file()
    calibration = load_calibration(folder)
    if has_graph and not backend.startswith("torch"):
        card = load_card(folder)
        check_weights(folder, card)
        if backend == "onnx" and (folder / QUANTISED).is_file():
            return Opened(OnnxBackend(folder / QUANTISED, "int8"), card, calibration, folder)
        return Opened(open_graph(folder / GRAPH, backend), card, calibration, folder)
    if find_spec("torch") is None:
        raise ModelError(
            f"The model {folder} has no {GRAPH}, so it takes torch to compute it: "
            "pip install 'galvote[train]'. With that, `galvote export` makes a file that needs no torch."
        )
    if not backend.startswith("torch"):
        raise ModelError(f"{folder} has no {GRAPH}; write it with: galvote export --model {folder}")
    import torch

    from galvote.inference.torch_backend import TorchBackend
    from galvote.models import load_model

    network, card = load_model(folder)
    computes = TorchBackend(network, torch.float32 if backend == "torch-float32" else None)
    return Opened(computes, card, calibration, folder)


def open_graph(network: Path | bytes, backend: str) -> Backend:
    """Open an ONNX file or bytes with ``onnx``, ``onnx-float32`` or ``openvino``."""
    return OpenVinoBackend(network) if backend == "openvino" else OnnxBackend(network)
