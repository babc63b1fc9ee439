"""A model as one ONNX file: uint8 cutouts in, vote fractions out, with all that galvote knows about it.

The graph makes ``images``, the network's own input, of ``cutouts``, and of these ``fractions`` and
``features``. Whoever has the file alone runs it whole. A `Predictor` takes the part from ``images`` on,
because it shows the network other views of a cutout as well.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor, nn

from galvote._version import __version__
from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.images import Geometry, View, to_cutout, warp_cutout
from galvote.inference.backends import choose_backend, open_session
from galvote.inference.tta import predict_tta
from galvote.io.atomic import refuse_existing, trial_file, write_whole
from galvote.models import Card, GalaxyNetwork, load_calibration, load_model, run_network
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-3
"""How far fractions of an exported model may be from those of torch in float32."""

_CHECKED = 16


class _Input(nn.Module):
    """Makes a network's input of cutouts, as `galvote.images.network_input` does of the upright view.

    What the warp does to the rows and to the columns of a cutout is a matrix: its columns are what becomes of
    one bright row. OpenCV rounds to whole grey levels a little otherwise, which fractions hardly notice.
    """

    def __init__(self, cutout: Geometry, seen: Geometry) -> None:
        super().__init__()
        upright = View(zoom=cutout.field_of_view / seen.field_of_view)
        lines = np.eye(cutout.pixels, dtype=np.float32)[:, :, None].repeat(cutout.pixels, axis=2)
        columns = [warp_cutout(line, upright, seen.pixels)[:, 0] for line in lines]
        self.resample = nn.Buffer(torch.from_numpy(np.stack(columns, axis=1)))

    def forward(self, cutouts: Tensor) -> Tensor:
        planes = self.resample @ cutouts.permute(0, 3, 1, 2).float() @ self.resample.T
        return planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


class _Outputs(nn.Module):
    def __init__(self, network: GalaxyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return self.network.head(features), features


def export_network(network: GalaxyNetwork) -> ModelProto:
    """Return a network as ONNX: ``images`` to ``fractions`` and ``features``.

    Parameters
    ----------
    network
        In evaluation mode.

    Raises
    ------
    ModelError
        If a package of the extra ``onnx`` is missing, or torch cannot export this network.
    """
    choose_backend("onnx")
    try:
        return _to_onnx(_Outputs(network).eval(), network.spec.pixels, "images", ["fractions", "features"])
    except Exception as error:  # torch's exporter raises a kind of its own for each of its stages
        raise ModelError(
            f"torch {torch.__version__} cannot export the network {network.spec.encoder} with the head "
            f"{network.spec.head} ({type(error).__name__}); predict with torch, or install another version."
        ) from error


def _to_onnx(module: nn.Module, side: int, taken: str, given: list[str]) -> ModelProto:
    """Return a module that takes uint8 images of this width."""
    device = next(chain(module.parameters(), module.buffers())).device
    with _quiet():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, side, side, 3, dtype=torch.uint8, device=device),),
            dynamo=True,
            input_names=[taken],
            output_names=given,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model: ModelProto = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # where in whose files each one comes from
    return model


def _put_input_before(model: ModelProto, card: Card) -> ModelProto:
    """Let a network's graph take ``cutouts``."""
    from onnx.compose import add_prefix, merge_models

    before = _to_onnx(_Input(card.cutout, card.network.geometry), card.cutout.pixels, "cutouts", ["images"])
    before = add_prefix(before, "input_", rename_inputs=False, rename_outputs=False)
    merged: ModelProto = merge_models(before, model, io_map=[("images", "images")])
    merged.graph.value_info.extend(model.graph.input)
    return merged


