"""`galvote evaluate`: score predicted votes against the volunteers'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.cli.prediction_options import BackendName, Level

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from rich.console import Console

    from galvote.io import Sources
    from galvote.labels import Votes
    from galvote.trees import DecisionTree


def evaluate(
    votes: Annotated[list[Path], typer.Option(help="Table of the volunteers' votes; may be given again.")],
    predictions: Annotated[
        Path | None, typer.Option(help="Table of predicted votes (CSV, Parquet, FITS, VOTable).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Predict with this model: a name, a directory or a .onnx file.")
    ] = None,
    backend: BackendName = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Pictures to predict, and to show in the report: folder, files, Parquet; repeatable."
        ),
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(help="Table with a column `split`; its `train` galaxies give the mean votes."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Score only the galaxies of this split.")] = None,
    field_of_view: Annotated[
        float | None,
        typer.Option(help="Width of the images, in r90 (8.48 is a whole GZ2 frame)."),
    ] = None,
    tta: Annotated[int, typer.Option(min=1, help="Orientations averaged for each prediction.")] = 1,
    level: Level = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    report: Annotated[Path | None, typer.Option(help="Directory for an HTML report with pictures.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing report.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option(help="Leave out galaxies whose votes cannot be true instead of stopping.")
    ] = False,
) -> None:
    """Score predictions, or a model, against volunteers' votes."""
    if (predictions is None) == (model is None):
        raise typer.BadParameter("give either --predictions FILE or --model NAME with --images PLACE")
    if model is not None and not images:
        raise typer.BadParameter("--model needs --images: the pictures to predict")
    if model is None and level is not None:
        raise typer.BadParameter("--level needs --model: a table's intervals are of one level already")
    if (splits is None) != (split is None):
        raise typer.BadParameter("--splits FILE and --split NAME go together")

    from rich.console import Console

    from galvote.inference import LEVEL
    from galvote.io import list_sources, read_table
    from galvote.io.atomic import refuse_existing
    from galvote.labels import read_votes
    from galvote.metrics import Comparison, score
    from galvote.report import PAGE, write_report

    said = Console(stderr=True, highlight=False, markup=False)
    if report is not None:
        refuse_existing(report / PAGE, overwrite=overwrite)  # refuse before the long part

    known = read_votes(votes, skip_invalid=skip_invalid, report=said.print)
    wanted, mean = _choose_split(known, splits, split)
    sources = list_sources(images) if images else None
    if predictions is not None:
        table, origin, promised = read_table(predictions), predictions.name, None
    else:
        assert model is not None and sources is not None
        table = _predict(model, backend, wanted, sources, tta, field_of_view, level, said)
        origin, promised = f"{model}, {tta} view{'s' if tta > 1 else ''}", level or LEVEL
    title = origin if split is None else f"{origin}, split {split}"
    scored = _match(table, origin, known, wanted)
    left_out = dict(scored.left_out)
    if model is not None and sources is not None:
        left_out["images_without_votes"] = len(set(sources.ids) - set(known.ids))
    compared = Comparison(
        known.tree,
        scored.predicted,
        scored.actual,
        mean=_usable(mean, scored.actual),
        low=scored.low,
        high=scored.high,
    )
    scores = score(compared)

    if json:
        from json import dumps

        if "coverage" in scores:
            scores["coverage"]["level"] = promised
        typer.echo(dumps({**scores, "left_out": left_out}, indent=2))
    else:
        _print_scores(Console(highlight=False), scores, promised, left_out, known.tree, title)
    if report is not None:
        page = write_report(
            report,
            scores,
            compared,
            scored.ids,
            _read_images(scored, sources, field_of_view) if sources is not None else {},
            title=title,
            left_out=left_out,
            overwrite=overwrite,
        )
        said.print(f"Report: {page}", soft_wrap=True)


@dataclass(frozen=True)
class _Scored:
    """The galaxies that have both votes and a prediction, and how many others there are, by reason."""

    ids: tuple[str, ...]
    predicted: np.ndarray
    actual: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    left_out: Mapping[str, int]


