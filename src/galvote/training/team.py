"""The processes that train one network together, one for each device.

Whoever starts them, the command itself, torchrun or SLURM, each runs the same command from its beginning.
The first of them leads: it alone writes files, and goes first where something is made that all of them read.
"""

from __future__ import annotations

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
"""Seconds that the others give the leader to tell of an error."""


@dataclass(frozen=True)
class Team:
    """One process's place among those that train together; by default it is alone.

    Parameters
    ----------
    devices
        On each machine.
    machines
        How many.
    rank
        This process's number, from 0.
    group
        How they wait for each other, as long as it takes.
    """

    devices: int = 1
    machines: int = 1
    rank: int = 0
    group: torch.distributed.ProcessGroup | None = None

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.devices * self.machines

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leader do something, then the others, who find it done; if it fails, they wait in vain."""
        if not self.leads:
            torch.distributed.barrier(self.group)
        yield
        if self.leads and self.size > 1:
            torch.distributed.barrier(self.group)

    def trainer_options(self) -> dict[str, Any]:
        """Return what a Lightning trainer has to know."""
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


ALONE = Team()
"""The one process of a training run on one device."""


@contextmanager
def gather(devices: int = 1, machines: int = 1) -> Iterator[Team]:
    """Start the other processes, if nobody else has, wait for all of them, and end them with this one.

    Raises
    ------
    TrainingError
        If there are not so many devices, or whoever started this process means other numbers.
    """
    if devices * machines == 1:
        yield ALONE
        return
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        fabric = Fabric(devices=devices, num_nodes=machines, strategy="ddp")
    except (MisconfigurationException, ValueError) as error:
        raise _tell(devices, machines, error) from error
    strategy = fabric.strategy
    assert isinstance(strategy, DDPStrategy)
    try:
        try:
            fabric.launch()
        except ValueError as error:
            raise _tell(devices, machines, error) from error
        group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
        team = Team(devices, machines, fabric.global_rank, group)
        if not team.leads and isinstance(strategy.cluster_environment, LightningEnvironment):
            _follow_parent()
        try:
            yield team
        except GalvoteError:
            if not team.leads:
                time.sleep(_GIVE_WAY)  # most often the leader says the same, and ends this process
            raise
    finally:
        for process in getattr(strategy.launcher, "procs", ()):
            process.kill()  # sees otherwise how its connection breaks, and tells at length


def _tell(devices: int, machines: int, error: Exception) -> TrainingError:
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
