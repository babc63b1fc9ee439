"""A model as one ONNX file: uint8 cutouts in, vote fractions out, with all that galvote knows about it.

The graph is that of the network, ``images`` to ``fractions`` and ``features``, and before it the nodes
that make ``images`` of ``cutouts``. Whoever has the file alone runs it whole. A `Predictor` takes those
nodes away again, because it shows the network other views of a cutout as well.
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
from galvote.images import describe_warp, to_cutout
from galvote.inference.backends import choose_backend, open_session
from galvote.inference.tta import predict_tta
from galvote.io.atomic import refuse_existing, trial_file, write_whole
from galvote.models import Card, GalaxyNetwork, run_network
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-4
"""How far fractions of an exported model may be from those of torch in float32."""

_CHECKED = 16
_WARP = "warp_"


class _Outputs(nn.Module):
    def __init__(self, network: GalaxyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return self.network.head(features), features


def export_network(network: GalaxyNetwork) -> ModelProto:
    """Return a network in evaluation mode as ONNX: ``images`` to ``fractions`` and ``features``.

    Raises
    ------
    ModelError
        If a package of the extra ``onnx`` is missing, or torch cannot export this network.
    """
    choose_backend("onnx")
    side = network.spec.pixels
    device = next(network.parameters()).device
    try:
        with _quiet():
            program = torch.onnx.export(
                _Outputs(network).eval(),
                (torch.zeros(2, side, side, 3, dtype=torch.uint8, device=device),),
                dynamo=True,
                input_names=["images"],
                output_names=["fractions", "features"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises a kind of its own for each of its stages
        raise ModelError(
            f"torch {torch.__version__} cannot export the network {network.spec.encoder} with the head "
            f"{network.spec.head} ({type(error).__name__}); predict with torch, or install another version."
        ) from error
    assert program is not None
    model: ModelProto = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # where in whose files each one comes from
    return model


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
    model = export_network(network)
    _put_warp_before(model, card)
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


def refuse_unexportable(path: Path, overwrite: bool) -> None:
    """Raise `ModelError` unless an exported model may and can be written there; its folder is made."""
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

    try:
        model = onnx.load_model_from_string(path.read_bytes())
        about = {entry.key: entry.value for entry in model.metadata_props}
        card = Card.model_validate_json(about["card"])
        calibration = None
        if "calibration" in about:
            arrays = load_arrays(base64.b64decode(about["calibration"], validate=True))
            calibration = Calibration.from_arrays(arrays)
        _take_warp_away(model)
        onnx.checker.check_model(model)
    except Exception as error:  # of protobuf, pydantic, safetensors, onnx: each has its own
        raise ModelError(
            f"{path} cannot be used ({type(error).__name__}): it is damaged or not written by `galvote "
            "export`; export the model again."
        ) from error
    return model.SerializeToString(), card, calibration


def _put_warp_before(model: ModelProto, card: Card) -> None:
    """Let a network's graph take ``cutouts`` and make its ``images`` as `network_input` does."""
    from onnx import numpy_helper, parser

    size, spec, graph = card.cutout.pixels, card.network, model.graph
    lines, planes = list[str](), f"{_WARP}planes"
    steps = describe_warp(size, card.cutout.field_of_view / spec.field_of_view, spec.pixels)
    for number, step in enumerate(steps):
        name = f"{_WARP}{number}"
        for side, matrix in (("left", step.rows), ("right", step.columns.T)):
            graph.initializer.append(numpy_helper.from_array(matrix.astype(np.float64), f"{name}_{side}"))
        lines += [  # as `Resampling.apply`
            f"{name}_exact = Cast <to = 11> ({planes})",
            f"{name}_products = MatMul ({name}_exact, {name}_right)",
            f"{name}_wide = Cast <to = 1> ({name}_products)",
            f"{name}_wider = Cast <to = 11> ({name}_wide)",
            f"{name}_sums = MatMul ({name}_left, {name}_wider)",
            f"{name}_both = Cast <to = 1> ({name}_sums)",
        ]
        if step.ties_up:
            graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), f"{name}_half"))
            lines += [
                f"{name}_more = Add ({name}_both, {name}_half)",
                f"{name}_grey = Floor ({name}_more)",
            ]
        else:
            lines.append(f"{name}_grey = Round ({name}_both)")
        planes = f"{name}_grey"
    grey = "\n".join(lines)
    warp = parser.parse_graph(
        f"""warp (uint8[batch, {size}, {size}, 3] cutouts)
            => (uint8[batch, {spec.pixels}, {spec.pixels}, 3] images) {{
            {_WARP}float = Cast <to = 1> (cutouts)
            {_WARP}planes = Transpose <perm = [0, 3, 1, 2]> ({_WARP}float)
            {grey}
            {_WARP}pixels = Transpose <perm = [0, 2, 3, 1]> ({planes})
            images = Cast <to = 2> ({_WARP}pixels)
        }}"""
    )
    for node in warp.node:
        node.name = _WARP + node.output[0]
    nodes = [*warp.node, *graph.node]
    graph.value_info.extend(graph.input)
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(warp.input)


def _take_warp_away(model: ModelProto) -> None:
    """Let an exported graph take ``images`` again, the network's own input."""
    graph = model.graph
    nodes = [node for node in graph.node if not node.name.startswith(_WARP)]
    weights = [weight for weight in graph.initializer if not weight.name.startswith(_WARP)]
    images = [value for value in graph.value_info if value.name == "images"]
    others = [value for value in graph.value_info if value.name != "images"]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    graph.input.extend(images)
    graph.value_info.extend(others)


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
