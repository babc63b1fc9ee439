"""Files at an address, as https:// or s3://, through fsspec."""

import re
from typing import Any

from galvote.errors import CatalogueError

_ADDRESS = re.compile(r"^([A-Za-z][\w+.-]+):/+(?=[^/])")  # a `Path` has made one slash of two


def to_address(place: object) -> str:
    """Return a place as text: a path, or an address with both its slashes."""
    return _ADDRESS.sub(r"\1://", re.sub("^file:/+", "/", str(place)), count=1)


def is_remote(place: str) -> bool:
    """Whether a place is an address."""
    return "://" in place


def open_remote(address: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it; a `CatalogueError` says what to install."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(address)  # type: ignore[no-any-return]
    except ImportError as error:
        raise CatalogueError(
            f"{address} cannot be read yet ({error}): run `pip install 'galvote[remote]'`."
        ) from error


def read_remote(address: str) -> bytes:
    """Return the bytes at an address, or raise `OSError`."""
    try:
        files, path = open_remote(address)
        data: bytes = files.cat_file(path)
    except (OSError, CatalogueError):
        raise
    except Exception as error:  # each service has errors of its own
        raise OSError(f"{address}: {error or type(error).__name__}") from error
    return data


def list_remote(address: str) -> list[str]:
    """Return the addresses of the files in a remote folder; none if it is a file itself."""
    try:
        files, path = open_remote(address)
        if not files.isdir(path):
            return []
        return sorted(
            files.unstrip_protocol(each["name"]) for each in files.ls(path) if each["type"] == "file"
        )
    except CatalogueError:
        raise
    except Exception as error:
        raise CatalogueError(f"{address} cannot be listed ({error or type(error).__name__}).") from error
