"""Prediction with Ray beside the built-in engine: how it scales with workers, and what it costs.

    python benchmarks/ray_scaling.py [--data ../shared/galaxyzoo] [--workers 1 2]

Pictures are JPEGs of 424 × 424 pixels, simulated, or those of a Galaxy Zoo folder, linked under as many names
as are wanted. Each way predicts them into numbered parts, in turns, `--rounds` times. A worker of Ray has one
core; the built-in engine has as many cores as the workers it stands beside. The table has, in Markdown,

- galaxies a second of the whole run, with the start of Ray's workers, but not of Ray itself;
- galaxies a second from when each worker has made its first part until the last but those is made;
- how long Ray takes to start, and the engine until the first galaxies are predicted.

Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch

import galvote
from galvote.inference import Made, Parts, Settings, make_parts, make_plan
from galvote.inference.ray_engine import RayEngine
from galvote.io import Sources, list_sources
from speed import describe_machine
from survey import find_frames, link, simulate_frames


class Run(NamedTuple):
    """How one run went: seconds until the engine was up, then from there on, by galaxies made."""

    started: float
    first: float
    whole_rate: float
    steady_rate: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with images_training/")
    parser.add_argument("--model", default="galvote-small")
    parser.add_argument("--galaxies", type=int, default=16_384)
    parser.add_argument("--part-size", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    cores = torch.get_num_threads()
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = find_frames(options.data) if options.data else simulate_frames(folder)
        sources = list_sources(link(frames, options.galaxies, folder / "images"))
        places = (folder / f"parts-{number}" for number in count())
        for _ in range(options.rounds):
            for workers in options.workers:
                for engine, measure in (("built-in", measure_built_in), ("Ray", measure_ray)):
                    run = measure(options.model, sources, options.part_size, workers, next(places))
                    runs.setdefault(f"| {engine} | {workers} ", []).append(run)
    torch.set_num_threads(cores)
    print(f"`{' '.join(['python', 'benchmarks/ray_scaling.py', *sys.argv[1:]])}`: {describe_machine()}\n")
    print("| engine | cores | galaxies/s, whole run | galaxies/s, steady | start | first galaxies after |")
    print("|---|---|---|---|---|---|")
    for name, found in runs.items():
        said = [statistics.median(values) for values in zip(*found, strict=True)]
        print(f"{name}| {said[2]:,.0f} | {said[3]:,.0f} | {said[0]:.1f} s | {said[1]:.1f} s |")


def measure_built_in(model: str, sources: Sources, part_size: int, workers: int, out: Path) -> Run:
    """Predict in this process on so many cores."""
    torch.set_num_threads(workers)
    predictor, settings = galvote.load(model), Settings()
    parts = Parts.begin(out, make_plan(predictor, sources, settings, part_size))
    clock = Clock(len(sources), part_size * workers)

    make_parts(predictor, sources, parts, settings, on_galaxies=clock.add)
    return clock.stop(0.0)


def measure_ray(model: str, sources: Sources, part_size: int, workers: int, out: Path) -> Run:
    """Predict with so many workers of one core each."""
    load: Callable[[], galvote.Predictor] = partial(galvote.load, model)
    settings = Settings()
    parts = Parts.begin(out, make_plan(load(), sources, settings, part_size))
    began = time.perf_counter()
    with RayEngine(workers=workers) as engine:
        engine.cores = 1
        started = time.perf_counter() - began
        clock = Clock(len(sources), part_size * workers)

        def on_part(made: Made) -> None:
            clock.add(made.statuses.total())

        engine.make_parts(load, sources, parts, settings, on_part=on_part)
        return clock.stop(started)


class Clock:
    """When how many galaxies were made."""

    def __init__(self, galaxies: int, wave: int) -> None:
        self.galaxies, self.wave = galaxies, wave
        self.began = time.perf_counter()
        self.made: list[tuple[float, int]] = []

    def add(self, galaxies: int) -> None:
        """Say that so many more are made."""
        before = self.made[-1][1] if self.made else 0
        self.made.append((time.perf_counter() - self.began, before + galaxies))

    def stop(self, started: float) -> Run:
        """Say that all are made, by an engine that took so many seconds to start."""
        whole = time.perf_counter() - self.began
        steady = [moment for moment in self.made if self.wave <= moment[1] <= self.galaxies - self.wave]
        if len(steady) < 2:
            sys.exit("Too few parts to see a steady rate: give more --galaxies or a smaller --part-size.")
        (first, low), (last, high) = steady[0], steady[-1]
        return Run(started, self.made[0][0], self.galaxies / whole, (high - low) / (last - first))


if __name__ == "__main__":
    main()
