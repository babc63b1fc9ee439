"""Read the one file that `galvote.inference.export` writes; needs no torch."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from safetensors.numpy import load as load_arrays

from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.models import Card


def read_exported(path: Path) -> tuple[bytes, Card, Calibration | None]:
    """Read what `export_model` wrote.

    Returns
    -------
    ONNX bytes of the network alone, as `OnnxBackend` takes them, its card and its calibration, if it has one.

    Raises
    ------
    ModelError
        If the file is missing, damaged or not exported by galvote.
    """
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
