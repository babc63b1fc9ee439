"""What is known about galaxies: votes, classes, splits."""

from galvote.labels.matching import Match, match_ids
from galvote.labels.splits import split_by_id
from galvote.labels.votes import Votes, read_labels, read_votes

__all__ = ["Match", "Votes", "match_ids", "read_labels", "read_votes", "split_by_id"]
