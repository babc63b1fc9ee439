"""`galvote evaluate`: score predicted votes against the volunteers'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galvote.cli.positions import SizeColumn
from galvote.cli.prediction_options import FieldOfView, PixelScale, ScaleOption, SizeFactor, choose_scale

if TYPE_CHECKING:
    from rich.table import Table

    from galvote.inference.evaluation import Evaluation
    from galvote.trees import DecisionTree

_MODEL, _GALAXIES, _REPORT = "Prediction by a model", "Galaxies and votes", "Report"

Votes = Annotated[list[Path], typer.Option(help="Table of the volunteers' votes; may be given again.")]
Predictions = Annotated[
    Path | None,
    typer.Option(help="Table of predictions (CSV, Parquet, FITS, VOTable), or a folder of shards."),
]
Model = Annotated[str | None, typer.Option(help="Predict with this model: a name, a folder or a .onnx file.")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Images to predict, and to show in the report: folder, files, Parquet, packed store; may be "
        "given again."
    ),
]
Report = Annotated[Path | None, typer.Option(help="Folder for an HTML report with images.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Backend = Annotated[
    str | None,
    typer.Option(help="What computes: torch, onnx …; see `galvote predict --help`.", rich_help_panel=_MODEL),
]
Tta = Annotated[
    int, typer.Option(min=1, help="Orientations averaged for each prediction.", rich_help_panel=_MODEL)
]
Level = Annotated[
    float | None,
    typer.Option(help="Share of votes that intervals are to hold, 0 to 1 (0.9).", rich_help_panel=_MODEL),
]
Catalogue = Annotated[
    Path | None, typer.Option(help="Table of ids and r90, for --pixel-scale.", rich_help_panel=_MODEL)
]
Tree = Annotated[
    str | None,
    typer.Option(
        help="Tree of the predictions, a name or a TOML file; if not given, that whose columns they have.",
        rich_help_panel=_GALAXIES,
    ),
]
Splits = Annotated[
    Path | None,
    typer.Option(
        help="Table with a column `split`; its `train` galaxies give the mean votes.",
        rich_help_panel=_GALAXIES,
    ),
]
Split = Annotated[
    str | None, typer.Option(help="Score only the galaxies of this split.", rich_help_panel=_GALAXIES)
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of ids of votes and splits, if it has none of the usual names.",
        rich_help_panel=_GALAXIES,
    ),
]
SkipInvalid = Annotated[
    bool,
    typer.Option(
        "--skip-invalid", help="Leave out galaxies whose votes cannot be true.", rich_help_panel=_GALAXIES
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing report.", rich_help_panel=_REPORT)
]


def evaluate(
    votes: Votes,
    predictions: Predictions = None,
    model: Model = None,
    images: Images = None,
    report: Report = None,
    json: Json = False,
    backend: Backend = None,
    tta: Tta = 1,
    level: Level = None,
    scale: ScaleOption = None,
    pixel_scale: PixelScale = None,
    catalogue: Catalogue = None,
    size_column: SizeColumn = None,
    size_factor: SizeFactor = 1.0,
    field_of_view: FieldOfView = None,
    tree: Tree = None,
    splits: Splits = None,
    split: Split = None,
    id_column: IdColumn = None,
    skip_invalid: SkipInvalid = False,
    overwrite: Overwrite = False,
) -> None:
    """Score predictions, or a model, against volunteers' votes."""
    from json import dumps

    import galvote
    from galvote.cli.progress import plain_console, progress_bar
    from galvote.io.atomic import refuse_existing
    from galvote.report import PAGE
    from galvote.trees import load_tree

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
            tree=None if tree is None else load_tree(tree),
            splits=splits,
            split=split,
            tta=tta,
            level=level,
            field_of_view=field_of_view,
            scale=choose_scale(scale, pixel_scale, catalogue, size_column, size_factor),
            backend=backend,
            id_column=id_column,
            skip_invalid=skip_invalid,
            report=progress.console.print,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if json:
        typer.echo(dumps(evaluation.to_dict(), indent=2))
    else:
        for table in (_summary(evaluation), _questions(evaluation.scores, evaluation.compared.tree)):
            plain_console().print(table)
    for remark in evaluation.remarks:
        console.print(remark)
    if report is not None:
        page = evaluation.write_report(report, overwrite=overwrite)
        console.print(f"Report: {page}", soft_wrap=True)


def _summary(evaluation: Evaluation) -> Table:
    from rich.table import Table

    from galvote.report import describe_left_out

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
    table.add_row("break the tree", off)
    if ranks["mean"] is not None:
        table.add_row("rank correlation", f"{ranks['mean']:.3f}  (Spearman's ρ, mean of the columns)")
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
