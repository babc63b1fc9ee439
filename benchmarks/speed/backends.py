"""What computes a network fastest, and how far it is from float32.

    python -m benchmarks.speed.backends --data DATA --store STORE --models galvote-small galvote-base

For each model and backend: galaxies a second on one core and on all, each with a batch of 64 of its own at a
time, as `galvote predict` runs them; RMSE on the validation split; and how far its fractions are from those
of torch in float32. The models have graphs, also in 8-bit integers, as `galvote export` writes them. Two rows
are of no backend of the package: torch compiled by Inductor, and 8-bit integers in OpenVINO.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from benchmarks import common
from galvote.images import View, network_input
from galvote.inference.backends import Backend, OnnxBackend, OpenVinoBackend
from galvote.inference.torch_backend import TorchBackend
from galvote.models import find_model, load_model
from galvote.models.card import GRAPH, QUANTISED

BATCH = 64


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--models", "--rounds")
    options.add_argument("--without-compiled", action="store_true", help="no torch.compile, which is slow")
    chosen = options.parse_args()
    torch.set_num_threads(common.cores())
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    columns = "RMSE | against float32 | mean change | largest change"
    table = common.Table(f"model | backend | one core | all cores | {columns}")
    for model in chosen.models:
        card = load_model(model)[1]
        views = [View()] * len(galaxies.ids)
        images = network_input(galaxies.cutouts, views, card.cutout, card.network.geometry)
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        exact: np.ndarray | None = None
        for name, backend in backends(model, compiled=not chosen.without_compiled):
            speeds = [measure(backend, batches[:-1], n, chosen.rounds) for n in (1, common.cores())]
            predicted = np.concatenate([backend.compute(some)[0] for some in batches])
            exact = predicted if exact is None else exact
            found, reference = (common.rmse(galaxies.errors(fractions)) for fractions in (predicted, exact))
            change = np.abs(predicted - exact)
            table.row(
                f"`{model}`", name, *(f"{speed:,.0f}" for speed in speeds), f"{found:.5f}",
                f"{found - reference:+.5f}", f"{change.mean():.1e}", f"{change.max():.1e}",
            )  # fmt: skip


def backends(model: str, *, compiled: bool) -> Iterator[tuple[str, Backend]]:
    """Yield each backend and its name, torch in float32 first."""
    folder, (network, _) = find_model(model), load_model(model)
    yield "torch float32", TorchBackend(network, torch.float32)
    yield "torch bfloat16", TorchBackend(network, torch.bfloat16)
    if compiled:
        faster = TorchBackend(network, torch.bfloat16)
        faster.fused.encoder.compile()
        yield "torch bfloat16, compiled", faster
    yield "onnx float32", OnnxBackend(folder / GRAPH)
    native = OpenVinoBackend(folder / GRAPH)
    yield native.name.removesuffix(" cpu"), native
    yield "onnx int8", OnnxBackend(folder / QUANTISED)
    yield "openvino int8", OpenVinoBackend(folder / QUANTISED)


def measure(backend: Backend, batches: list[np.ndarray], threads: int, rounds: int) -> float:
    """Return galaxies a second of the network alone, in as many threads, each on one core."""
    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(backend.compute, batches[: 2 * threads]))
        found = common.fastest(
            lambda: sum(len(made) for made, _ in pool.map(backend.compute, batches)), rounds
        )
    torch.set_num_threads(before)
    return found


if __name__ == "__main__":
    main()
