"""Prediction on a Ray cluster: several processes, on one node or many, that work like the one on a laptop.

Ray Data streams numbers of parts through a pool of actors. Each loads the model once and makes a part just as
`galvote.inference.make_parts` does in one process, so rows, parts and what is left after a stop are the same.
A process or node that is lost costs what it had in work: Ray gives that to another one.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from galvote.errors import ClusterError, GalvoteError
from galvote.inference.parts import Made, Parts, Plan, make_parts, make_plan
from galvote.inference.predictor import BATCH, Predictor, Settings
from galvote.io import Sources

_SLICE = 16 * BATCH
"""Most galaxies that a worker takes at once where no parts are asked for."""

_SLICES_EACH = 4
"""How many of them each worker gets at least, so that the last ones end together."""

_ERROR = "error"
_PATIENCE = 20.0
"""Seconds for a cluster to answer."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default of later versions, of which each worker warns
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what Ray tells of its own doings is no concern of who predicts
}


@dataclass(frozen=True)
class Work:
    """What each worker has to know.

    Parameters
    ----------
    load
        Loads the model.
    sources
        Ray's reference to the whole listing.
    home
        The working directory, against which relative paths stand.
    retry
        Make parts again whose pictures were not there.
    folder
        Where parts are written; None if rows are to come back.
    """

    load: Callable[[], Predictor]
    sources: Any
    plan: Plan
    settings: Settings
    prefetch: int | None
    retry: bool
    home: Path
    folder: Path | None = None


class RayEngine:
    """Some workers on a Ray cluster, for as long as it is entered.

    Parameters
    ----------
    address
        Of a running cluster: ``host:port``, or ``auto`` for the one that this machine belongs to. If it is
        not given and the environment has no ``RAY_ADDRESS`` either, one is started here, and ends with this.
    workers
        How many; by default one for each GPU if there are any, else one for each core.

    Raises
    ------
    ClusterError
        If Ray is not installed, there is no such cluster, or it has no room for so many workers.

    Examples
    --------
    >>> with RayEngine() as engine:  # doctest: +SKIP
    ...     table = engine.predict(lambda: galvote.load("galvote-base"), sources, Settings())
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        if find_spec("ray") is None:
            raise ClusterError("This needs Ray; install it with: pip install 'galvote[ray]'")
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._wanted = workers

    def __enter__(self) -> RayEngine:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        try:
            _knock(self.address)
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

    def make_parts(
        self,
        load: Callable[[], Predictor],
        sources: Sources,
        parts: Parts,
        settings: Settings,
        *,
        shard: tuple[int, int] = (1, 1),
        prefetch: int | None = None,
        retry: bool = False,
        on_part: Callable[[Made], None] | None = None,
    ) -> Made:
        """Make the parts that are not there yet, as `galvote.inference.make_parts` does.

        Parameters
        ----------
        load
            Loads the model, on each worker. It, the pictures and the folder are at the same paths there.
        prefetch
            Most pictures in memory at once, for each worker.
        retry
            As for `galvote.inference.make_parts`.
        on_part
            Called with what was found and done for each part.

        Raises
        ------
        ClusterError
            If the workers see other paths than this process, or another model or version of galvote.
        """
        done = Made()
        work = self._work(load, sources, parts.plan, settings, prefetch, retry, parts.folder.absolute())
        for row in self._run(_PartMaker, work, parts.plan.of_shard(shard), in_order=False):
            for found in map(json.loads, row["made"].to_pylist()):
                made = Made(**found | {"statuses": Counter(found["statuses"])})
                done.add(made)
                if on_part is not None:
                    on_part(made)
        parts.finish()
        return done

    def predict(
        self,
        load: Callable[[], Predictor],
        sources: Sources,
        settings: Settings,
        *,
        prefetch: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> pa.Table:
        """Predict as `galvote.Predictor.predict` does, to the same rows.

        Parameters are those of `make_parts` and `galvote.Predictor.predict`.
        """
        # Rows depend on where batches begin, so a slice is of whole ones.
        batches = len(sources) // (BATCH * _SLICES_EACH * self.workers)
        size = min(_SLICE, BATCH * max(1, batches))
        predictor = load()
        plan = make_plan(predictor, sources, settings, size)
        work = self._work(load, sources, plan, settings, prefetch)
        done = failed = 0
        tables = list[pa.Table]()
        for rows in self._run(_RowMaker, work, range(plan.parts), in_order=True):
            tables.append(rows)
            done += len(rows)
            failed += sum(status != "ok" for status in rows["status"].to_pylist())
            if on_progress is not None:
                on_progress(done, failed)
        return pa.concat_tables(tables or [predictor.schema(settings).empty_table()])

    def _work(
        self,
        load: Callable[[], Predictor],
        sources: Sources,
        plan: Plan,
        settings: Settings,
        prefetch: int | None,
        retry: bool = False,
        folder: Path | None = None,
    ) -> Work:
        import ray

        return Work(load, ray.put(sources), plan, settings, prefetch, retry, Path.cwd(), folder)

    def _run(
        self, worker: type[_Worker], work: Work, parts: Sequence[int], *, in_order: bool
    ) -> Iterator[pa.Table]:
        """Yield what the workers make of each part's number."""
        import ray

        if not parts:
            return
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = in_order
        numbers = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
        made = numbers.map_batches(
            worker,
            fn_constructor_args=(work,),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=self.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=self.cores,
            num_gpus=self.gpus,
        )
        try:
            for rows in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                if rows.column_names == [_ERROR]:
                    raise ClusterError(rows[_ERROR][0].as_py())
                yield rows
        except ray.exceptions.RayTaskError:
            raise  # nobody's purpose
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"The cluster gave up: {str(error).strip()} Run the same command again: parts that are there "
                "stay. Ray's own logs on that node say more."
            ) from error


