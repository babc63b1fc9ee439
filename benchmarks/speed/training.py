"""Training speed of the baseline network at batch 1024: `galvote train`'s step against a plain script's.

    python -m benchmarks.speed.training

The plain script is what the report describes: float32 images in contiguous NCHW tensors, PyTorch's modules in
a row, `zero_grad`, `backward`, `step`. Both see the same random images; the two take turns, so that a machine
that slows down slows both. Each runs in a process of its own, because galvote changes how the C library keeps
memory.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from lightning.pytorch import Trainer
from torch import nn

from benchmarks import common
from galvote.models import fast_precision
from galvote.models.memory import keep_freed_memory
from galvote.training import load_recipe
from galvote.training.batches import Batch
from galvote.training.task import GalaxyTask
from galvote.trees import load_tree

BATCH = 1024


def main() -> None:
    options = common.parser(__doc__, "--rounds")
    options.add_argument("--steps", type=int, default=8)
    chosen = options.parse_args()
    speeds: dict[str, list[float]] = {"plain": [], "galvote": []}
    new = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, new, max_tasks_per_child=1) as pool:
        for _ in range(chosen.rounds):
            for name, found in speeds.items():
                found.append(pool.submit(measure, name, chosen.steps).result())
    common.print_heading(f"batch {BATCH}", f"{chosen.rounds} rounds")
    table = common.Table("step | galaxies/s: median (lowest to highest)")
    for name, found in speeds.items():
        table.row(name, common.spread(found))
    ratios = [fast / slow for fast, slow in zip(speeds["galvote"], speeds["plain"], strict=True)]
    print(f"\nRatio: {common.spread(ratios, 2)}")


def measure(name: str, steps: int) -> float:
    """Return galaxies a second, in this process, after two steps that warm up."""
    step = {"plain": plain_step, "galvote": galvote_step}[name]()
    for _ in range(2):
        step()
    return common.fastest(lambda: sum(step() for _ in range(steps)), rounds=1)


def plain_step() -> Callable[[], int]:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.ReLU(), nn.BatchNorm2d(32), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(6272, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Dropout(0.5),
        nn.Linear(32, 37), nn.Sigmoid(),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    images, votes = torch.rand(BATCH, 3, 64, 64), torch.rand(BATCH, 37)

    def step() -> int:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.mse_loss(network(images), votes))
        optimizer.step()
        return BATCH

    return step


def galvote_step() -> Callable[[], int]:
    keep_freed_memory()
    task = GalaxyTask(load_recipe("sharma2020"), load_tree("gz2"), classes=0, steps_per_epoch=8)
    task.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    optimizer = task.configure_optimizers()["optimizer"]
    task.on_train_epoch_start()
    images = torch.randint(0, 256, (BATCH, 64, 64, 3), dtype=torch.uint8)
    batch = Batch(images, torch.rand(BATCH, 37), torch.full((BATCH,), -1))
    fast = fast_precision()

    def step() -> int:
        optimizer.zero_grad()
        with torch.autocast("cpu", fast, enabled=fast is not torch.float32):
            loss = task.training_step(batch, 0)
        torch.autograd.backward(loss)
        optimizer.step()
        return BATCH

    return step


if __name__ == "__main__":
    main()