def export_model(
    network: GalaxyNetwork,
    card: Card,
    calibration: Calibration | None,
    path: Path,
    *,
    overwrite: bool = False,
) -> float:
    """Write a model as one ONNX file, after comparing it with torch.

    Parameters
    ----------
    network
        In evaluation mode, in float32.
    card
        Of the model.
    calibration
        Of the model, if it has one.
    path
        Of the file, which appears whole or, at any failure, not at all. Its folder is made if need be.
    overwrite
        Replace an existing file.

    Returns
    -------
    Largest difference between its fractions and those of torch in float32.

    Raises
    ------
    ModelError
        If the file exists or cannot be written, the network cannot be exported, or its fractions differ by
        more than `TOLERANCE`.
    """
    refuse_unexportable(path, overwrite)
    model = _put_input_before(export_network(network), card)
    about = {
        "galvote": __version__,
        "card": card.model_dump_json(),
        "tree": json.dumps(card.tree),
        "columns": json.dumps(DecisionTree.from_dict(card.tree).columns),
    }
    if calibration is not None:
        about["calibration"] = base64.b64encode(save_arrays(calibration.to_arrays())).decode()
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    difference = _differ(data, network, card)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The exported model's fractions are up to {difference:.1e} from torch's, and {TOLERANCE:.0e} is "
            "allowed, so nothing is written; predict with torch, or update onnxruntime and torch."
        )
    write_whole(path, data, unique=True)
    return difference


def export(model: str | Path, out: str | Path, *, overwrite: bool = False) -> float:
    """Write a model as one ONNX file: uint8 cutouts in, vote fractions and features out.

    Parameters
    ----------
    model
        Name of a shipped model, or the folder of a saved one or of a run.
    out
        File to write, ending in ``.onnx``.
    overwrite
        Replace an existing file.

    Returns
    -------
    Largest difference between its fractions and those of torch in float32.

    Raises
    ------
    ModelError
        If there is no such model, a package of the extra ``onnx`` is missing, or the difference is too large.
    """
    refuse_unexportable(Path(out), overwrite)  # before the long part
    network, card = load_model(model)
    return export_model(network, card, load_calibration(model), Path(out), overwrite=overwrite)


def refuse_unexportable(path: Path, overwrite: bool) -> None:
    """Raise `ModelError` unless an exported model may and can be written to a path; its folder is made.

    Parameters
    ----------
    path
        Of the file; it must end in ``.onnx``.
    overwrite
        Whether an existing file may be replaced.
    """
    if path.suffix.lower() != ".onnx":
        raise ModelError(f"{path} does not end in .onnx, by which a model is known to be exported; add it.")
    refuse_existing(path, overwrite=overwrite)
    with trial_file(path) as partial_path:
        partial_path.touch()


def read_exported(path: Path) -> tuple[bytes, Card, Calibration | None]:
    """Read what `export_model` wrote.

    Returns
    -------
    ONNX bytes of the network alone, as `OnnxBackend` takes them, its card and its calibration, if it has one.

    Raises
    ------
    ModelError
        If the file is missing, damaged or not exported by galvote, or a package of the extra is missing.
    """
    choose_backend("onnx")
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


def _differ(data: bytes, network: GalaxyNetwork, card: Card) -> float:
    """Return the largest difference from torch in float32, on rendered galaxies and noise in two batches."""
    from galvote.simulate import simulate_galaxies

    cutouts = np.stack(
        [
            *(
                to_cutout(galaxy.image, card.cutout, card.cutout.field_of_view)
                for galaxy in simulate_galaxies(_CHECKED, seed=0)
            ),
            *np.random.default_rng(0).integers(0, 256, (2, *[card.cutout.pixels] * 2, 3), dtype=np.uint8),
        ]
    )
    exact = partial(run_network, network, precision=torch.float32)
    expected = predict_tta(exact, card.network.geometry, cutouts, card.cutout, tta=1)[0]
    session = open_session(data)
    found = [session.run(["fractions"], {"cutouts": part})[0] for part in (cutouts[:1], cutouts[1:])]
    return float(np.abs(np.concatenate(found) - expected).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from telling about optional packages and its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
