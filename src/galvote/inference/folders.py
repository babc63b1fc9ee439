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
        rounded = backend == "onnx" and (folder / QUANTISED).is_file()
        return Opened(
            _open_own(folder / (QUANTISED if rounded else GRAPH), backend, card), card, calibration, folder
        )
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


def _open_own(path: Path, backend: str, card: Card) -> Backend:
    """Open a graph of a folder, or raise `ModelError` if it is damaged or of another model."""
    wanted = (
        card.network.geometry.pixels,
        sum(len(question["answers"]) for question in card.tree["questions"]),
    )
    try:
        opened = OnnxBackend(path, "int8") if path.name == QUANTISED else open_graph(path, backend)
        wrong = "" if opened.sizes == wanted else "it is of another model"
    except Exception as error:  # of ONNX Runtime and OpenVINO: each has its own
        wrong = f"it is damaged ({type(error).__name__})"
    if wrong:
        images = " --quantise IMAGES" if path.name == QUANTISED else ""
        raise ModelError(
            f"{path} cannot be used: {wrong}; make it again with: galvote export --model {path.parent}"
            f"{images} --overwrite"
        )
    return opened


def open_graph(network: Path | bytes, backend: str) -> OnnxBackend | OpenVinoBackend:
    """Open an ONNX file or bytes with ``onnx``, ``onnx-float32`` or ``openvino``."""
    return OpenVinoBackend(network) if backend == "openvino" else OnnxBackend(network)
