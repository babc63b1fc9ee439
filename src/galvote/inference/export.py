"""A model as one ONNX file: uint8 cutouts in, vote fractions out, with all that galvote knows about it.

The graph makes ``images``, the network's own input, of ``cutouts``, and of these ``fractions`` and
``features``. Whoever has the file alone runs it whole. A `Predictor` takes the part from ``images`` on,
because it shows the network other views of a cutout as well.
"""

from __future__ import annotations

import base64
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from safetensors.numpy import save as save_arrays
from torch import Tensor, nn

from galvote._version import __version__
from galvote.calibration import Calibration
from galvote.errors import ModelError
from galvote.images import View, to_cutout, warp_cutout
from galvote.inference.backends import OnnxBackend, open_session
from galvote.inference.graph import take_weights_from, with_head
from galvote.inference.tta import predict_tta
from galvote.io.atomic import atomic_file, refuse_existing, trial_file, write_whole
from galvote.models import Card, GalaxyNetwork, find_model, load_calibration, load_model, run_network
from galvote.models.card import GRAPH, WEIGHTS
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-3
"""How far fractions of an exported model may be from those of torch in float32."""

_ROUNDED = 5
"""So many times further they may be if the graph makes the network's input, too, a grey level off here and
there: heads that learned from few labels are steep."""

_CHECKED = 16


class _Outputs(nn.Module):
    def __init__(self, network: GalaxyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return self.network.head(features), features


def export_network(network: GalaxyNetwork) -> ModelProto:
    """Return a network as ONNX: ``images`` to ``fractions`` and ``features``, or raise `ModelError`."""
    _refuse_without_exporter()
    try:
        return _to_onnx(network)
    except Exception as error:  # torch's exporter raises a kind of its own for each of its stages
        raise ModelError(
            f"torch {torch.__version__} cannot export the network {network.spec.encoder} with the head "
            f"{network.spec.head} ({type(error).__name__}); predict with torch, or install another version."
        ) from error


def _refuse_without_exporter() -> None:
    if find_spec("onnxscript") is None:
        raise ModelError("Exporting needs the package onnxscript: pip install 'galvote[train]'")


def _to_onnx(network: GalaxyNetwork, *, optimize: bool = True) -> ModelProto:
    module, side = _Outputs(network).eval(), network.spec.pixels
    device = next(module.parameters()).device
    with _quiet():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, side, side, 3, dtype=torch.uint8, device=device),),
            dynamo=True,
            optimize=optimize,
            input_names=["images"],
            output_names=["fractions", "features"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model: ModelProto = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # where in whose files each one comes from
    return model


def _put_input_before(model: ModelProto, card: Card) -> ModelProto:
    """Let a network's graph take ``cutouts``, whose upright view is then its input, as in `network_input`.

    What the warp does to the rows and to the columns of a cutout is a matrix: its columns are what becomes of
    one bright row. OpenCV rounds to whole grey levels a little otherwise, which fractions hardly notice.
    """
    from onnx import TensorProto, numpy_helper, parser
    from onnx.compose import add_prefix, merge_models

    side, own = card.cutout.pixels, card.network.pixels
    upright = View(zoom=card.cutout.field_of_view / card.network.field_of_view)
    lines = np.eye(side, dtype=np.float32)[:, :, None].repeat(side, axis=2)
    rows = np.stack([warp_cutout(line, upright, own)[:, 0] for line in lines], axis=1)
    opset = max(each.version for each in model.opset_import if not each.domain)
    before = parser.parse_model(f"""
        <ir_version: {model.ir_version}, opset_import: ["": {opset}]>
        input (uint8[batch, {side}, {side}, 3] cutouts) => (uint8[batch, {own}, {own}, 3] images)
        {{
            planes = Transpose <perm = [0, 3, 1, 2]> (cutouts)
            levels = Cast <to = {TensorProto.FLOAT}> (planes)
            resampled = MatMul (rows, levels)
            resampled_twice = MatMul (resampled, columns)
            rounded = Round (resampled_twice)
            grey = Clip (rounded, black, white)
            whole = Cast <to = {TensorProto.UINT8}> (grey)
            images = Transpose <perm = [0, 2, 3, 1]> (whole)
        }}
    """)
    constants = {"rows": rows, "columns": np.ascontiguousarray(rows.T), "black": 0, "white": 255}
    before.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()
    )
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
    """Write a model as one ONNX file; return how far its fractions are from those of torch in float32.

    The file appears whole or, at any failure, not at all: if they differ by more than is allowed, too.
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
    cutouts, session = _draw_cutouts(card), open_session(data)
    found = [session.run(["fractions"], {"cutouts": part})[0] for part in (cutouts[:1], cutouts[1:])]
    difference = _compare(np.concatenate(found), network, card, cutouts, _ROUNDED * TOLERANCE)
    write_whole(path, data, unique=True)
    return difference


def export(model: str | Path, out: str | Path | None = None, *, overwrite: bool = False) -> float:
    """Write a model as ONNX, which needs no torch, and return how far its fractions are from torch's.

    Parameters
    ----------
    model
        Name of a shipped model, or the folder of a saved one or of a run.
    out
        One file, ending in ``.onnx``, with all that galvote knows of the model: uint8 cutouts in, vote
        fractions and features out. If not given, ``network.onnx`` is written beside the model's weights, and
        the folder predicts without torch from then on.
    overwrite
        Replace an existing file.

    Raises
    ------
    ModelError
        If there is no such model, a package of the extra is missing, or the difference is too large.
    """
    if out is None:
        return _export_graph(find_model(model), overwrite)
    refuse_unexportable(Path(out), overwrite)  # before the long part
    network, card = load_model(model)
    return export_model(network, card, load_calibration(model), Path(out), overwrite=overwrite)


def export_as(parent: Path, folder: Path) -> float:
    """Write the graph of a model that was trained from another: with its graph, it need not be exported anew.

    Weights and head are changed there; it is compared with torch as after an export, which comes instead if
    they differ. Both are folders of saved models, the parent's with its graph. The head is a softmax.
    """
    import onnx

    head = load_model(folder)[0].head
    layer = [parameter.detach().numpy() for parameter in (head.linear.weight, head.linear.bias)]
    with suppress(ModelError):
        graph = onnx.load(parent / GRAPH, load_external_data=False)
        return _write_graph(folder, with_head(graph, head.tree, *layer))
    return _export_graph(folder, overwrite=False)


def _export_graph(folder: Path, overwrite: bool) -> float:
    """Export the graph of a model to where it is."""
    _refuse_without_exporter()
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    refuse_existing(folder / GRAPH, overwrite=overwrite)
    network, _ = load_model(folder)
    # Not optimised any further: batch normalisation stays, so the weights are those of the file.
    model = _to_onnx(network, optimize=False)
    fold_constants(model)
    remove_unused_nodes(model)
    return _write_graph(folder, model)


def _write_graph(folder: Path, model: ModelProto) -> float:
    """Write a graph whose weights are those of the model's own file, if it computes what torch does."""
    network, card = load_model(folder)
    take_weights_from(folder / WEIGHTS, model)
    with atomic_file(folder / GRAPH) as path:
        path.write_bytes(model.SerializeToString())
        path.chmod(0o644)
        cutouts = _draw_cutouts(card)
        found = predict_tta(OnnxBackend(path).compute, card.network.geometry, cutouts, card.cutout, tta=1)[0]
        return _compare(found, network, card, cutouts, TOLERANCE)


