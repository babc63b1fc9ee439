"""Prediction on a Ray cluster: several processes, on one node or many, that work like the one on a laptop.

Ray Data streams numbers of shards through a pool of actors, each with its model and `fill_shards`, so rows
and shards are the same. A process or node that is lost costs what it had in work, which Ray gives to another.
"""

import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from galvote.errors import ClusterError, GalvoteError
from galvote.inference.manifest import Manifest
from galvote.inference.predict_shards import Summary, fill_shards
from galvote.inference.predictor import Predictor
from galvote.inference.settings import Settings
from galvote.inference.shards import Shards
from galvote.io import Sources

_PATIENCE = 20.0
"""Seconds for a cluster to answer."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default of later versions, of which each worker warns
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what Ray tells of its own doings is no concern of who predicts
}


class RayEngine:
    """Some workers on a Ray cluster, for as long as it is entered; `ClusterError` if there are none.

    The address is ``host:port``, ``auto`` for the cluster of this machine, or by default that of
    ``RAY_ADDRESS``; without it, one is started here, and ends with this. By default there is a worker for
    each GPU, or each core.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        if find_spec("ray") is None:
            raise ClusterError("This needs Ray; install it with: pip install 'galvote[ray]'")
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._wanted = workers

    def __enter__(self) -> "RayEngine":
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        try:
            host, _, port = self.address.rpartition(":")
            if host and port.isdecimal():  # Ray itself would knock for a quarter of an hour
                socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
            ray.init(
                self.address, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL
            )
        except (OSError, ValueError, RuntimeError, AssertionError) as error:
            raise ClusterError(
                f"There is no Ray cluster at {self.address} ({error}). Start one with `ray start --head`, or "
                "leave the address out for one on this machine."
            ) from error
        try:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self.workers, self.cores, self.gpus = share_out(nodes, self._wanted)
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        import ray

        ray.shutdown()

    def fill_shards(
        self,
        load: Callable[[], Predictor],
        sources: Sources,
        shards: Shards,
        settings: Settings,
        *,
        task: tuple[int, int] = (1, 1),
        on_galaxies: Callable[[int], None] = lambda galaxies: None,
        **how: Any,
    ) -> Summary:
        """Predict the shards that are not there yet, as `galvote.inference.predict_shards.fill_shards` does.

        Each worker loads the model; it, the images and the folder are at the same paths there, or it is a
        `ClusterError`.
        """
        import ray

        summary, numbers = Summary(), shards.manifest.of_task(task)
        if not numbers:
            return summary
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        filled = ray.data.from_items(
            [{"shard": number} for number in numbers], override_num_blocks=len(numbers)
        ).map_batches(
            _Worker,
            fn_constructor_args=(
                load,
                partial(ray.get, ray.put(sources)),  # the workers of a node share it
                Shards(shards.folder.absolute(), shards.manifest),
                settings,
                Path.cwd(),
            ),
            fn_constructor_kwargs=how,
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=self.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=self.cores,
            num_gpus=self.gpus,
        )
        try:
            for row in filled.iter_rows():
                if row["error"]:
                    raise ClusterError(row["error"])
                found = json.loads(row["summary"])
                one = Summary(**found | {"statuses": Counter(found["statuses"])})
                summary.add(one)
                on_galaxies(one.statuses.total())
        except ray.exceptions.RayTaskError:
            raise  # nobody's purpose
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"The cluster gave up: {str(error).strip()} Run the same command again: shards that are "
                "there stay. Ray's own logs on that node say more."
            ) from error
        return summary


class _Worker:
    """What an actor of Ray holds: the model, loaded once."""

    def __init__(
        self,
        load: Callable[[], Predictor],
        listed: Callable[[], Sources],
        shards: Shards,
        settings: Settings,
        home: Path,
        **how: Any,
    ) -> None:
        self.load, self.listed, self.shards, self.settings = load, listed, shards, settings
        self.home, self.how = home, how  # relative paths stand against the working directory of the caller

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Fill shards, one task each; an error on purpose comes back as a row, since Ray would wrap it up."""
        summaries, error = list[str](), ""
        try:
            for number in batch["shard"].to_pylist():
                summary = self.fill(task=(number + 1, self.shards.manifest.shards))
                summaries.append(json.dumps(vars(summary)))
        except GalvoteError as raised:
            summaries, error = [""], str(raised)
        return pa.table({"summary": summaries, "error": [error] * len(summaries)})

    @cached_property
    def fill(self) -> Callable[..., Summary]:
        """Fills shards, once a model is loaded: what an actor raises before its first ends in Ray's words."""
        where = f"the worker on {os.uname().nodename}"
        try:
            os.chdir(self.home)
        except OSError as error:
            raise ClusterError(
                f"There is no folder {self.home} for {where}: start from a folder that all nodes see; "
                "they have to see the images, too."
            ) from error
        predictor, manifest = self.load(), self.shards.manifest
        own = Manifest.of(predictor, Sources(()), self.settings, manifest.shard_size)
        own = own.model_copy(update={key: getattr(manifest, key) for key in ("sources_sha256", "galaxies")})
        if changes := manifest.changes(own):
            raise ClusterError(
                f"For {where} it is another prediction: {changes}. Install the same on all nodes."
            )
        return partial(fill_shards, predictor, self.listed(), self.shards, self.settings, **self.how)


def share_out(nodes: Sequence[Mapping[str, float]], workers: int | None = None) -> tuple[int, int, int]:
    """Return how many workers there may be, and cores (as many as they can have alike) and GPUs of each."""
    gpus = int(any(node.get("GPU") for node in nodes))

    def room(cores: int) -> int:
        slots = ((int(node.get("CPU", 0)) // cores, int(node.get("GPU", 0))) for node in nodes)
        return sum(min(slot) if gpus else slot[0] for slot in slots)

    workers = workers or room(1)
    most = int(max((node.get("CPU", 0) for node in nodes), default=0))
    cores = next((cores for cores in range(most, 0, -1) if 0 < workers <= room(cores)), 0)
    if not cores:
        raise ClusterError(
            f"The cluster has room for {room(1)} workers ({'a GPU and ' if gpus else ''}a core each), not "
            f"for {max(workers, 1)}: add nodes, or give fewer --workers."
        )
    return workers, cores, gpus
