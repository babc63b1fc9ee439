"""Tables in and out, ids, positions, and where images are read from."""

from galvote.io.listing import list_sources
from galvote.io.readers.registry import register
from galvote.io.sizes import Sizes
from galvote.io.sources import Listing, Source, Sources
from galvote.io.tables import read_ids, read_table, refuse_unwritable, register_table, write_table

__all__ = [
    "Listing",
    "Sizes",
    "Source",
    "Sources",
    "list_sources",
    "read_ids",
    "read_table",
    "refuse_unwritable",
    "register",
    "register_table",
    "write_table",
]
