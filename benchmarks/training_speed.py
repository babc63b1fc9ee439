"""Training speed of the baseline network at batch 1024: `galvote train`'s step against a plain script's.

    python benchmarks/training_speed.py

The plain script is what the report describes: float32 pictures in contiguous NCHW tensors, PyTorch's modules
in a row, `zero_grad`, `backward`, `step`. Both see the same random pictures; the two take turns, so that a
machine that slows down slows both. Each runs in a process of its own, because galvote changes how the C
library keeps memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date

BATCH = 1024


def plain_step() -> Callable[[], None]:
    import torch
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.ReLU(), nn.BatchNorm2d(32), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(6272, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Dropout(0.5),
        nn.Linear(32, 37), nn.Sigmoid(),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = nn.MSELoss()
    images, votes = torch.rand(BATCH, 3, 64, 64), torch.rand(BATCH, 37)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(network(images), votes).backward()
        optimizer.step()

    return step


def galvote_step() -> Callable[[], None]:
    import torch

    from galvote.models import fast_precision
    from galvote.models.memory import keep_freed_memory
    from galvote.training import Batch, load_recipe
    from galvote.training.task import GalaxyTask
    from galvote.trees import load_tree

    keep_freed_memory()
    task = GalaxyTask(load_recipe("sharma2020"), load_tree("gz2"), classes=0, steps_per_epoch=8)
    optimizer = task.configure_optimizers()["optimizer"]
    task.on_train_epoch_start()
    batch = Batch(
        torch.randint(0, 256, (BATCH, 64, 64, 3), dtype=torch.uint8),
        torch.rand(BATCH, 37),
        torch.full((BATCH,), -1),
    )
    fast = fast_precision()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", fast, enabled=fast is not torch.float32):
            loss = task.training_step(batch, 0)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def measure(name: str, steps: int) -> None:
    step = {"plain": plain_step, "galvote": galvote_step}[name]()
    step()
    step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    print(BATCH * steps / (time.perf_counter() - began))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", choices=["plain", "galvote"], help="measure one in this process")
    chosen = parser.parse_args()
    if chosen.only:
        measure(chosen.only, chosen.steps)
        return
    speeds: dict[str, list[float]] = {"plain": [], "galvote": []}
    for _ in range(chosen.rounds):
        for name, found in speeds.items():
            command = [sys.executable, __file__, "--only", name, "--steps", str(chosen.steps)]
            found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {date.today()}, batch {BATCH}, {chosen.rounds} rounds"
    )
    print("| step | galaxies/s: median (lowest to highest) |")
    print("|---|---|")
    for name, found in speeds.items():
        print(f"| {name} | {statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f}) |")
    ratios = [fast / slow for fast, slow in zip(speeds["galvote"], speeds["plain"], strict=True)]
    print(f"\nRatio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
