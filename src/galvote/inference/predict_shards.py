"""Predict into a folder of shards, and go on where an earlier run was stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from galvote.errors import CatalogueError, GalvoteError
from galvote.inference.listing import Place, Places, list_galaxies
from galvote.inference.manifest import Manifest
from galvote.inference.predictor import Predictor
from galvote.inference.settings import OnProgress, Settings
from galvote.inference.shards import SHARD_SIZE, Shards
from galvote.inference.streaming import predict_each
from galvote.io import Sources

if TYPE_CHECKING:
    from galvote.images.services import CutoutService
    from galvote.inference.ray_engine import RayEngine

_PASSING = frozenset({"missing", "unavailable"})
"""What may be wrong with an image today and not tomorrow."""


@dataclass
class Summary:
    """What a run found and did: how many shards were kept or made, and the galaxies of both by status.

    Of those made, some were there damaged, or are renewed for images that could not be had then.
    """

    kept: int = 0
    made: int = 0
    damaged: int = 0
    renewed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, other: Summary) -> None:
        """Count what was found and done elsewhere, too."""
        for name, found in vars(other).items():
            setattr(self, name, getattr(self, name) + found)


def predict_shards(
    images: Places | None,
    out: Place,
    *,
    model: Place = "galvote-small",
    backend: str | None = None,
    settings: Settings | None = None,
    shard_size: int = SHARD_SIZE,
    task: tuple[int, int] = (1, 1),
    retry: bool = False,
    id_column: str | None = None,
    dataset: str | None = None,
    recursive: bool = False,
    catalogue: Place | None = None,
    field: Place | Sequence[Place] | None = None,
    survey: str | CutoutService | None = None,
    size_column: str | None = None,
    arcsec: float | None = None,
    prefetch: int | None = None,
    engine: RayEngine | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda sentence: None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Predict into a folder of shards, or go on where a call was stopped, and return what was done.

    Parameters
    ----------
    images
        Places of images; see `galvote.io.list_sources`. None with a catalogue.
    out
        Folder of the shards; made if it does not exist.
    model, backend
        As for `galvote.load`.
    settings
        What is asked for.
    shard_size
        Galaxies in each shard.
    task
        Which share of the shards to predict, from 1, of how many: (2, 20) is the second of twenty.
    retry
        Predict shards again that hold images which were missing, or which a service did not give.
    id_column, dataset, recursive, catalogue, field
        As for `galvote.predict`.
    survey
        As for `galvote.predict`, but not with `engine`; its rate is that of all tasks together.
    size_column, arcsec, prefetch
        As for `galvote.predict`.
    engine
        A Ray cluster that does the work; this process if not given.
    overwrite
        Remove the shards that are there, and begin anew.
    report
        Is told, in sentences, what was found, and whether the images' scale seems wrong.
    on_progress
        Called with how many galaxies are done, and how many there are: of those that are measured in a field,
        then of the task.

    Raises
    ------
    CatalogueError
        If another prediction was begun in the folder, or there are no images; as for `galvote.predict`.
    OutputError
        If the folder cannot be written to.
    """
    if not (len(task) == 2 and all(isinstance(each, int) for each in task) and 1 <= task[0] <= task[1]):
        raise GalvoteError(f"There is no task {task!r}: the first of twenty is (1, 20), the last (20, 20).")
    if not isinstance(shard_size, int) or shard_size < 1:
        raise GalvoteError(
            f"Shards of {shard_size!r} galaxies are not possible; give a shard_size from 1 on."
        )
    of = task[1]
    if overwrite and of > 1:
        raise CatalogueError(
            f"With --overwrite each task would remove the others' shards; empty {out} before they start."
        )
    load = partial(Predictor.load, model, backend)
    predictor, settings = load(), settings or Settings()
    predictor.check_level(settings.level)
    with list_galaxies(
        images,
        settings,
        catalogue=catalogue,
        field=field,
        survey=_share_rate(survey, of),
        size_column=size_column,
        arcsec=arcsec,
        id_column=id_column,
        dataset=dataset,
        recursive=recursive,
        engine=engine,
        report=report,
        on_progress=on_progress,
    ) as listed:
        sources, settings = listed.sources, listed.settings
        shards = Shards.begin(Path(out), Manifest.of(predictor, sources, settings, shard_size), overwrite)
        if remark := predictor.preprocessor.check_scale(sources, settings):
            report(remark)
        rows = [shards.manifest.rows(shard) for shard in shards.manifest.of_task(task)]
        total, done = sum(each.stop - each.start for each in rows), 0

        def advance(galaxies: int) -> None:
            nonlocal done
            done += galaxies
            if on_progress is not None:
                on_progress(done, total)

        with engine or nullcontext():
            fill = partial(fill_shards, predictor) if engine is None else partial(engine.fill_shards, load)
            summary = fill(
                sources, shards, settings, task=task, retry=retry, prefetch=prefetch, on_galaxies=advance
            )
    shards.finish(remark)
    return summary


def _share_rate(survey: str | CutoutService | None, tasks: int) -> CutoutService | None:
    """Return a service that tasks which run at the same time ask together as often as one process would."""
    if survey is None:
        return None
    from galvote.images.services import CutoutService

    service = CutoutService(survey) if isinstance(survey, str) else survey
    return replace(service, rate=service.rate / tasks)


def fill_shards(
    predictor: Predictor,
    sources: Sources,
    shards: Shards,
    settings: Settings,
    *,
    task: tuple[int, int] = (1, 1),
    retry: bool = False,
    prefetch: int | None = None,
    on_galaxies: Callable[[int], None] = lambda galaxies: None,
) -> Summary:
    """Predict the shards of a task that are not there yet, in this process; arguments as `predict_shards`.

    `on_galaxies` is told how many more galaxies are predicted, or are in a shard that is kept.
    """
    summary = Summary()
    schema = predictor.schema(settings)

    def count(statuses: Mapping[str, int]) -> None:
        summary.statuses.update(statuses)
        on_galaxies(sum(statuses.values()))

    def missing() -> Iterator[tuple[int, Sources]]:
        # Looked at one by one while others are predicted: the first is begun at once, and what another
        # process has made meanwhile is not made again.
        for shard in shards.manifest.of_task(task):
            galaxies = sources[shards.manifest.rows(shard)]
            statuses = shards.check(shard, galaxies.ids, schema)
            renew = statuses is not None and retry and not _PASSING.isdisjoint(statuses)
            if statuses is not None and not renew:
                summary.kept += 1
                count(statuses)
            else:
                summary.renewed += renew
                summary.damaged += statuses is None and shards.path(shard).exists()
                yield shard, galaxies

    predicted = predict_each(
        predictor, missing(), settings, prefetch=prefetch, on_batch=lambda batch: count(Counter(batch.status))
    )
    with closing(predicted):  # when a run is stopped while it writes, its threads end before it does
        for shard, prediction in predicted:
            shards.write(shard, prediction.to_arrow(settings.conditional))
            summary.made += 1
    return summary
