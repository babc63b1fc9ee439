"""From a model's name to what computes it."""

import base64
import os
from pathlib import Path

from safetensors.numpy import load as load_arrays

from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.inference.backends import check_backend
from galvote.inference.folders import Opened, open_folder, open_graph
from galvote.inference.speed import fastest_backend
from galvote.models import Card, find_model
from galvote.models.card import GRAPH


def open_model(name: str | os.PathLike[str], backend: str | None = None) -> Opened:
    """Open a model with a backend, both as for `galvote.load`, or raise `ModelError`.

    Its folder is None if it is one exported file.
    """
    path, backend = Path(name), backend or "auto"
    check_backend(backend)
    if path.suffix.lower() == ".onnx":
        return _open_exported(path, backend)
    folder = find_model(path)
    if backend == "auto":
        backend = fastest_backend() if (folder / GRAPH).is_file() else "torch"
    return open_folder(folder, backend)


def _open_exported(path: Path, backend: str) -> Opened:
    if backend.startswith("torch"):
        raise ModelError(f"{path} is an exported model, which torch cannot compute; leave the backend out.")
    network, card, calibration = _read_exported(path)
    chosen = fastest_backend(without=("torch",)) if backend == "auto" else backend
    return Opened(open_graph(network, chosen), card, calibration, None)


def _read_exported(path: Path) -> tuple[bytes, Card, Calibration | None]:
    """Return what `export_model` wrote: ONNX bytes of the network alone, its card, and its calibration."""
    if not os.path.lexists(path):
        raise ModelError(f"No model at {str(path)!r}; `galvote export --out {path.name}` makes one.")
    import onnx
    from onnx.utils import Extractor

    try:
        model = onnx.load_model_from_string(path.read_bytes())
        about = {entry.key: entry.value for entry in model.metadata_props}
        card = Card.model_validate_json(about["card"])
        calibration = None
        if "calibration" in about:
            arrays = load_arrays(base64.b64decode(about["calibration"], validate=True))
            calibration = Calibration.from_arrays(arrays)
        network = Extractor(model).extract_model(["images"], ["fractions", "features"])
        onnx.checker.check_model(network)
    except Exception as error:  # of protobuf, pydantic, safetensors, onnx: each has its own
        raise ModelError(
            f"{path} cannot be used ({type(error).__name__}): it is damaged or not written by `galvote "
            "export`; export the model again."
        ) from error
    return network.SerializeToString(), card, calibration
