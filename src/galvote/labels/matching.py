"""Bring votes and images, or predictions and the catalogue that they are of, together by id."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.columns import ID_COLUMNS, list_names, say_count
from galvote.io.positions import coordinates
from galvote.io.sources import Sources
from galvote.labels.votes import Votes


@dataclass(frozen=True, eq=False)
class Match:
    """Galaxies that have votes and an image: row i of ``votes`` belongs to the i-th of ``sources``.

    Parameters
    ----------
    votes
        Their votes.
    sources
        Their images.
    votes_without_image, images_without_votes
        How many were left out.
    """

    votes: Votes
    sources: Sources
    votes_without_image: int
    images_without_votes: int

    def describe(self) -> str:
        """Return how many galaxies match and how many were left out, in a sentence."""
        return (
            f"{say_count(len(self.votes), 'galaxy')} with votes and an image; left out: "
            f"{self.votes_without_image:,} with votes but no image, "
            f"{self.images_without_votes:,} with an image but no votes."
        )


def match_ids(votes: Votes, sources: Sources) -> Match:
    """Return the galaxies that have both votes and an image, in the order of the images.

    Parameters
    ----------
    votes, sources
        Votes and images of some galaxies.

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


def join_by_id(catalogue: pa.Table, ids: Sequence[str], predictions: pa.Table) -> pa.Table:
    """Put predictions beside the rows of a catalogue with these ids (empty: unknown); others are left out.

    Where there is none, ``status`` is ``missing``. Their ``id`` is left out if the catalogue has one.
    """
    refuse_clashes(catalogue.column_names, predictions.column_names)
    rows = pc.index_in(pa.array(ids, predictions["id"].type), predictions["id"])
    joined = predictions.take(rows)
    absent = pc.is_null(rows)
    unknown = pc.equal(pa.array(ids, pa.string()), "")
    why = pc.if_else(unknown, "No image is at this position alone.", "No image has this id.")
    if "" in ids:  # which were looked for by position
        ra, dec = coordinates(catalogue, Path("catalogue"))
        why = pc.if_else(np.isfinite(ra) & (np.abs(dec) <= 90), why, "The catalogue has no position of it.")
    for name, text in (("status", "missing"), ("reason", why)):
        place = joined.column_names.index(name)
        filled = pc.if_else(absent, text, joined[name])
        joined = joined.set_column(place, joined.schema.field(name), filled)
    place = joined.column_names.index("id")
    if _has_ids(catalogue.column_names):
        joined = joined.remove_column(place)
    else:
        known = pc.if_else(unknown, pa.scalar(None, pa.string()), pa.array(ids, pa.string()))
        joined = joined.set_column(place, joined.schema.field("id"), known)
    return pa.Table.from_arrays(
        [*catalogue.columns, *joined.columns], schema=pa.schema([*catalogue.schema, *joined.schema])
    )


def refuse_clashes(catalogue: Sequence[str], predictions: Sequence[str]) -> None:
    """Raise `CatalogueError` if columns to be joined have the same name, in any case; ``id`` may."""
    ours = {name.lower() for name in predictions if not (name == "id" and _has_ids(catalogue))}
    if both := [name for name in catalogue if name.lower() in ours]:
        raise CatalogueError(
            f"The catalogue has the columns {list_names(both)}, which predictions have, too; rename them, or "
            "take them out of the catalogue."
        )


def _has_ids(columns: Sequence[str]) -> bool:
    known = {name.lower() for name in ID_COLUMNS}
    return any(name.lower() in known for name in columns)