def _knock(address: str) -> None:
    """Raise `OSError` if nobody listens at an address: Ray itself would knock for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def share_out(nodes: Sequence[Mapping[str, float]], workers: int | None = None) -> tuple[int, int, int]:
    """Share a cluster's nodes out among workers.

    Parameters
    ----------
    nodes
        Each node's resources, by Ray's names.
    workers
        How many; one for each GPU or else for each core if not given.

    Returns
    -------
    How many workers; cores of each, as many as they can have alike; GPUs of each, 1 if there are any.

    Raises
    ------
    ClusterError
        If the nodes have no room for so many.
    """
    gpus = int(any(node.get("GPU") for node in nodes))

    def room(cores: int) -> int:
        return sum(
            min(int(node.get("CPU", 0)) // cores, int(node.get("GPU", 0)) if gpus else 2**31)
            for node in nodes
        )

    workers = workers or room(1)
    most = int(max((node.get("CPU", 0) for node in nodes), default=0))
    for cores in range(most, 0, -1):
        if 0 < workers <= room(cores):
            return workers, cores, gpus
    raise ClusterError(
        f"The cluster has room for {room(1)} workers ({'a GPU and ' if gpus else ''}a core each), not for "
        f"{max(workers, 1)}: add nodes, or give fewer --workers."
    )


class _Worker(ABC):
    """What an actor of Ray holds."""

    def __init__(self, work: Work) -> None:
        self.work = work

    @abstractmethod
    def make(self, part: int) -> pa.Table:
        """Return rows for a part's number."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Do what Ray Data asks; an error on purpose comes back as a row, since Ray would wrap it up."""
        try:
            return pa.concat_tables(self.make(part) for part in batch["part"].to_pylist())
        except GalvoteError as error:
            return pa.table({_ERROR: [str(error)]})

    @cached_property
    def sources(self) -> Sources:
        """The whole listing, which the workers of a node share."""
        import ray

        listed: Sources = ray.get(self.work.sources)
        return listed

    @cached_property
    def predictor(self) -> Predictor:
        """The model, loaded when the first part is there: what an actor raises before ends in Ray's words."""
        work = self.work
        where = f"the worker on {os.uname().nodename}"
        try:
            os.chdir(work.home)
        except OSError as error:
            raise ClusterError(
                f"There is no folder {work.home} for {where}: start from a folder that all nodes see; "
                "they have to see the pictures, too."
            ) from error
        predictor = work.load()
        own = make_plan(predictor, Sources(()), work.settings, work.plan.part_size)
        listed = {key: getattr(work.plan, key) for key in ("sources_sha256", "galaxies")}
        if said := work.plan.tell_changes(own.model_copy(update=listed)):
            raise ClusterError(
                f"For {where} it is another prediction: {said}. Install the same on all nodes."
            )
        return predictor


class _PartMaker(_Worker):
    """Makes parts and returns what was found and done."""

    def make(self, part: int) -> pa.Table:
        """Make a part that is not there yet, as one shard of as many as there are parts."""
        work = self.work
        assert work.folder is not None
        made = make_parts(
            self.predictor,
            self.sources,
            Parts(work.folder, work.plan),
            work.settings,
            shard=(part + 1, work.plan.parts),
            prefetch=work.prefetch,
            retry=work.retry,
            finish=False,
        )
        return pa.table({"made": [json.dumps(vars(made))]})


class _RowMaker(_Worker):
    """Returns the rows of slices."""

    def make(self, part: int) -> pa.Table:
        """Predict a slice."""
        work = self.work
        galaxies = self.sources[work.plan.places(part)]
        asked = {key: value for key, value in vars(work.settings).items() if key != "conditional"}
        prediction = self.predictor.predict(galaxies, **asked, prefetch=work.prefetch)
        return prediction.to_arrow(work.settings.conditional)
