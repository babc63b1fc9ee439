"""Images that a text file names, one path a line, or a folder's ``metadata`` as Hugging Face has it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.json import read_json

from galvote.errors import CatalogueError
from galvote.io.columns import ID_COLUMNS, find_id_column, first_column, ids_as_text
from galvote.io.readers.files import Files, join_paths, list_files, name_without_ending
from galvote.io.readers.registry import damaged, register
from galvote.io.sources import TEXT, Listing
from galvote.io.tables import read_table


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


@register("metadata.csv", "metadata.jsonl", "metadata.parquet")
def list_metadata(path: Path, id_column: str | None = None) -> Listing | None:
    """List a folder's images by the column ``file_name`` of a table, as Hugging Face's ``imagefolder``."""
    try:
        table = read_json(path) if path.suffix == ".jsonl" else read_table(path)
    except pa.ArrowInvalid as error:
        raise damaged(path, "lines of JSON", error) from error
    if "file_name" not in table.column_names:
        return None
    names = table["file_name"].cast(TEXT).combine_chunks()
    if names.null_count:
        raise CatalogueError(f"{path} has {names.null_count} rows without a file_name; remove them.")
    column = "file_name"
    ids = name_without_ending(names)
    if id_column or first_column(table.column_names, ID_COLUMNS, path):
        column = find_id_column(table.column_names, path, id_column)
        ids = ids_as_text(table[column], path)
    return Listing(ids, join_paths(path.parent, names), Files(), notes=(f"ids from `{column}`",))
