"""Bring votes and pictures together by id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galvote.catalogue.sources import Sources
from galvote.catalogue.tables import list_names
from galvote.catalogue.votes import Votes
from galvote.errors import CatalogueError


@dataclass(frozen=True, eq=False)
class Match:
    """Galaxies that have votes and a picture: row i of ``votes`` belongs to the i-th of ``sources``."""

    votes: Votes
    sources: Sources
    votes_without_image: int
    images_without_votes: int

    def describe(self) -> str:
        """Say how many galaxies match and how many were left out."""
        return (
            f"{len(self.votes):,} galaxies with votes and an image; left out: {self.votes_without_image:,} "
            f"with votes but no image, {self.images_without_votes:,} with an image but no votes."
        )


def match_ids(votes: Votes, sources: Sources) -> Match:
    """Keep the galaxies that have both votes and a picture, in the order of the pictures.

    Raises
    ------
    CatalogueError
        If there is none.
    """
    row_of = {id_: row for row, id_ in enumerate(votes.ids)}
    matched = sources.select(row_of.keys())
    if not len(matched):
        raise CatalogueError(
            f"No id has both votes and an image: the votes' ids are {list_names(votes.ids, 3)}; the images' "
            f"are {list_names(sources.ids, 3)}. The names of the images, without the ending, must be the ids."
        )
    return Match(
        votes=votes.select(np.array([row_of[id_] for id_ in matched.ids])),
        sources=matched,
        votes_without_image=len(votes) - len(matched),
        images_without_votes=len(sources) - len(matched),
    )
