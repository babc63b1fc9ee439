"""Labels that can be learned: read, matched with images, and refused where nothing can come of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from galvote.errors import CatalogueError
from galvote.inference.listing import Place
from galvote.io import Sources, list_sources
from galvote.io.bands import Look
from galvote.io.columns import list_names, one_has
from galvote.io.positions import positions_of
from galvote.labels import Match, Votes, match_ids, read_votes
from galvote.labels.numbers import on_own_bins
from galvote.trees import DecisionTree, asked_share, load_tree, to_conditional

LEAST = 10
"""Galaxies that each class needs, and twice as many in all."""

_MOST_UNLABELLED = 2000


def read_labelled(
    images: Place | Sequence[Place],
    labels: Place | Sequence[Place],
    *,
    tree: Place | DecisionTree | None,
    column: str | None,
    unit: str | None,
    look: Look,
    id_column: str | None,
    skip_invalid: bool,
    report: Callable[[str], None],
) -> tuple[Match, Sources]:
    """Read labels and match them with images; most arguments are those of `galvote.finetune`.

    Returned are galaxies with a label and an image; and the images to look at: theirs, and some without a
    label, which tell how features are spread.
    """
    with one_has(id_column):
        sources = list_sources(images, id_column=id_column, look=look)
        places = [images] if isinstance(images, str | Path) else [*images]
        votes = read_votes(
            labels,
            None if tree is None else load_tree(tree),
            column=column,
            unit=unit,
            id_column=id_column,
            reference=positions_of(places, id_column=id_column),
            skip_invalid=skip_invalid,
            report=report,
        )
    report(f"{sources.describe()}.")
    matched = match_ids(votes.select(np.isfinite(votes.fractions).any(axis=1)), sources)
    report(matched.describe().replace("votes", "labels"))
    refuse_few(matched.votes)
    refuse_incomplete(matched.votes, report)
    if matched.votes.form == "number":
        matched = replace(matched, votes=on_own_bins(matched.votes))
    ids = set(matched.votes.ids)
    others = np.array([id_ for id_ in sources.ids if id_ not in ids], object)
    some = np.random.default_rng(0).permutation(len(others))[:_MOST_UNLABELLED]
    return matched, sources.select({*ids, *others[some]})


def refuse_few(votes: Votes) -> None:
    """Raise `CatalogueError` unless there are enough labels, and of each class, to learn and to test."""
    if votes.form == "class":
        answers, counts = votes.tree.answers, votes.fractions.sum(axis=0).astype(int)
        named = zip(answers, counts, strict=True)
        few = [f"{count} of {one.name!r}" for one, count in named if count < LEAST]
        if max(counts) == len(votes):
            raise CatalogueError(
                f"All {len(votes):,} labels with an image are {answers[counts.argmax()].name!r}; label "
                "galaxies of another class, too."
            )
        if few:
            raise CatalogueError(
                f"There are only {list_names(few)} with an image, and each class needs {LEAST}, to learn "
                "from some and be tested on others. Label more of them, join classes, or take these out."
            )
    if len(votes) < 2 * LEAST:
        raise CatalogueError(f"{len(votes)} galaxies have a label and an image; at least {2 * LEAST} must.")
    given = votes.fractions[:, np.isfinite(votes.fractions).any(axis=0)]
    if not (np.nanmax(given, axis=0) - np.nanmin(given, axis=0) > 1e-6).any():
        raise CatalogueError(f"All {len(votes):,} galaxies have the same labels; nothing can be learned.")


def refuse_incomplete(votes: Votes, report: Callable[[str], None]) -> None:
    """Raise `CatalogueError` unless enough galaxies answer a question in full, and name the others."""
    tree, there = votes.tree, np.isfinite(votes.fractions)
    asked = np.nan_to_num(asked_share(tree, votes.fractions)) > 0
    known = np.isfinite(to_conditional(tree, votes.fractions))
    learned, said = np.zeros(len(votes), dtype=bool), ""
    for place, (name, columns) in enumerate(tree.slices.items()):
        whole = asked[:, place] & known[:, columns].all(axis=1)
        learned |= whole
        some = there[:, columns].any(axis=0)
        if some.any() and not whole.any():
            named = [column for column, one in zip(tree.columns[columns], some, strict=True) if one]
            said += f"Of the question {name!r} nothing can be learned: known is only {list_names(named)}"
            lacking = "all its answers" if not some.all() else "the questions that lead to it"
            said += f", and the columns of {lacking} are needed. "
    if learned.sum() < 2 * LEAST:
        raise CatalogueError(
            f"{learned.sum():,} galaxies have votes for all answers to a question, and {2 * LEAST} must. "
            f"{said}If a column holds classes or numbers of your own, name it with --column (column=)."
        )
    if said:
        report(said.rstrip())
