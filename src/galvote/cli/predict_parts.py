"""Numbered parts of a prediction: made here or on a Ray cluster, with what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from galvote.inference import Made, Parts, Predictor, Settings
    from galvote.inference.ray_engine import RayEngine
    from galvote.io import Sources


def make_here(predictor: Predictor, *what: Any, **options: Any) -> Made:
    """Make parts in this process."""
    from galvote.inference import make_parts

    return make_parts(predictor, *what, **options)


def make_on_ray(
    cluster: RayEngine,
    load: Callable[[], Predictor],
    *what: Any,
    on_galaxies: Callable[[int], None],
    **options: Any,
) -> Made:
    """Make parts on a Ray cluster, whose workers load the model."""
    with cluster:
        return cluster.make_parts(
            load, *what, **options, on_part=lambda part: on_galaxies(part.statuses.total())
        )


def make_and_report(
    make: Callable[..., Made],
    sources: Sources,
    parts: Parts,
    settings: Settings,
    shard: tuple[int, int],
    prefetch: int | None,
    retry: bool,
    console: Console,
) -> None:
    """Make the parts that are missing, show how far it is, and say what came of it."""
    from galvote.cli.progress import progress_bar, stoppable

    plan, folder = parts.plan, parts.folder

    def stopped() -> str:
        return (
            f"Stopped with {len(parts.present())} of {plan.parts} parts in {folder}. "
            "The same command goes on from there."
        )

    with stoppable(console, stopped), progress_bar(console) as progress:
        places = [plan.places(part) for part in plan.of_shard(shard)]
        bar = progress.add_task("predicting", total=sum(place.stop - place.start for place in places))
        made = make(
            sources,
            parts,
            settings,
            shard=shard,
            prefetch=prefetch,
            retry=retry,
            on_galaxies=lambda galaxies: progress.advance(bar, galaxies),
        )
    said = f"{made.statuses.total()} galaxies in {folder}: {say(made.statuses)}"
    if not made.made:
        said += "; all of them were there"
    if made.damaged:
        said += f"; {made.damaged} damaged parts are made again"
    if made.renewed:
        said += f"; {made.renewed} parts whose pictures were not there are made again"
    elif made.statuses["missing"] or made.statuses["unavailable"]:
        said += "; to ask again for what was missing or unavailable, add --retry"
    if absent := plan.parts - len(parts.present()):
        said += f"; {absent} of {plan.parts} parts, of other shards, are not there yet"
    console.print(said, soft_wrap=True)


def read_shard(text: str) -> tuple[int, int]:
    """Return which of how many shards ``I/N`` means, or raise `typer.BadParameter`."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise typer.BadParameter(
            f"{text!r} is no shard: the first of twenty is 1/20, the last 20/20.", param_hint="--shard"
        )
    return int(number), int(of)


def say(statuses: Counter[str]) -> str:
    """Return how many galaxies there are of each status."""
    return ", ".join(f"{n} {status}" for status, n in statuses.items())
