"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_file(path: Path, *, unique: bool = False) -> Iterator[Path]:
    """Yield a place beside `path` to write to; when the block ends it is renamed to `path`.

    So a reader never meets half a file. If the block fails, what was at `path` stays and nothing else does.

    Parameters
    ----------
    path
        Of the file. Its folder is made if it does not exist; what is there already is replaced.
    unique
        Several may write this file at once, so each has a place of its own. A killed one leaves it behind;
        without `unique`, whoever writes the file next takes the same place.
    """
    with trial_file(path, unique=unique) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def trial_file(path: Path, *, unique: bool = True) -> Iterator[Path]:
    """Yield a place beside `path` and remove what is written there: so long work learns whether it can end.

    As `atomic_file`, without the renaming.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial" if unique else f"{path.name}.partial")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
