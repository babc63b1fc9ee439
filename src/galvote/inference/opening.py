"""From a model's name to what computes it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.inference.backends import (
    Backend,
    OnnxBackend,
    OpenVinoBackend,
    TorchBackend,
    choose_backend,
)
from galvote.inference.export import export_network, read_exported
from galvote.models import Card, GalaxyNetwork, load_calibration, load_model


def open_model(
    name: str | os.PathLike[str], backend: str | None = None
) -> tuple[Backend, Card, Calibration | None]:
    """Open a model with a backend.

    Parameters
    ----------
    name, backend
        As for `galvote.load`.

    Returns
    -------
    What computes the network, the model's card, and its calibration if it has one.

    Raises
    ------
    ModelError
        If there is no such model, it is damaged, or the backend cannot compute it here.
    """
    path = Path(name)
    if path.suffix.lower() == ".onnx":
        return _open_exported(path, backend or "auto")
    network, card = load_model(path)
    return _open_network(network, backend or "torch"), card, load_calibration(path)


def _open_network(network: GalaxyNetwork, name: str) -> Backend:
    match choose_backend(name):
        case "torch":
            return TorchBackend(network)
        case "torch-float32":
            return TorchBackend(network, torch.float32)
        case chosen:
            return _open_onnx(export_network(network).SerializeToString(), chosen)


def _open_exported(path: Path, name: str) -> tuple[Backend, Card, Calibration | None]:
    if (chosen := choose_backend(name, exported=True)).startswith("torch"):
        raise ModelError(
            f"{path} is an exported model, which torch cannot compute; install what can with: "
            "pip install 'galvote[onnx]' and leave the backend out."
        )
    network, card, calibration = read_exported(path)
    return _open_onnx(network, chosen), card, calibration


def _open_onnx(network: bytes, name: str) -> Backend:
    return OpenVinoBackend(network) if name == "openvino" else OnnxBackend(network)
