"""What computes a network fastest, and how far it is from float32.

    python -m benchmarks.speed.backends --data DATA --store STORE --models galvote-small galvote-base

For each model and backend: galaxies a second on one core and on all, each with a batch of 64 of its own at a
time, as `galvote predict` runs them; RMSE on the validation split; and how far its fractions are from those
of torch in float32. `galvote.inference.backends.fastest_backend` is the order that this finds among backends
whose RMSE is within 0.0005.

Three rows are of no backend of the package: torch compiled by Inductor, and networks in 8-bit integers, whose
ranges are measured on training galaxies.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import common
from galvote.images import View, network_input
from galvote.inference.backends import Backend, OnnxBackend, OpenVinoBackend
from galvote.inference.export import export_network
from galvote.inference.torch_backend import TorchBackend
from galvote.models import load_model

BATCH = 64
CALIBRATION = 512


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--models", "--rounds")
    options.add_argument("--without-compiled", action="store_true", help="no torch.compile, which is slow")
    chosen = options.parse_args()
    torch.set_num_threads(common.cores())
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    training = galaxies.draw_training(CALIBRATION)
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    columns = "RMSE | against float32 | mean change | largest change"
    table = common.Table(f"model | backend | one core | all cores | {columns}")
    for model in chosen.models:
        images, ranges = prepare(model, galaxies.cutouts), prepare(model, training)
        exact: np.ndarray | None = None
        for name, backend in backends(model, ranges, compiled=not chosen.without_compiled):
            speeds = [measure(backend, images, n, chosen.rounds) for n in (1, common.cores())]
            predicted = np.concatenate([backend.compute(some)[0] for some in in_batches(images)])
            exact = predicted if exact is None else exact
            found, reference = (common.rmse(galaxies.errors(fractions)) for fractions in (predicted, exact))
            change = np.abs(predicted - exact)
            table.row(
                f"`{model}`", name, *(f"{speed:,.0f}" for speed in speeds), f"{found:.5f}",
                f"{found - reference:+.5f}", f"{change.mean():.1e}", f"{change.max():.1e}",
            )  # fmt: skip


def prepare(model: str, cutouts: np.ndarray) -> np.ndarray:
    """Return a network's input."""
    _, card = load_model(model)
    return network_input(np.asarray(cutouts), [View()] * len(cutouts), card.cutout, card.network.geometry)


def backends(model: str, ranges: np.ndarray, *, compiled: bool) -> Iterator[tuple[str, Backend]]:
    """Yield each backend and its name, torch in float32 first."""
    network, _ = load_model(model)
    onnx = export_network(network).SerializeToString()
    yield "torch float32", TorchBackend(network, torch.float32)
    yield "torch bfloat16", TorchBackend(network, torch.bfloat16)
    if compiled:
        faster = TorchBackend(network, torch.bfloat16)
        faster.fused.encoder.compile()
        yield "torch bfloat16, compiled", faster
    yield "onnx float32", OnnxBackend(onnx)
    native = OpenVinoBackend(onnx)
    yield native.name.removesuffix(" cpu"), native
    integers = quantise(onnx, ranges)
    yield "onnx int8", OnnxBackend(integers)
    yield "openvino int8", OpenVinoBackend(integers)


def quantise(onnx: bytes, images: np.ndarray) -> bytes:
    """Return a network in 8-bit integers, its ranges measured on some of its input.

    The first quarter of the convolutions stays in float32: else some fractions move by 0.1 and more. Weights
    have 7 bits, or sums would overflow on processors without VNNI.
    """
    from onnx import load
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Ranges(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = in_batches(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"images": some} for some in self.batches), None)

    with TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "made"))
        given.write_bytes(onnx)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        layers = [node.name for node in load(prepared).graph.node if node.op_type == "Conv"]
        quantize_static(
            prepared, made, Ranges(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Clip", "Relu"],  # residuals' and the head's sums need more digits
            nodes_to_exclude=layers[: len(layers) // 4],
        )  # fmt: skip
        return made.read_bytes()


def in_batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield 64 images at a time."""
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


def measure(backend: Backend, images: np.ndarray, threads: int, rounds: int) -> float:
    """Return galaxies a second of the network alone, in as many threads, each on one core."""
    batches = [some for some in in_batches(images) if len(some) == BATCH]
    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(backend.compute, batches[: 2 * threads]))
        task = {"": lambda: sum(len(made) for made, _ in pool.map(backend.compute, batches))}
        fastest = max(common.measure_rates(task, rounds)[""])
    torch.set_num_threads(before)
    return fastest


if __name__ == "__main__":
    main()
