"""What every long command shows: how far it is, and what is there when it is stopped."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console that prints what it is given: Rich would take brackets in a path for its markup."""
    return Console(stderr=stderr, markup=False, highlight=False)


def progress_bar(console: Console, *more: str) -> Progress:
    """Return a bar with a description, counts and the time left; `more` are further columns of text."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *(TextColumn(text) for text in more),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def show_progress(console: Console, description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what is called with how much is done and the total, and show a bar once it is."""
    with progress_bar(console) as progress:
        bar = progress.add_task(description, visible=False)
        yield lambda done, total: progress.update(bar, completed=done, total=total, visible=True)


def say_statuses(statuses: Mapping[str, int], before: str = "") -> str:
    """Return how many galaxies have each status, ``ok`` first, then the most frequent; before it, if any."""
    order = sorted(statuses.items(), key=lambda each: (each[0] != "ok", -each[1], each[0]))
    return (before if order else "") + ", ".join(f"{count} {status}" for status, count in order)


def exit_unless_any(predicted: object) -> None:
    """Exit with status 1 if a run has written a table of galaxies none of which could be used."""
    if not predicted:
        raise typer.Exit(1)


@contextmanager
def stoppable(console: Console, say: Callable[[], str]) -> Iterator[None]:
    """When the work is stopped with Ctrl-C, print what `say` then returns and exit with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(say(), soft_wrap=True)
        raise typer.Exit(130) from None
