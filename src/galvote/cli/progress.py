"""The progress bar that every long command shows."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


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
