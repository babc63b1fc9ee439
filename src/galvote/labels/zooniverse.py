"""Votes from a Zooniverse export of classifications: a row for each time that a volunteer saw a galaxy."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from galvote.errors import CatalogueError
from galvote.io.columns import find_column, list_names, to_ids, to_numbers
from galvote.io.readers.files import IMAGES
from galvote.io.tables import read_table
from galvote.labels.conversion import known_to_cumulative, published_to_conditional
from galvote.labels.votes import Votes
from galvote.trees import load_workflow, plain_label
from galvote.trees.files import Workflow

_COLUMNS = ("user_name", "workflow_id", "workflow_version", "annotations", "subject_data", "subject_ids")
_HIDDEN = "#!/ "
"""What the names of a subject's metadata begin with that volunteers are not shown."""


def count_votes(
    export: str | Path,
    tree: str | Path,
    *,
    workflow: int | None = None,
    versions: Sequence[int] = (),
    id_column: str | None = None,
    report: Callable[[str], None] = lambda sentence: None,
) -> Votes:
    """Count the votes in a Zooniverse export of classifications.

    Of repeated classifications of a galaxy by one volunteer the first counts. Volunteers who are not logged
    in are told apart as the export does, by a hash of their address.

    Parameters
    ----------
    export
        The CSV that a project's page *Data exports* calls "classification export".
    tree
        A tree's TOML file, whose table ``[zooniverse]`` says which task is which question.
    workflow
        Number of the workflow; needed if the export has several.
    versions
        Major versions of the workflow that count; by default the last of all.
    id_column
        Metadata of the subjects that hold ids, or names of image files; by default, ids are the subjects'
        numbers.
    report
        Is told, in sentences, what was counted and what was left out.

    Returns
    -------
    Votes
        Of the galaxies that somebody classified: counts, and the cumulative fractions that follow from them.

    Raises
    ------
    TreeError
        If the tree's file has no table ``[zooniverse]``, or a wrong one.
    CatalogueError
        If the export cannot be read, has several workflows, or no classification that can be counted.
    """
    path = Path(export)
    asked, places = load_workflow(tree)
    table = read_table(path)
    for name in _COLUMNS:
        find_column(
            table.column_names, [name], path, "a Zooniverse export", "Export the classifications anew."
        )
    table = table.select(_COLUMNS).append_column("row", pa.array(np.arange(len(table)) + 1))
    wanted = [] if workflow is None else [workflow]
    table = _choose(table, "workflow_id", wanted, "--workflow (workflow=)", path, report)
    table = _choose(table, "workflow_version", versions, "--workflow-version (versions=)", path, report)
    counts = _count(table, places, np.zeros(len(asked)), id_column, report)
    if not counts:
        raise CatalogueError(
            f"{path} has no classification that can be counted; check that the tree is its own."
        )
    values = np.array(list(counts.values()))
    conditional, _ = published_to_conditional(asked, values, "count")
    ids = to_ids(pa.chunked_array([list(counts)]), path)
    return Votes(asked, ids, known_to_cumulative(asked, conditional), values, "count")


def _choose(
    table: pa.Table, name: str, wanted: Sequence[int], option: str, path: Path, report: Callable[[str], None]
) -> pa.Table:
    """Return the classifications of one workflow, or of some versions of it."""
    numbers = np.floor(to_numbers(table[name], name, path))
    there = np.unique(numbers[np.isfinite(numbers)]).astype(int).tolist()
    if not there or set(wanted) - set(there):
        raise CatalogueError(f"{path} has the {name} {there}; choose of these with {option}.")
    if name == "workflow_id" and len(there) > 1 and not wanted:
        raise CatalogueError(f"{path} has several workflows, {there}; choose one with {option}.")
    chosen = list(wanted) or there[-1:]
    kept = np.isin(numbers, chosen)
    if not kept.all():
        others = [number for number in there if number not in chosen]
        report(
            f"{(~kept).sum():,} classifications do not count, as their {name} is not {chosen} but {others} "
            f"or missing; {option} chooses others."
        )
    return table.filter(pa.array(kept))


