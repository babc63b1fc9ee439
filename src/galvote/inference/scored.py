"""Which predictions can be held against which votes."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from galvote.errors import CatalogueError, TreeError
from galvote.inference.prediction import Prediction
from galvote.io import read_table
from galvote.io.columns import find_id_column, list_names, read_numbers, refuse_repeated_ids, to_ids
from galvote.io.positions import Positions
from galvote.labels import Votes, read_votes
from galvote.report import describe_left_out
from galvote.trees import DecisionTree, find_tree


def match_predictions(
    predicted: Prediction, wanted: Votes, with_votes: Collection[str]
) -> tuple[list[int], list[int], dict[str, int]]:
    """Join predictions and votes by id: rows of both that are scored, and how many are not, by reason.

    Galaxies with votes that are not wanted are those of other splits.
    """
    finite = np.isfinite(predicted.fractions).all(axis=1)
    voted = np.isfinite(wanted.fractions).any(axis=1)
    known, vote_row = set(with_votes), {name: row for row, name in enumerate(wanted.ids)}
    left_out = {
        "votes_without_prediction": len(vote_row.keys() - set(predicted.ids)),
        "failed_predictions": 0,
        "predictions_not_finite": 0,
        "predictions_without_votes": 0,
        "predictions_with_unknown_votes": 0,
        "predictions_of_other_splits": 0,
    }
    rows = list[int]()
    for row, name in enumerate(predicted.ids):
        if name not in known:
            left_out["predictions_without_votes"] += 1
        elif name not in vote_row:
            left_out["predictions_of_other_splits"] += 1
        elif predicted.status[row] != "ok":
            left_out["failed_predictions"] += 1
        elif not finite[row]:
            left_out["predictions_not_finite"] += 1
        elif not voted[vote_row[name]]:
            left_out["predictions_with_unknown_votes"] += 1
        else:
            rows.append(row)
    if not rows:
        raise CatalogueError(
            f"No galaxy has both votes and a prediction. Votes are for {list_names(wanted.ids, 3)}; "
            f"predictions for {list_names(predicted.ids, 3)}. Not scored: {describe_left_out(left_out)}. "
            "Check that both use the same ids."
        )
    return rows, [vote_row[predicted.ids[row]] for row in rows], left_out


def read_predictions(
    path: Path, tree: DecisionTree | None = None, *, id_column: str | None = None
) -> Prediction:
    """Read a table of predictions, or a folder of shards, whoever made it; its level is unknown.

    It has what can be scored, and the remark. Galaxies without a column ``status`` count as ``ok``. There are
    intervals if a column has both ends.
    """
    table = read_table(path)
    has, tree = table.column_names, tree or find_tree(table.column_names, path)
    if missing := [column for column in tree.columns if column not in has]:
        raise CatalogueError(
            f"{path.name} has no column {list_names(missing, 3)}; predictions of the tree {tree.name!r} need "
            f"the columns {tree.columns[0]} … {tree.columns[-1]}, as `galvote predict` writes them."
        )
    ids = to_ids(table[find_id_column(has, path, id_column)], path)
    refuse_repeated_ids(ids, path)
    fractions, low, high = (
        read_numbers(table, [column + end for column in tree.columns], path).astype(np.float32)
        for end in ("", "_low", "_high")
    )
    known = bool(np.isfinite(low + high).any())
    return Prediction(
        tree=tree,
        ids=ids,
        status=tuple(table["status"].to_pylist()) if "status" in has else ("ok",) * len(ids),
        reason=("",) * len(ids),
        fractions=fractions,
        low=low if known else None,
        high=high if known else None,
        remark=(table.schema.metadata or {}).get(b"remark", b"").decode(),
    )


def read_votes_of(
    tree: DecisionTree,
    votes: Votes | str | Path | Sequence[str | Path],
    *,
    skip_invalid: bool = False,
    id_column: str | None = None,
    reference: Positions | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> Votes:
    """Read the votes on the questions of a tree, as `galvote.labels.read_votes` does.

    They may be read already; `TreeError` if they are of another tree.
    """
    if isinstance(votes, Votes):
        refuse_other_tree(votes.tree, tree, "The tree of the votes")
        return votes
    try:
        return read_votes(
            votes,
            tree,
            skip_invalid=skip_invalid,
            id_column=id_column,
            reference=reference,
            report=report,
        )
    except CatalogueError:
        with suppress(CatalogueError):
            others = read_votes(votes, skip_invalid=True, id_column=id_column, reference=reference)
            refuse_other_tree(others.tree, tree, "The tree of the votes")
        raise


def refuse_other_tree(tree: DecisionTree | None, own: DecisionTree, what: str) -> None:
    """Raise `TreeError` unless a tree, if there is one, asks the same questions as that of the predictions.

    `what` is how the message begins: ``The tree of the votes``.
    """
    if tree is not None and (tree.columns, tree.slices) != (own.columns, own.slices):
        raise TreeError(
            f"{what}, {tree.name!r}, is not that of the predictions, {own.name!r}; only votes on the same "
            "questions can be compared. Choose other votes, or a model that was trained on such votes."
        )
