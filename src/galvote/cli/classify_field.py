"""What `galvote field` and `galvote demo` do: find a field's galaxies, classify them, show the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, UInt8
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from galvote.catalogue import write_table
from galvote.catalogue.columns import describe_predictions
from galvote.catalogue.tables import describe
from galvote.errors import GalvoteError
from galvote.evaluation.field_page import draw_field_page
from galvote.evaluation.findings import KINDS, Finding, name_kind, strongest_first
from galvote.evaluation.pictures import CARDS_PER_SHEET, Card, Mark, draw_field, draw_sheet, write_png
from galvote.evaluation.report import write_page
from galvote.images import Geometry, to_cutout
from galvote.images.field import FieldGalaxy, cut_out, find_galaxies, to_field_cutout
from galvote.tree import GZ2, decision_path, describe_path

MAX_SHEETS = 10
"""Sheets of 40 galaxies that are drawn at most; the catalogue has all galaxies."""

_BATCH = 256
_BARS = (("smooth", "Class1.1"), ("spiral", "Class4.1"), ("edge-on", "Class2.1"), ("merger", "Class8.6"))
_SHEET_EXTENT, _SHEET_PIXELS = 200.0, 160
_ABOUT: dict[str, tuple[str, str | None, str]] = {
    "x": ("Centre, from that of the first pixel to the right", "pixel", "pos.cartesian.x"),
    "y": ("Centre, from that of the first pixel downwards", "pixel", "pos.cartesian.y"),
    "r90": ("Radius of the circle that holds 90 % of the Petrosian flux", "pixel", "phys.angSize"),
    "axis_ratio": ("Minor over major axis of the second moments", "", "phys.angSize;arith.ratio"),
    "angle": ("Of the major axis, from x towards y", "deg", "pos.posAng"),
    "flux": ("Petrosian flux in arbitrary units", "", "phot.flux"),
    "magnitude": ("The same, -2.5 log10(flux), without a zero point", "mag", "phot.mag"),
    "touches_edge": ("Whether twice r90 reaches over the edge of the picture", None, "meta.code.qual"),
    "crowded": ("Whether other things cover more than a tenth of the circle of r90", None, "meta.code.qual"),
    "kind": ("What is clearest about it", None, "src.morph.type"),
    "path": ("The likeliest answers, from question to question", None, "src.morph.type"),
}
"""Description, unit and UCD of the columns beside the predictions."""
_OUTLINE = 1.7  # radii r90, so that the outline does not touch what it outlines


@runtime_checkable
class FieldPredictor(Protocol):
    """What a predictor must offer: `galvote.inference.Predictor` does."""

    @property
    def geometry(self) -> Geometry:
        """The cutouts that it takes."""
        ...

    def predict_cutouts(
        self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], views: int = 1
    ) -> Float32[np.ndarray, "galaxy answer"]:
        """Return cumulative fractions in the order of the columns of the Galaxy Zoo 2 tree."""
        ...


@dataclass(frozen=True)
class ClassifiedField:
    """The galaxies of a field, what they are, and where that is written.

    Parameters
    ----------
    galaxies
        Brightest first.
    too_small
        How many more things were found that are too small or faint to classify.
    fractions
        Cumulative vote fractions, a row for each galaxy, in the tree's order.
    findings
        The kind of each galaxy.
    paths
        The decision path of each galaxy in words.
    files
        What was written.
    """

    galaxies: tuple[FieldGalaxy, ...]
    too_small: int
    fractions: Float32[np.ndarray, "galaxy answer"]
    findings: tuple[Finding, ...]
    paths: tuple[str, ...]
    files: tuple[Path, ...]

    @property
    def clearest(self) -> tuple[int, ...]:
        """Row of the clearest galaxy of each kind, the very clearest first."""
        rows = dict[str, int]()
        for row in strongest_first(self.findings):
            rows.setdefault(self.findings[row].kind.name, row)
        return tuple(rows.values())


def classify_field(
    rgb: UInt8[np.ndarray, "y x 3"],
    predictor: FieldPredictor,
    out: Path,
    *,
    title: str = "",
    min_radius: float = 5.0,
    limit: int | None = None,
    views: int = 1,
    catalogue_ending: str = ".csv",
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> ClassifiedField:
    """Find the galaxies of a wide picture, predict their votes, and write a catalogue and pictures.

    ``annotated.png`` is the field with its galaxies outlined; ``galaxies.png``, ``galaxies-2.png``, … show
    each with its decision path, the clearest of each kind first; ``catalogue.csv`` has a row for each;
    ``index.html`` shows the field and the clearest with their votes down the tree.
    A field without galaxies gives an empty catalogue and no sheet.

    Parameters
    ----------
    out
        Folder to write to.
    title
        Name of the field, for the pictures.
    min_radius
        Smallest r90 in pixels; see `find_galaxies`.
    limit
        Take only so many of the brightest galaxies.
    views
        Orientations averaged for each prediction.
    catalogue_ending
        ``.csv``, ``.parquet``, ``.fits`` or ``.vot``.
    overwrite
        Replace what an earlier run left in the folder.
    on_progress
        Called with a stage's name, how much of it is done, and its total.

    Raises
    ------
    GalvoteError
        If the folder has results already, or `find_galaxies` cannot work.
    """
    catalogue, page, annotated, first_sheet = (
        out / name for name in (f"catalogue{catalogue_ending}", "index.html", "annotated.png", "galaxies.png")
    )
    sheets = [first_sheet, *sorted(out.glob("galaxies-*.png"))]
    if (
        there := [path.name for path in (catalogue, page, annotated, *sheets) if path.exists()]
    ) and not overwrite:
        raise GalvoteError(
            f"{out} has {', '.join(there)} already; choose another folder or pass --overwrite."
        )

    found = find_galaxies(
        rgb,
        min_radius=min_radius,
        on_progress=lambda done, total: on_progress("finding galaxies", done, total),
    )
    galaxies = found.galaxies[:limit]
    fractions = _predict(rgb, galaxies, predictor, views, on_progress)
    findings = tuple(name_kind(GZ2, row) for row in fractions)
    paths = tuple(describe_path(decision_path(GZ2, row)) for row in fractions)

    write_table(_to_table(galaxies, fractions, findings, paths), catalogue, overwrite=True)
    order = strongest_first(findings)
    said = f"{title}: {len(galaxies)} galaxies" if title else f"{len(galaxies)} galaxies"
    counts = Counter(finding.kind for finding in findings)
    legend = [(f"{counts[kind]} {kind.name}", kind.colour) for kind in KINDS if counts[kind]]
    marks = [_mark(galaxies[row], findings[row]) for row in order]
    write_png(draw_field(rgb, marks, title=said, legend=legend), annotated)

    drawn = order[: CARDS_PER_SHEET * MAX_SHEETS]
    cards = [_card(rgb, galaxies[row], fractions[row], findings[row], paths[row]) for row in drawn]
    write_page(
        page,
        draw_field_page(
            cards[:CARDS_PER_SHEET],
            fractions[list(drawn[:CARDS_PER_SHEET])],
            GZ2,
            title=title,
            found=f"{len(galaxies)} galaxies, and {found.too_small} too small or faint to classify.",
            catalogue=catalogue.name,
        ),
    )
    for path in sheets:
        path.unlink(missing_ok=True)
    starts = range(0, len(cards), CARDS_PER_SHEET)
    sheets = [
        out / f"galaxies-{number}.png" if number > 1 else first_sheet for number in range(1, len(starts) + 1)
    ]
    for number, (path, start) in enumerate(zip(sheets, starts, strict=True), start=1):
        heading = f"{said}, the clearest of each kind first"
        part = f" ({number} of {len(starts)})" if len(starts) > 1 else ""
        write_png(draw_sheet(cards[start : start + CARDS_PER_SHEET], title=heading + part), path)
        on_progress("drawing", number, len(starts))
    return ClassifiedField(
        galaxies=galaxies,
        too_small=found.too_small,
        fractions=fractions,
        findings=findings,
        paths=paths,
        files=(page, annotated, *sheets, catalogue),
    )


def run_field(
    rgb: UInt8[np.ndarray, "y x 3"],
    *,
    title: str,
    out: Path,
    model: str,
    min_radius: float,
    limit: int | None,
    views: int,
    catalogue_ending: str,
    overwrite: bool,
) -> None:
    """Classify a field with a saved model, showing progress, and print what was found and where it is."""
    from galvote.inference import Predictor

    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars = dict[str, TaskID]()

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done)

        classified = classify_field(
            rgb,
            Predictor.load(model),
            out,
            title=title,
            min_radius=min_radius,
            limit=limit,
            views=views,
            catalogue_ending=catalogue_ending,
            overwrite=overwrite,
            on_progress=show,
        )
    print_findings(classified, console)


def print_findings(classified: ClassifiedField, console: Console) -> None:
    """Print how many galaxies there are, the clearest of each kind, and where everything is written."""
    console.print(
        f"{len(classified.galaxies)} galaxies found and classified; "
        f"{classified.too_small} more are too small or faint for that."
    )
    if classified.galaxies:
        table = Table("", "number", "x", "y", "votes", "decision path", title="The clearest of each kind")
        for row in classified.clearest:
            galaxy, finding = classified.galaxies[row], classified.findings[row]
            table.add_row(
                f"[{finding.kind.colour}]{finding.kind.name}",
                f"{galaxy.number}",
                f"{galaxy.x:.0f}",
                f"{galaxy.y:.0f}",
                f"{finding.fraction:.0%}",
                classified.paths[row],
            )
        console.print(table)
    else:
        console.print("Nothing stands out from the sky: try a smaller --min-radius.")
    for path in classified.files:
        console.print(f"  {path}")


def _predict(
    rgb: UInt8[np.ndarray, "y x 3"],
    galaxies: Sequence[FieldGalaxy],
    predictor: FieldPredictor,
    views: int,
    on_progress: Callable[[str, int, int], None],
) -> Float32[np.ndarray, "galaxy answer"]:
    geometry = predictor.geometry
    fractions = np.empty((len(galaxies), len(GZ2)), np.float32)
    for start in range(0, len(galaxies), _BATCH):
        batch = galaxies[start : start + _BATCH]
        cutouts = np.stack([to_field_cutout(rgb, galaxy, geometry) for galaxy in batch])
        fractions[start : start + _BATCH] = predictor.predict_cutouts(cutouts, views=views)
        on_progress("predicting", start + len(batch), len(galaxies))
    return fractions


def _to_table(
    galaxies: Sequence[FieldGalaxy],
    fractions: Float32[np.ndarray, "galaxy answer"],
    findings: Sequence[Finding],
    paths: Sequence[str],
) -> pa.Table:
    flux = np.array([galaxy.flux for galaxy in galaxies], np.float64)
    columns = {
        "id": pa.array([str(galaxy.number) for galaxy in galaxies], pa.string()),
        **{
            name: pa.array([round(getattr(galaxy, name), 2) for galaxy in galaxies], pa.float64())
            for name in ("x", "y", "r90", "axis_ratio", "angle")
        },
        "flux": pa.array(flux.round()),
        "magnitude": pa.array((-2.5 * np.log10(flux)).round(3)),
        **{
            name: pa.array([getattr(galaxy, name) for galaxy in galaxies], pa.bool_())
            for name in ("touches_edge", "crowded")
        },
        "kind": pa.array([finding.kind.name for finding in findings], pa.string()),
        "path": pa.array(paths, pa.string()),
        **{column: pa.array(values) for column, values in zip(GZ2.columns, fractions.T, strict=True)},
    }
    table = pa.table(columns)
    schema = [
        describe(field, *_ABOUT[field.name]) if field.name in _ABOUT else field for field in table.schema
    ]
    return table.cast(describe_predictions(pa.schema(schema), GZ2))


def _mark(galaxy: FieldGalaxy, finding: Finding) -> Mark:
    return Mark(
        number=galaxy.number,
        label=finding.label,
        x=galaxy.x,
        y=galaxy.y,
        radius=_OUTLINE * galaxy.r90,
        axis_ratio=max(galaxy.axis_ratio, 0.35),
        angle=galaxy.angle,
        colour=finding.kind.colour,
    )


def _card(
    rgb: UInt8[np.ndarray, "y x 3"],
    galaxy: FieldGalaxy,
    fractions: Float32[np.ndarray, " answer"],
    finding: Finding,
    path: str,
) -> Card:
    picture = cut_out(rgb, galaxy, extent=_SHEET_EXTENT, least_pixels=_SHEET_PIXELS)
    notes = [
        note for note, true in (("at the edge", galaxy.touches_edge), ("crowded", galaxy.crowded)) if true
    ]
    return Card(
        number=galaxy.number,
        label=finding.label,
        colour=finding.kind.colour,
        cutout=to_cutout(picture, Geometry(extent=_SHEET_EXTENT, pixels=_SHEET_PIXELS), shown=_SHEET_EXTENT),
        path=path,
        bars=tuple((name, float(fractions[GZ2.columns.index(column)])) for name, column in _BARS),
        note=", ".join(notes),
    )
