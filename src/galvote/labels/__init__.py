"""What is known about galaxies: votes, classes, splits."""

from galvote.labels.classes import read_labels
from galvote.labels.matching import Match, match_ids
from galvote.labels.reading import read_votes
from galvote.labels.splits import split_by_id
from galvote.labels.votes import Votes

__all__ = ["Match", "Votes", "match_ids", "read_labels", "read_votes", "split_by_id"]
