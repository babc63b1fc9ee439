"""The processes that train one network together, one for each device.

Whether the command itself, torchrun or SLURM starts them, each runs the same command from its beginning.
Rank zero alone writes files, and goes first where something is made that all of them read.
"""

import ctypes
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy as TrainersDDPStrategy

from galvote.errors import GalvoteError, TrainingError

_PR_SET_PDEATHSIG = 1
_PATIENCE = timedelta(days=100)
_GIVE_WAY = 5.0
"""Seconds that other ranks give rank zero to report an error."""


@dataclass(frozen=True)
class World:
    """The processes that train together, as one of them sees it; by default it is alone."""

    devices: int = 1  # on each machine
    machines: int = 1
    rank: int = 0  # of this process, from 0
    group: torch.distributed.ProcessGroup | None = None  # how they wait for each other, as long as it takes

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.devices * self.machines

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Let rank zero do something, then the others, who find it done; if it fails, they wait."""
        if not self.is_rank_zero:
            torch.distributed.barrier(self.group)
        yield
        if self.is_rank_zero and self.size > 1:
            torch.distributed.barrier(self.group)

    def trainer_options(self) -> dict[str, Any]:
        """Return what a Lightning trainer has to know of the processes."""
        if self.size == 1:
            return {"devices": 1}
        return {
            "devices": self.devices,
            "num_nodes": self.machines,
            # Statistics of batch normalisation are shared when an epoch ends, not one device's forced on all.
            "strategy": TrainersDDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True),
            "sync_batchnorm": torch.cuda.is_available(),
            "use_distributed_sampler": False,  # batches are shared out already
        }


ALONE = World()
"""The one process of a training run on one device."""


@contextmanager
def launch(devices: int = 1, machines: int = 1) -> Iterator[World]:
    """Start the other processes, if nobody else has, wait for all of them, and end them with this one.

    `TrainingError` is raised if there are not so many devices, or whoever started this process means other
    numbers.
    """
    if devices * machines == 1:
        yield ALONE
        return
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        fabric = Fabric(devices=devices, num_nodes=machines, strategy="ddp")
    except (MisconfigurationException, ValueError) as error:
        raise _explain(devices, machines, error) from error
    strategy = fabric.strategy
    assert isinstance(strategy, DDPStrategy)
    try:
        try:
            fabric.launch()
        except ValueError as error:
            raise _explain(devices, machines, error) from error
        group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
        world = World(devices, machines, fabric.global_rank, group)
        if not world.is_rank_zero and isinstance(strategy.cluster_environment, LightningEnvironment):
            _follow_parent()
        try:
            yield world
        except GalvoteError:
            if not world.is_rank_zero:
                time.sleep(_GIVE_WAY)  # most often rank zero reports the same, and ends this process
            raise
    finally:
        for process in getattr(strategy.launcher, "procs", ()):
            process.kill()  # sees otherwise how its connection breaks, and tells at length


def _explain(devices: int, machines: int, error: Exception) -> TrainingError:
    return TrainingError(
        f"{devices} devices on each of {machines} machines cannot train together: {error} Give --devices and "
        "--machines as they are, and torchrun or SLURM the same numbers."
    )


def _follow_parent() -> None:
    """Leave Ctrl-C to the process that started this one, and end when it ends, however that happens.

    Without the latter, which only Linux can, a process would wait for the lost one until a time is up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
