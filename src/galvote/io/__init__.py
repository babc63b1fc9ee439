"""Tables in and out, ids, positions, and where images are read from."""

from galvote.io.listing import list_sources
from galvote.io.sources import Container, Reader, Shelf, Source, Sources
from galvote.io.tables import read_ids, read_table, refuse_unwritable, write_table

__all__ = [
    "Container",
    "Reader",
    "Shelf",
    "Source",
    "Sources",
    "list_sources",
    "read_ids",
    "read_table",
    "refuse_unwritable",
    "write_table",
]