def _choose_split(votes: Votes, splits: Path | None, split: str | None) -> tuple[Votes, np.ndarray | None]:
    """Return the votes to score, and the mean votes of the training galaxies if those are known."""
    if splits is None:
        return votes, None

    import numpy as np

    from galvote.errors import CatalogueError
    from galvote.labels import read_labels
    from galvote.metrics import column_means

    labels = read_labels(splits, column="split")
    own = np.array([labels.get(name, "") for name in votes.ids])
    if not (own == split).any():
        there = ", ".join(f"{name} ({count:,})" for name, count in Counter(labels.values()).most_common(10))
        raise CatalogueError(
            f"No galaxy with votes is in the split {split!r} of {splits}, which has: {there}."
        )
    training = own == "train"
    return votes.select(own == split), column_means(votes.fractions[training]) if training.any() else None


def _predict(
    model: str,
    backend: str | None,
    votes: Votes,
    sources: Sources,
    tta: int,
    field_of_view: float | None,
    level: float | None,
    said: Console,
) -> pa.Table:
    from galvote.inference import Predictor
    from galvote.labels import match_ids

    matched = match_ids(votes, sources).sources
    with said.status(f"Predicting {len(matched):,} galaxies with {model}"):
        predictor = Predictor.load(model, backend)
        return predictor.predict(matched, tta=tta, field_of_view=field_of_view, level=level).to_arrow()


def _match(table: pa.Table, origin: str, known: Votes, wanted: Votes) -> _Scored:
    """Join predictions and votes; every prediction and every vote is either scored or counted."""
    import numpy as np

    from galvote.errors import CatalogueError
    from galvote.io.columns import find_id_column, list_names, to_ids

    columns = known.tree.columns
    if missing := [column for column in columns if column not in table.column_names]:
        raise CatalogueError(
            f"{origin} has no column {list_names(missing, 3)}; predictions need the columns "
            f"{columns[0]} … {columns[-1]}, as `galvote predict` writes them."
        )
    ids = to_ids(table[find_id_column(table.column_names, Path(origin))], Path(origin))
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise CatalogueError(
            f"{origin} predicts {len(repeated):,} galaxies more than once: {list_names(repeated, 5)}; "
            "keep one row for each."
        )
    predicted = _read_numbers(table, columns, origin)
    statuses = table["status"].to_pylist() if "status" in table.column_names else ["ok"] * len(ids)
    finite, voted = np.isfinite(predicted).all(axis=1), np.isfinite(wanted.fractions).any(axis=1)
    vote_row, with_votes = {name: row for row, name in enumerate(wanted.ids)}, set(known.ids)

    rows, left_out = list[int](), Counter[str]()
    for row, name in enumerate(ids):
        if name not in with_votes:
            left_out["predictions_without_votes"] += 1
        elif name not in vote_row:
            left_out["predictions_of_other_splits"] += 1
        elif statuses[row] != "ok":
            left_out["failed_predictions"] += 1
        elif not finite[row]:
            left_out["predictions_not_finite"] += 1
        elif not voted[vote_row[name]]:
            left_out["predictions_with_unknown_votes"] += 1
        else:
            rows.append(row)
    left_out["votes_without_prediction"] = len(vote_row.keys() - set(ids))
    if not rows:
        raise CatalogueError(
            f"No galaxy has both votes and a prediction. Votes are for {list_names(wanted.ids, 3)}; "
            f"predictions for {list_names(ids, 3)}. Left out: {_describe(left_out)}. Check that both use the "
            "same ids."
        )
    ends = [
        _read_numbers(table, [f"{column}_{end}" for column in columns], origin)[rows]
        for end in ("low", "high")
    ]
    predicts_intervals = bool(np.isfinite(ends[0] + ends[1]).any())
    return _Scored(
        ids=tuple(ids[row] for row in rows),
        predicted=predicted[rows],
        actual=wanted.fractions[[vote_row[ids[row]] for row in rows]],
        low=ends[0] if predicts_intervals else None,
        high=ends[1] if predicts_intervals else None,
        left_out={reason: left_out[reason] for reason in _LEFT_OUT},
    )


_LEFT_OUT = (
    "votes_without_prediction",
    "failed_predictions",
    "predictions_not_finite",
    "predictions_without_votes",
    "predictions_with_unknown_votes",
    "predictions_of_other_splits",
)