def refuse_unexportable(path: Path, overwrite: bool) -> None:
    """Raise an error unless an exported model may and can be written to a path; its folder is made."""
    if path.suffix.lower() != ".onnx":
        raise ModelError(f"{path} does not end in .onnx, by which a model is known to be exported; add it.")
    refuse_existing(path, overwrite=overwrite)
    with trial_file(path) as partial_path:
        partial_path.touch()


def _draw_cutouts(card: Card) -> UInt8[np.ndarray, "galaxy p p 3"]:
    """Return cutouts to compare with torch on: rendered galaxies and noise."""
    from galvote.simulate import simulate_galaxies

    galaxies = simulate_galaxies(_CHECKED, seed=0)
    noise = np.random.default_rng(0).integers(0, 256, (2, *[card.cutout.pixels] * 2, 3), dtype=np.uint8)
    return np.stack(
        [*(to_cutout(each.image, card.cutout, card.cutout.field_of_view) for each in galaxies), *noise]
    )


def _compare(
    found: Float32[np.ndarray, "galaxy answer"],
    network: GalaxyNetwork,
    card: Card,
    cutouts: UInt8[np.ndarray, "galaxy p p 3"],
    allowed: float,
) -> float:
    """Return the largest difference of fractions from those of torch in float32, or refuse it."""
    exact = partial(run_network, network, precision=torch.float32)
    expected = predict_tta(exact, card.network.geometry, cutouts, card.cutout, tta=1)[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= allowed:
        raise ModelError(
            f"The exported model's fractions are up to {difference:.1e} from torch's, and {allowed:.0e} is "
            "allowed, so nothing is written; predict with torch, or update onnxruntime and torch."
        )
    return difference


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
