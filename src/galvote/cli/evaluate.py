"""`galvote evaluate`: score predicted votes against the volunteers'."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from galvote.inference.evaluation import Evaluation
    from galvote.trees import DecisionTree

_scoring, _output = map(options.group, ("What is scored", "How scores are written"))


Predictions = Annotated[
    Path | None,
    typer.Option(help="Table of predictions (CSV, Parquet, FITS, VOTable), or a folder of shards."),
]
ScoredModel = Annotated[
    str | None, typer.Option(help="Predict with this model: a name, a folder or a .onnx file.")
]
ShownImages = Annotated[
    list[Path] | None,
    typer.Option(
        help="Images to predict, and to show in the report: folder, files, Parquet, packed store; may be "
        "given again."
    ),
]
ReportFolder = Annotated[Path | None, typer.Option(help="Folder for an HTML report with images.")]
Json = Annotated[bool, _output("--json", help="Print one JSON object instead of tables.")]
Splits = Annotated[
    Path | None, _scoring(help="Table with a column `split`; its `train` galaxies give the mean votes.")
]
Split = Annotated[str | None, _scoring(help="Score only the galaxies of this split.")]
Overwrite = Annotated[bool, _output("--overwrite", help="Replace an existing report.")]


def evaluate(
    votes: options.Votes,
    predictions: Predictions = None,
    model: ScoredModel = None,
    images: ShownImages = None,
    report: ReportFolder = None,
    json: Json = False,
    backend: options.Backend = None,
    tta: options.Tta = 1,
    level: options.Level = None,
    scale: options.Scale = None,
    pixel_scale: options.PixelScale = None,
    catalogue: options.SizeCatalogue = None,
    size_column: options.SizeColumn = None,
    size_factor: options.SizeFactor = 1.0,
    field_of_view: options.FieldOfView = None,
    bands: options.Bands = None,
    stretch: options.Stretch = options.StretchName.lupton,
    tree: options.Tree = None,
    splits: Splits = None,
    split: Split = None,
    id_column: options.IdColumn = None,
    recursive: options.Recursive = False,
    dataset: options.Dataset = None,
    skip_invalid: options.SkipInvalid = False,
    overwrite: Overwrite = False,
) -> None:
    """Score predictions, or a model, against volunteers' votes."""
    import galvote
    from galvote.cli.progress import plain_console, progress_bar
    from galvote.io.atomic import refuse_existing
    from galvote.report import PAGE

    console = plain_console(stderr=True)
    if report is not None:
        refuse_existing(report / PAGE, overwrite=overwrite)  # before the long part
    with progress_bar(console) as progress:
        bar = progress.add_task("predicting", visible=model is not None)
        evaluation = galvote.evaluate(
            votes,
            predictions=predictions,
            model=model,
            images=images,
            tree=tree,
            splits=splits,
            split=split,
            tta=tta,
            level=level,
            field_of_view=field_of_view,
            bands=bands,
            stretch=stretch.value,
            scale=options.choose_scale(scale, pixel_scale, catalogue, size_column, size_factor, id_column),
            backend=backend,
            id_column=id_column,
            recursive=recursive,
            dataset=dataset,
            skip_invalid=skip_invalid,
            report=progress.console.print,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _print(evaluation, as_json=json)
    for remark in evaluation.remarks:
        console.print(remark)
    if report is not None:
        page = evaluation.write_report(report, overwrite=overwrite)
        console.print(f"Report: {page}", soft_wrap=True)


def _print(evaluation: Evaluation, *, as_json: bool) -> None:
    from galvote.cli.progress import plain_console

    if as_json:
        typer.echo(dumps(evaluation.to_dict(), indent=2))
        return
    for table in (_summary(evaluation), _questions(evaluation.scores, evaluation.compared.tree)):
        plain_console().print(table)


def _summary(evaluation: Evaluation) -> Table:
    from rich.table import Table

    from galvote.report import describe_left_out, say_number

    scores, tree = evaluation.scores, evaluation.compared.tree
    (low, high), baselines = scores["rmse_interval"], scores["baselines"]
    violations, ranks = scores["tree_violations"], scores["rank_correlation"]
    mean_of = "training galaxies" if baselines["mean_from"] == "training" else "scored galaxies"
    table = Table(title=evaluation.title, show_header=False, title_justify="left")
    table.add_row("RMSE", f"{scores['rmse']:.4f}  (95 % interval {low:.4f} to {high:.4f})")
    table.add_row("mean predictor", f"{baselines['mean']:.4f}  (mean votes of the {mean_of})")
    table.add_row("all zeros, all ones", f"{baselines['zeros']:.4f}, {baselines['ones']:.4f}")
    table.add_row("galaxies", f"{scores['galaxies']:,}  ({scores['columns_scored']} of {len(tree)} columns)")
    table.add_row("not scored", describe_left_out(evaluation.left_out) or "none")
    off = f"{violations['galaxies']:,} galaxies  (largest difference {violations['largest']:.1e})"
    table.add_row("tree violations", off)
    if ranks["mean"] is not None:
        table.add_row("rank correlation", f"{ranks['mean']:.3f}  (Spearman's ρ, mean of the columns)")
    for question in tree.numbers:
        if own := scores.get("numbers", {}).get(question.name):
            told = ", ".join(
                f"{word} {say_number(own[key])}"
                for word, key in (("RMSE", "rmse"), ("R²", "r2"), ("Spearman's ρ", "rank_correlation"))
                if own[key] is not None
            )
            table.add_row(f"{question.name} {question.unit or ''}".rstrip(), told)
    if coverage := scores.get("coverage"):
        aim = "" if coverage["level"] is None else f"{coverage['level']:.12g} promised, "
        width = f"mean width {coverage['mean_width']:.3f}"
        table.add_row("votes in their interval", f"{coverage['overall']:.1%}  ({aim}{width})")
    return table


def _questions(scores: Mapping[str, Any], tree: DecisionTree) -> Table:
    from rich.table import Table

    coverage = scores.get("coverage")
    table = Table("question, answers", "column")
    for heading in ("RMSE", "mean predictor", *(["in interval"] if coverage else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for question in tree.questions:
        own = scores["questions"][question.name]
        if not own["columns"]:
            continue
        numbers = [f"{own['rmse']:.4f}", f"{own['mean_predictor_rmse']:.4f}"]
        if coverage:
            share = coverage["questions"][question.name]
            numbers.append("" if share is None else f"{share:.1%}")
        table.add_row(question.name, "", *numbers, style="bold")
        for answer in question.answers:
            if answer.column in own["columns"]:
                table.add_row(f"  {answer.text}", answer.column, f"{scores['columns'][answer.column]:.4f}")
        table.add_section()
    return table
