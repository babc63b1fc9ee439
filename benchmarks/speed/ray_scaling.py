"""Prediction with Ray beside the built-in engine: how it scales with workers, and what it costs.

    python -m benchmarks.speed.ray_scaling [--frames DATA]

Images are JPEGs of 424 × 424 pixels, simulated, or those of the challenge, linked under as many names as are
wanted. Each engine predicts them into shards, in turns, `--rounds` times. A worker of Ray has one core; the
built-in engine has as many cores as the workers it stands beside. Measured are galaxies a second of the whole
run, without the start of Ray itself; galaxies a second from when each worker has made its first shard until
the last but those is made; how long Ray takes to start, and the engine until the first galaxies are
predicted. Let nothing else run meanwhile.
"""

import statistics
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch

import galvote
from benchmarks import common
from galvote.inference import Manifest, Settings, Shards
from galvote.inference.predict_shards import fill_shards
from galvote.inference.ray_engine import RayEngine
from galvote.io import Sources, list_sources

MODEL, SHARD_SIZE = "galvote-small", 512


def main() -> None:
    options = common.parser(__doc__, "--frames", "--rounds")
    options.add_argument("--galaxies", type=int, default=16_384)
    chosen = options.parse_args()
    runs: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    with common.some_frames(chosen.frames) as (folder, frames):
        sources = list_sources(common.link(frames, chosen.galaxies, folder / "images"))
        for number, workers, engine in product(range(chosen.rounds), (1, 2), ("built-in", "Ray")):
            run = measure(engine, sources, workers, folder / f"{engine}-{workers}-{number}")
            runs.setdefault((engine, workers), []).append(run)
    common.print_heading()
    columns = "galaxies/s, whole run | galaxies/s, steady | start | first galaxies after"
    table = common.Table(f"engine | cores | {columns}")
    for name, found in runs.items():
        whole, steady, started, first = (statistics.median(values) for values in zip(*found, strict=True))
        table.row(*name, f"{whole:,.0f}", f"{steady:,.0f}", f"{started:.1f} s", f"{first:.1f} s")


def measure(engine: str, sources: Sources, workers: int, out: Path) -> tuple[float, ...]:
    """Return galaxies a second of the whole run and when steady, and seconds to start and to the first."""
    load, settings = partial(galvote.load, MODEL), Settings()
    predictor = load()
    shards = Shards.begin(out, Manifest.of(predictor, sources, settings, SHARD_SIZE))
    moments = list[tuple[float, int]]()

    def add(galaxies: int) -> None:
        moments.append((time.perf_counter(), galaxies + (moments[-1][1] if moments else 0)))

    cores, began = torch.get_num_threads(), time.perf_counter()
    if engine == "Ray":
        with RayEngine(workers=workers) as ray:
            ray.cores = 1
            started = time.perf_counter()
            ray.fill_shards(load, sources, shards, settings, on_galaxies=add)
    else:
        torch.set_num_threads(workers)
        started = time.perf_counter()
        fill_shards(predictor, sources, shards, settings, on_galaxies=add)
        torch.set_num_threads(cores)
    whole, wave = moments[-1][0] - started, SHARD_SIZE * workers
    steady = [moment for moment in moments if wave <= moment[1] <= len(sources) - wave]
    if len(steady) < 2:
        sys.exit("Too few shards to see a steady rate: give more --galaxies.")
    (first, low), (last, high) = steady[0], steady[-1]
    return len(sources) / whole, (high - low) / (last - first), started - began, moments[0][0] - started


if __name__ == "__main__":
    main()
