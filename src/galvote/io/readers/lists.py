"""Images that a text file names, one path a line."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.readers.files import join_paths, list_files
from galvote.io.readers.registry import register
from galvote.io.sources import TEXT, Listing


@register(".txt", in_folders=False)
def list_text(path: Path, id_column: str | None = None) -> Listing:
    """List the paths in a text file; they are relative to its folder, and ids are the names of the files."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CatalogueError(
            f"{path} is no UTF-8 text ({error}); save the list of paths as UTF-8."
        ) from error
    lines = pc.utf8_trim_whitespace(pc.split_pattern(pa.array([text], TEXT), "\n").flatten())
    return list_files(join_paths(path.parent, lines.filter(pc.not_equal(lines, pa.scalar("", TEXT)))))