def _describe(left_out: Mapping[str, int]) -> str:
    counted = (f"{reason.replace('_', ' ')} ({count:,})" for reason, count in left_out.items() if count)
    return ", ".join(counted) or "none"


def _read_numbers(table: pa.Table, columns: Sequence[str], origin: str) -> np.ndarray:
    """Return these columns as float64, NaN where null or absent."""
    import numpy as np
    import pyarrow as pa

    from galvote.errors import CatalogueError

    numbers = np.full((table.num_rows, len(columns)), np.nan)
    for place, column in enumerate(columns):
        if column in table.column_names:
            try:
                numbers[:, place] = table[column].cast(pa.float64()).to_numpy()
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise CatalogueError(f"{origin}: column {column!r} must hold numbers ({error}).") from error
    return numbers


def _usable(mean: np.ndarray | None, actual: np.ndarray) -> np.ndarray | None:
    """Return the training mean unless a scored column has no training votes."""
    import numpy as np

    if mean is None or np.isnan(mean[np.isfinite(actual).any(axis=0)]).any():
        return None
    return mean


def _read_images(scored: _Scored, sources: Sources, field_of_view: float | None) -> dict[str, np.ndarray]:
    """Return the pictures of the galaxies that the report shows; those that cannot be read are absent."""
    from galvote.errors import ImageError
    from galvote.images import COMPACT, FRAME_WIDTH, Geometry, decode_image, to_cutout
    from galvote.report import best_and_worst

    # The central part of a GZ2 frame, at its own resolution.
    geometry = Geometry(field_of_view=min(COMPACT.field_of_view, field_of_view or FRAME_WIDTH), pixels=256)
    wanted = {scored.ids[row] for rows in best_and_worst(scored.predicted, scored.actual) for row in rows}
    images = {}
    for source in sources.select(wanted):
        with suppress(OSError, ImageError):
            images[source.id] = to_cutout(decode_image(source.read()), geometry, field_of_view)
    return images


def _print_scores(
    console: Console,
    scores: Mapping[str, Any],
    promised: float | None,
    left_out: Mapping[str, int],
    tree: DecisionTree,
    title: str,
) -> None:
    from rich.markup import escape
    from rich.table import Table

    low, high = scores["rmse_interval"]
    baselines, violations = scores["baselines"], scores["tree_violations"]
    mean_of = "training galaxies" if baselines["mean_from"] == "training" else "scored galaxies"

    summary = Table(title=escape(title), show_header=False, title_justify="left")
    summary.add_row("RMSE", f"[bold]{scores['rmse']:.4f}[/]  (95 % interval {low:.4f} to {high:.4f})")
    summary.add_row("mean predictor", f"{baselines['mean']:.4f}  (mean votes of the {mean_of})")
    summary.add_row("all zeros, all ones", f"{baselines['zeros']:.4f}, {baselines['ones']:.4f}")
    summary.add_row(
        "galaxies", f"{scores['galaxies']:,}  ({scores['columns_scored']} of {len(tree)} columns)"
    )
    summary.add_row("left out", _describe(left_out))
    summary.add_row(
        "break the tree",
        f"{violations['galaxies']:,} galaxies  (largest departure {violations['largest']:.1e})",
    )
    if coverage := scores.get("coverage"):
        aim = "" if promised is None else f"{promised:.12g} promised, "
        summary.add_row(
            "votes in their interval",
            f"{coverage['overall']:.1%}  ({aim}mean width {coverage['mean_width']:.3f})",
        )
    console.print(summary)

    table = Table("question, answers", "column")
    for heading in ("RMSE", "mean predictor", *(["in interval"] if coverage else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, question in scores["questions"].items():
        if not question["columns"]:
            continue
        numbers = [f"{question['rmse']:.4f}", f"{question['mean_predictor_rmse']:.4f}"]
        if coverage:
            share = coverage["questions"][name]
            numbers.append("" if share is None else f"{share:.1%}")
        table.add_row(name, "", *numbers, style="bold")
        for column in question["columns"]:
            answer = tree.answers[tree.columns.index(column)].text
            table.add_row(f"  {answer}", column, f"{scores['columns'][column]:.4f}")
        table.add_section()
    console.print(table)
