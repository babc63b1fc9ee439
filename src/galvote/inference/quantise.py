"""A saved model's graph in 8-bit integers, which ONNX Runtime computes faster; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from safetensors.numpy import load_file

from galvote.errors import ImageError, ModelError
from galvote.images import View, network_input, try_cutout
from galvote.inference.backends import OnnxBackend
from galvote.inference.graph import take_weights_from
from galvote.io import list_sources
from galvote.io.atomic import atomic_file, refuse_existing
from galvote.models import find_model, load_card
from galvote.models.card import GRAPH, QUANTISED, WEIGHTS

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 0.05
"""How far any fraction may be from that in float32."""

_BATCH = 32
_MOST, _LEAST = 512, 32  # images
_FUSED = "ConvBnFusion_W_"  # before the name of a weight into which ONNX Runtime has multiplied a batch norm
_OF_INTEGERS = "_quantized"  # behind it, where it is in integers


def quantise(
    model: str | Path, cutouts: UInt8[np.ndarray, "galaxy p p 3"], *, overwrite: bool = False
) -> float:
    """Write a graph in 8-bit integers beside a model's own, which then is what ``onnx`` computes.

    Its weights are still those of the model's file, and are rounded when it is opened. The first quarter of
    the convolutions and the head stay in float32: else some fractions move by 0.1 and more. Weights have 7
    bits, or sums would overflow on processors without VNNI.

    Parameters
    ----------
    model
        Name of a shipped model, or a folder; it has a graph in float32.
    cutouts
        Some hundred galaxies in the model's geometry, on which the ranges of numbers are measured, none of
        those that it is to be scored or calibrated on.
    overwrite
        Replace an existing file.

    Returns
    -------
    The largest change of a fraction of these galaxies.

    Raises
    ------
    ModelError
        If the model has no graph, or a fraction changes by more than `TOLERANCE`; nothing is written then.
    """
    folder = find_model(model)
    if not (folder / GRAPH).is_file():
        raise ModelError(f"{folder} has no {GRAPH}; write it with: galvote export --model {folder}")
    refuse_existing(folder / QUANTISED, overwrite=overwrite)
    card = load_card(folder)
    images = network_input(cutouts, [View()] * len(cutouts), card.cutout, card.network.geometry)
    made = _with_integers(folder, images)
    with atomic_file(folder / QUANTISED) as path:
        path.write_bytes(made.SerializeToString())
        path.chmod(0o644)
        exact, rounded = OnnxBackend(folder / GRAPH), OnnxBackend(path, "int8")
        change = max(
            float(np.abs(exact.compute(some)[0] - rounded.compute(some)[0]).max())
            for some in _in_batches(images)
        )
        if not change <= TOLERANCE:
            raise ModelError(
                f"In 8-bit integers a fraction changes by {change:.2f}, and {TOLERANCE} is allowed, so "
                "nothing is written; measure the ranges on more galaxies, or keep the model in float32."
            )
    return change


def quantise_on_images(model: str | Path, images: Sequence[Path], *, overwrite: bool = False) -> float:
    """Do as `quantise` does, with the first 512 images of places as `galvote.io.list_sources` takes them.

    At least 32 must be readable, or it is a `ModelError`.
    """
    geometry = load_card(find_model(model)).cutout
    tried = (try_cutout(source.read, geometry) for source in islice(list_sources(images), _MOST))
    cutouts = [cutout for cutout in tried if not isinstance(cutout, ImageError)]
    if len(cutouts) < _LEAST:
        raise ModelError(
            f"Of the images for the ranges of numbers {len(cutouts)} can be read, and {_LEAST} are the "
            "fewest; give some hundred galaxies that the model was trained on."
        )
    return quantise(model, np.stack(cutouts), overwrite=overwrite)


def _with_integers(folder: Path, images: UInt8[np.ndarray, "galaxy y x 3"]) -> ModelProto:
    """Return a model's graph in 8-bit integers, whose weights are read from the model's file."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Ranges(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = _in_batches(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"images": some} for some in self.batches), None)

    with TemporaryDirectory() as place:
        whole, prepared, made = (Path(place) / f"{name}.onnx" for name in ("whole", "prepared", "made"))
        onnx.save(onnx.load(folder / GRAPH), whole)  # its weights would be looked for beside temporary files
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        fused = onnx.load(prepared)
        layers = [node.name for node in fused.graph.node if node.op_type == "Conv"]
        quantize_static(
            prepared, made, Ranges(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Clip"],  # sums of residuals and of the head need more digits
            nodes_to_exclude=layers[: len(layers) // 4],
        )  # fmt: skip
        quantised = onnx.load(made)
    _round_when_opened(quantised, fused, folder / WEIGHTS)
    take_weights_from(folder / WEIGHTS, quantised)
    return quantised


def _round_when_opened(quantised: ModelProto, fused: ModelProto, weights: Path) -> None:
    """Replace integers by what makes them of the model's own weights: a fiftieth of their size."""
    from onnx import helper, numpy_helper

    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in fused.graph.initializer}
    stored, nodes = load_file(weights), []
    for tensor in list(quantised.graph.initializer):
        name = tensor.name.removesuffix(_OF_INTEGERS)
        own = name.removeprefix(_FUSED)
        if name == tensor.name or (raw := stored.get(own.removeprefix("network."))) is None:
            continue
        raw = raw.astype(np.float32)
        rest = tuple(range(1, raw.ndim))
        # What each channel was multiplied by; of one without weights it does not matter.
        factor = (exact[name] * raw).sum(rest, keepdims=True) / np.maximum(
            np.square(raw).sum(rest, keepdims=True), 1e-30
        )
        quantised.graph.initializer.remove(tensor)
        quantised.graph.initializer.extend(
            [numpy_helper.from_array(raw, own), numpy_helper.from_array(factor, f"{own}.factor")]
        )
        nodes += [
            helper.make_node("Mul", [own, f"{own}.factor"], [f"{name}.multiplied"]),
            helper.make_node(
                "QuantizeLinear",
                [f"{name}.multiplied", f"{name}_scale", f"{name}_zero_point"],
                [tensor.name],
                axis=0,
            ),
        ]
    nodes += quantised.graph.node
    del quantised.graph.node[:]
    quantised.graph.node.extend(nodes)


def _in_batches(images: UInt8[np.ndarray, "galaxy y x 3"]) -> Iterator[np.ndarray]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
