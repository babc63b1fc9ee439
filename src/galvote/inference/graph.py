"""The ONNX graph of a saved model, changed without torch: where its weights are, and its head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from galvote.models.card import WEIGHTS
from galvote.trees import DecisionTree

if TYPE_CHECKING:
    from onnx import ModelProto

_STORED = ".stored"
_LAYER = "network.head.linear"


def take_weights_from(path: Path, model: ModelProto) -> None:
    """Let a graph read its weights from a model's file in the same folder, in the precision of the file.

    The graph is changed in place. Its weights may be its own, or those of another such file; `path` is where
    the file is now.
    """
    from onnx import TensorProto, helper

    types = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
    # A safetensors file: the length of its header in 8 bytes, the header as JSON, then the tensors.
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    stored, casts = json.loads(data[8:header]), []
    for tensor in list(model.graph.initializer):
        name = tensor.name.removesuffix(_STORED)
        if (about := stored.get(name.removeprefix("network."))) is None:
            continue  # a constant of the graph
        start, stop = about["data_offsets"]
        own = TensorProto(
            name=name + _STORED,
            data_type=types[about["dtype"]],
            dims=tensor.dims,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in {"location": WEIGHTS, "offset": header + start, "length": stop - start}.items():
            own.external_data.add(key=key, value=str(value))
        if name == tensor.name:
            casts.append(helper.make_node("Cast", [own.name], [name], to=TensorProto.FLOAT))
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(own)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)


def with_head(
    model: ModelProto,
    tree: DecisionTree,
    weight: Float32[np.ndarray, "answer feature"],
    bias: Float32[np.ndarray, " answer"],
) -> ModelProto:
    """Return a graph with another head: softmax fractions of each question, which flow down the tree.

    Its ``images`` give ``fractions`` and ``features``; weight and bias are those of the head's linear layer.
    """
    from onnx import TensorProto, helper, numpy_helper
    from onnx.utils import Extractor

    made: ModelProto = Extractor(model).extract_model(["images"], ["features"])
    graph = made.graph
    constants: dict[str, np.ndarray] = {f"{_LAYER}.weight": weight, f"{_LAYER}.bias": bias}
    sizes = [len(question.answers) for question in tree.questions]
    constants["head.sizes"] = np.array(sizes, np.int64)
    shares = [f"head.shares.{place}" for place in range(len(sizes))]
    nodes = [
        helper.make_node("Gemm", ["features", *[*constants][:2]], ["head.outputs"], transB=1),
        helper.make_node(
            "Split", ["head.outputs", "head.sizes"], [f"{one}.outputs" for one in shares], axis=1
        ),
        *(helper.make_node("Softmax", [f"{one}.outputs"], [one], axis=1) for one in shares),
    ]
    flown = list(shares)
    places = [(place, at) for place, size in enumerate(sizes) for at in range(size)]
    for question in tree.asking_order:
        place, parents = tree.questions.index(question), tree.parents[question.name]
        if not parents or question.always_asked:
            continue
        asked = f"head.asked.{place}"
        flown[place] = f"head.flown.{place}"
        columns = [f"{asked}.{parent}" for parent in parents]
        for parent, column in zip(parents, columns, strict=True):
            of, at = places[parent]
            constants[f"head.at.{parent}"] = np.array([at], np.int64)
            nodes.append(helper.make_node("Gather", [flown[of], f"head.at.{parent}"], [column], axis=1))
        nodes += [
            helper.make_node("Sum", columns, [asked]),
            helper.make_node("Mul", [shares[place], asked], [flown[place]]),
        ]
    nodes.append(helper.make_node("Concat", flown, ["fractions"], axis=1))
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    fractions = helper.make_tensor_value_info("fractions", TensorProto.FLOAT, ["batch", len(tree)])
    graph.output.insert(0, fractions)
    del graph.value_info[:]
    return made
