"""Outputs: files that are there whole or not at all, and places that are not written to unasked."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError

from galvote.errors import OutputError


@contextmanager
def atomic_file(path: Path, *, unique: bool = False, replace: bool = True) -> Iterator[Path]:
    """Yield a place beside `path` to write to, and rename it to `path` in the end: nobody meets half a file.

    With `unique`, several may write at once, and one that is killed leaves its part behind. Without
    `replace`, what is there already stays (or, on a file system without links, what is written last).
    """
    with trial_file(path, unique=unique) as place:
        yield place
        if not replace:
            with suppress(OSError):
                path.hardlink_to(place)
            if path.exists():
                return
        place.replace(path)


@contextmanager
def trial_file(path: Path, *, unique: bool = True) -> Iterator[Path]:
    """Yield a place as `atomic_file` does, and remove it: so long work learns whether it can end."""
    place = path.with_name(f"{path.name}.{uuid4().hex}.partial" if unique else f"{path.name}.partial")
    unneeded = not path.parent.exists()
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield place
            unneeded = False
    finally:
        with suppress(OSError):
            place.unlink()
        if unneeded:
            with suppress(OSError):  # it holds something
                path.parent.rmdir()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise `OutputError` where the system says that something at a path cannot be written."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        file = next((place for place in path.parents if place.exists() and not place.is_dir()), path)
        raise OutputError(
            f"{path} cannot be written: {file} is a file and not a folder; choose another path."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}). Make room there, see that you may write "
            "there, or choose another path; what is there already stays."
        ) from error


def save_tensors(save: Callable[..., None], tensors: dict[str, Any], path: Path, **more: Any) -> None:
    """Write a safetensors file by a `save_file` of that package, which raises `OSError` where it cannot.

    The package itself raises an error of its own, and writes for the owner alone.
    """
    try:
        save(tensors, path, **more)
    except SafetensorError as error:
        found = re.search(r"I/O error: (.*) \(os error (\d+)\)", str(error))
        raise (OSError(int(found[2]), found[1]) if found else error) from error
    path.chmod(0o644)


def write_whole(
    path: Path,
    data: bytes | memoryview | str,
    *,
    unique: bool = False,
    replace: bool = True,
    durable: bool = False,
) -> None:
    """Write a file whole or not at all, as `atomic_file`; if `durable`, even if the power fails."""
    with atomic_file(path, unique=unique, replace=replace) as place, place.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def refuse_existing(*paths: Path, overwrite: bool = False) -> None:
    """Raise `OutputError` if any of these files is there, unless they may be replaced (`overwrite`)."""
    if not overwrite and (there := [str(path) for path in paths if path.exists()]):
        raise OutputError(
            f"{', '.join(there)} exists already; choose another path or pass --overwrite (overwrite=True)."
        )


def refuse_foreign(folder: Path, marks: str, what: str) -> None:
    """Raise `OutputError` if a folder has files, but none of the pattern by which such outputs are known."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for {what}.")
    if folder.exists() and any(folder.iterdir()) and not any(folder.glob(marks)):
        raise OutputError(
            f"{folder} is not empty and holds no {what}, so it is left as it is; choose another folder."
        )
