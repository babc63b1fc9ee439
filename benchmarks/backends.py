"""What computes a network fastest, and how far it is from float32.

    python benchmarks/backends.py --data ../shared/galaxyzoo --store store --models galvote-small galvote-base

For each model and backend: galaxies a second on one core and on all, each with a batch of 64 of its own at a
time, as `galvote predict` runs them; RMSE on the validation split, one view; and how far its fractions are
from those of torch in float32. `galvote.inference.backends.fastest_backend` is the order that this finds
among backends whose RMSE is within 0.0005.

Three rows are of no backend of the package: torch compiled by Inductor, and networks in 8-bit integers, whose
ranges are measured on training galaxies.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from galvote.images import PackedStore, View, network_input
from galvote.inference.backends import Backend, OnnxBackend, OpenVinoBackend, TorchBackend
from galvote.inference.export import export_network
from galvote.inference.tta import predict_tta
from galvote.labels import read_labels
from galvote.models import load_model
from speed import cores, describe_machine
from validation import galaxy_errors, load_galaxies, rmse

BATCH = 64
CALIBRATION = 512


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--store", type=Path, required=True, help="packed store of the galaxies")
    parser.add_argument("--models", nargs="+", default=["galvote-small", "galvote-base"])
    parser.add_argument("--rounds", type=int, default=5, help="the fastest counts")
    parser.add_argument(
        "--without-compiled", action="store_true", help="leave out torch.compile, which is slow"
    )
    chosen = parser.parse_args()

    torch.set_num_threads(cores())
    splits = chosen.data / "splits.csv"
    galaxies = load_galaxies(chosen.store, chosen.data / "training_solutions.csv", splits)
    ranges = draw_training_cutouts(chosen.store, splits)

    print(" ".join(["python", *sys.argv]))
    print(f"{len(galaxies.ids)} galaxies; {describe_machine()}; {date.today()}\n")
    print(
        "| model | backend | one core | all cores | RMSE | against float32 | mean change | largest change |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for model in chosen.models:
        _, card = load_model(model)
        views = [View()] * len(galaxies.cutouts)
        images = network_input(galaxies.cutouts, views, galaxies.geometry, card.network.geometry)
        exact: np.ndarray | None = None
        for name, make in backends(model, ranges, compiled=not chosen.without_compiled):
            backend = make()
            one = galaxies_per_second(backend, images, 1, chosen.rounds)
            every = galaxies_per_second(backend, images, cores(), chosen.rounds)
            predicted = np.concatenate(
                [
                    predict_tta(backend.compute, card.network.geometry, part, galaxies.geometry, tta=1)[0]
                    for part in in_batches(galaxies.cutouts)
                ]
            )
            exact = predicted if exact is None else exact
            found, reference = (rmse(galaxy_errors(p, galaxies.actual)) for p in (predicted, exact))
            change = np.abs(predicted - exact)
            print(
                f"| `{model}` | {name} | {one:,.0f} | {every:,.0f} | {found:.5f} | {found - reference:+.5f} "
                f"| {change.mean():.1e} | {change.max():.1e} |",
                flush=True,
            )


def backends(
    model: str, ranges: np.ndarray, *, compiled: bool
) -> Iterator[tuple[str, Callable[[], Backend]]]:
    """Yield each backend's name and what makes it, torch in float32 first."""
    network, card = load_model(model)
    onnx = export_network(network).SerializeToString()
    yield "torch float32", lambda: TorchBackend(network, torch.float32)
    yield "torch bfloat16", lambda: TorchBackend(network, torch.bfloat16)
    if compiled:
        faster = TorchBackend(network, torch.bfloat16)
        faster.fused.encoder.compile()
        yield "torch bfloat16, compiled", lambda: faster
    yield "onnx float32", lambda: OnnxBackend(onnx)
    native = OpenVinoBackend(onnx)
    yield native.name.removesuffix(" cpu"), lambda: native
    views = [View()] * len(ranges)
    integers = quantise(onnx, network_input(ranges, views, card.cutout, card.network.geometry))
    yield "onnx int8", lambda: OnnxBackend(integers)
    yield "openvino int8", lambda: OpenVinoBackend(integers)


def quantise(onnx: bytes, images: np.ndarray) -> bytes:
    """Return a network in 8-bit integers, its ranges measured on some of its input."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Ranges(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts = in_batches(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(self.parts, None)
            return None if part is None else {"images": part}

    with TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "made"))
        given.write_bytes(onnx)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            Ranges(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu"],  # the head's sums need more digits
        )
        return made.read_bytes()


def draw_training_cutouts(store: Path, splits: Path) -> np.ndarray:
    packed, split = PackedStore.open(store), read_labels(splits, "split")
    rows = [row for row, galaxy in enumerate(packed.ids) if split.get(galaxy) == "train"]
    drawn = np.random.default_rng(0).choice(rows, min(CALIBRATION, len(rows)), replace=False)
    return np.asarray(packed.cutouts[np.sort(drawn)])


def in_batches(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def galaxies_per_second(backend: Backend, images: np.ndarray, threads: int, rounds: int) -> float:
    """Time the network alone, in as many threads, each on one core."""
    batches = [part for part in in_batches(images) if len(part) == BATCH]
    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(backend.compute, batches[: 2 * threads]))
        fastest = np.inf
        for _ in range(rounds):
            began = time.perf_counter()
            list(pool.map(backend.compute, batches))
            fastest = min(fastest, time.perf_counter() - began)
    torch.set_num_threads(before)
    return float(BATCH * len(batches) / fastest)


if __name__ == "__main__":
    main()
