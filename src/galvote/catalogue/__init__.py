"""Catalogues: ids, votes and where the pictures are; tables in and out; splits by id."""

from galvote.catalogue.listing import list_sources
from galvote.catalogue.matching import Match, match_ids
from galvote.catalogue.sources import Container, Reader, Shelf, Source, Sources
from galvote.catalogue.splits import split_by_id
from galvote.catalogue.tables import read_ids, read_table, refuse_unwritable, write_table
from galvote.catalogue.votes import Votes, read_labels, read_votes

__all__ = [
    "Container",
    "Match",
    "Reader",
    "Shelf",
    "Source",
    "Sources",
    "Votes",
    "list_sources",
    "match_ids",
    "read_ids",
    "read_labels",
    "read_table",
    "read_votes",
    "refuse_unwritable",
    "split_by_id",
    "write_table",
]
