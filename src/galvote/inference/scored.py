"""Which predictions can be held against which votes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from galvote.errors import CatalogueError
from galvote.inference.prediction import Prediction
from galvote.io import read_table
from galvote.io.columns import find_id_column, list_names, to_ids
from galvote.labels import Votes
from galvote.metrics import Comparison
from galvote.report import describe_left_out
from galvote.trees import DecisionTree, find_tree


@dataclass(frozen=True, eq=False)
class Scored:
    """The galaxies that have both votes and a prediction.

    Parameters
    ----------
    ids
        Their names.
    prediction_rows, vote_rows
        Their rows among the predictions and among the votes.
    left_out
        How many predictions and votes there are besides, by reason.
    """

    ids: tuple[str, ...]
    prediction_rows: Int[np.ndarray, " galaxy"]
    vote_rows: Int[np.ndarray, " galaxy"]
    left_out: Mapping[str, int]

    def compare(
        self, predicted: Prediction, votes: Votes, mean: Float[np.ndarray, " answer"] | None
    ) -> Comparison:
        """Return their predictions and votes side by side.

        Parameters
        ----------
        predicted, votes
            What was matched.
        mean
            Mean votes of the training galaxies; not used if a scored column has no training votes.
        """
        own, actual = predicted[self.prediction_rows], votes.fractions[self.vote_rows]
        if mean is not None and np.isnan(mean[np.isfinite(actual).any(axis=0)]).any():
            mean = None
        low, high = own.low, own.high
        if low is None or high is None or not np.isfinite(low + high).any():
            low = high = None
        return Comparison(predicted.tree, own.fractions, actual, mean, low, high)


def match_predictions(predicted: Prediction, wanted: Votes, with_votes: Collection[str]) -> Scored:
    """Join predictions and votes by id; every one of both is either scored or counted.

    Parameters
    ----------
    predicted
        Predictions.
    wanted
        Votes of the galaxies that are to be scored.
    with_votes
        Ids of all galaxies with votes, those of other splits, too.

    Raises
    ------
    CatalogueError
        If no galaxy has both votes and a prediction.
    """
    known = set(with_votes)
    finite = np.isfinite(predicted.fractions).all(axis=1)
    voted = np.isfinite(wanted.fractions).any(axis=1)
    vote_row = {name: row for row, name in enumerate(wanted.ids)}
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
    ids = tuple(predicted.ids[row] for row in rows)
    return Scored(ids, np.array(rows), np.array([vote_row[name] for name in ids]), left_out)


def read_predictions(
    place: str | os.PathLike[str], tree: DecisionTree | None = None, *, id_column: str | None = None
) -> Prediction:
    """Read a table of predictions, whoever made it.

    Parameters
    ----------
    place
        A file, or a folder of shards.
    tree
        Whose columns it has; that which it has most columns of if not given.
    id_column
        Name of the column of ids, if it is none of the usual ones.

    Returns
    -------
    Galaxies without a column ``status`` count as ``ok``; ``level`` is unknown. Intervals are there if all
    columns have both ends.

    Raises
    ------
    CatalogueError
        If the table cannot be read, lacks a column, or has a galaxy twice.
    """
    path = Path(place)
    table = read_table(path, id_column=id_column)
    tree = tree or find_tree(table.column_names, path)
    if missing := [column for column in tree.columns if column not in table.column_names]:
        raise CatalogueError(
            f"{path.name} has no column {list_names(missing, 3)}; predictions of the tree {tree.name!r} need "
            f"the columns {tree.columns[0]} … {tree.columns[-1]}, as `galvote predict` writes them."
        )
    ids = to_ids(table[find_id_column(table.column_names, path, id_column)], path)
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise CatalogueError(
            f"{path.name} predicts {len(repeated):,} galaxies more than once: {list_names(repeated, 5)}; "
            "keep one row for each."
        )
    ends = [column + end for column in tree.columns for end in ("_low", "_high")]
    there = [name for name in (*tree.columns, *ends) if name in table.column_names]
    if texts := [name for name in there if not _holds_numbers(table.schema.field(name).type)]:
        raise CatalogueError(f"{path.name}: column {texts[0]!r} must hold numbers; correct it.")
    statuses = table["status"] if "status" in table.column_names else pa.array(["ok"] * len(ids))
    plain = table.select(there).append_column("id", pa.array(ids)).append_column("status", statuses)
    return Prediction.from_arrow(plain, tree)


def _holds_numbers(kind: pa.DataType) -> bool:
    return any(holds(kind) for holds in (pa.types.is_floating, pa.types.is_integer, pa.types.is_null))