def _count(
    table: pa.Table,
    places: Workflow,
    none: Float64[np.ndarray, " answer"],
    id_column: str | None,
    report: Callable[[str], None],
) -> dict[str, Float64[np.ndarray, " answer"]]:
    """Return how often each answer was given, by galaxy, each volunteer's first classification counting."""
    counts, seen = dict[str, np.ndarray](), set[tuple[str, str]]()
    wrong, others, repeated = list[str](), set[str](), 0
    for row in chain.from_iterable(batch.to_pylist() for batch in table.to_batches(4096)):
        try:
            id_ = _find_id(row, id_column)
            chosen = list(_find_answers(row["annotations"], places, others))
        except ValueError as error:
            wrong.append(f"row {row['row']}: {error}")
            continue
        who = (id_, row["user_name"])
        if who in seen:
            repeated += 1
            continue
        if row["user_name"]:
            seen.add(who)
        counts.setdefault(id_, none.copy())[chosen] += 1
    if repeated:
        report(f"{repeated:,} classifications do not count, as their volunteers saw the galaxy before.")
    if wrong:
        report(f"{len(wrong):,} classifications cannot be read and do not count, first of them {wrong[0]}.")
    if others:
        report(f"The tasks {list_names(sorted(others))} are no questions of the tree and do not count.")
    report(
        f"{len(table) - repeated - len(wrong):,} classifications of {len(counts):,} galaxies count. Ids are "
        + ("the subjects' numbers." if id_column is None else f"the subjects' `{id_column}`.")
    )
    return counts


def _find_id(row: dict[str, Any], id_column: str | None) -> str:
    """Return the id of the galaxy that was classified; what is wrong is a `ValueError`."""
    subject = "" if row["subject_ids"] is None else str(row["subject_ids"]).strip()
    if not subject.isdecimal():
        raise ValueError(f"its subject_ids are {subject!r}, and must be one number")
    if id_column is None:
        return subject
    data = _parse(row["subject_data"], "subject_data")
    about = data.get(subject) if isinstance(data, dict) else None
    wanted = id_column.lstrip(_HIDDEN).lower()
    known = {str(key).lstrip(_HIDDEN).lower(): value for key, value in (about or {}).items()}
    id_ = "" if known.get(wanted) is None else str(known[wanted]).strip()
    if not id_:
        raise ValueError(f"its subject has no {id_column!r}; it has {list_names(list(known))}")
    return Path(id_).stem if id_.lower().endswith(IMAGES) else id_


def _find_answers(text: Any, workflow: Workflow, others: set[str]) -> Iterator[int]:
    """Yield the columns of the answers that a volunteer chose; what is wrong is a `ValueError`."""
    chosen = dict(_flatten(_parse(text, "annotations")))  # of a task that was answered again, the last
    for task, value in chosen.items():
        if task not in workflow:
            others.add(task)
            continue
        for label in value if isinstance(value, list) else [value]:
            if label is None:
                continue
            place = workflow[task].get(plain_label(str(label)))
            if place is None:
                raise ValueError(f"{label!r} is no answer of task {task}")
            yield place


def _flatten(annotations: Any) -> Iterator[tuple[str, Any]]:
    """Yield each task and what was chosen, those of combined tasks one by one."""
    if not isinstance(annotations, list) or not all(
        isinstance(one, dict) and "task" in one for one in annotations
    ):
        raise ValueError("its annotations are no list of tasks")
    for one in annotations:
        value = one.get("value")
        if (
            isinstance(value, list)
            and value
            and all(isinstance(each, dict) and "task" in each for each in value)
        ):
            yield from _flatten(value)
        else:
            yield str(one["task"]), value


def _parse(text: Any, name: str) -> Any:
    try:
        return json.loads(text or "")
    except (ValueError, TypeError) as error:
        raise ValueError(f"its {name} are no JSON ({error})") from error
