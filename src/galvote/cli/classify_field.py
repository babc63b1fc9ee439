"""What `galvote field` and `galvote demo` do: find a field's galaxies, classify them, show the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, UInt8
from rich.console import Console
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from galvote.catalogue import write_table
from galvote.catalogue.columns import describe_predictions
from galvote.catalogue.tables import describe
from galvote.cli.progress import plain_console, progress_bar
from galvote.errors import GalvoteError
from galvote.evaluation import Calibration
from galvote.evaluation.field_page import draw_field_page
from galvote.evaluation.findings import KINDS, Finding, name_kind, strongest_first
from galvote.evaluation.pictures import CARDS_PER_SHEET, MUTED, Card, Mark, draw_field, draw_sheet, write_png
from galvote.evaluation.report import write_page
from galvote.images import Geometry, to_cutout
from galvote.images.field import FieldGalaxy, cut_out, find_galaxies, to_field_cutout
from galvote.inference import LEVEL, Predictor
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
_UNLIKE = "unlike the training galaxies"
_OUTLINE = 1.7  # radii r90, so that the outline does not touch what it outlines


@runtime_checkable
class FieldPredictor(Protocol):
    """What a predictor must offer: `galvote.inference.Predictor` does."""

    @property
    def geometry(self) -> Geometry:
        """The cutouts that it takes."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """What gives intervals and the flag, if it is calibrated."""
        ...

    def predict_features(
        self, cutouts: UInt8[np.ndarray, "galaxy p p 3"], views: int = 1
    ) -> tuple[Float32[np.ndarray, "galaxy answer"], Float32[np.ndarray, "galaxy feature"]]:
        """Return cumulative fractions, in the order of the Galaxy Zoo 2 tree's columns, and features."""
        ...


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a model says of a field's galaxies, in their order.

    Parameters
    ----------
    fractions
        Cumulative vote fractions in [0, 1], in the tree's order.
    low, high
        Ends of their intervals; None if the model is not calibrated.
    unlike
        Which galaxies are unlike those of the training; None if the model is not calibrated.
    """

    fractions: Float32[np.ndarray, "galaxy answer"]
    low: Float32[np.ndarray, "galaxy answer"] | None
    high: Float32[np.ndarray, "galaxy answer"] | None
    unlike: Bool[np.ndarray, " galaxy"] | None

    @property
    def flags(self) -> tuple[bool, ...]:
        """Whether each galaxy is known to be unlike those of the training."""
        return (False,) * len(self.fractions) if self.unlike is None else tuple(map(bool, self.unlike))


@dataclass(frozen=True)
class ClassifiedField:
    """The galaxies of a field, what they are, and where that is written.

    Parameters
    ----------
    galaxies
        Brightest first.
    too_small
        How many more things were found that are too small or faint to classify.
    predicted
        What the model says of each galaxy.
    findings
        The kind of each galaxy.
    paths
        The decision path of each galaxy in words.
    files
        What was written.
    """

    galaxies: tuple[FieldGalaxy, ...]
    too_small: int
    predicted: Predicted
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
    level: float = LEVEL,
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
    level
        Share of the votes that the intervals of a calibrated model are to hold, in (0, 1).
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
    predicted = _predict(rgb, galaxies, predictor, views, level, on_progress)
    fractions, flags = predicted.fractions, predicted.flags
    findings = tuple(name_kind(GZ2, row) for row in fractions)
    paths = tuple(describe_path(decision_path(GZ2, row)) for row in fractions)

    write_table(_to_table(galaxies, predicted, findings, paths), catalogue, overwrite=True)
    order = strongest_first(findings)
    said = f"{title}: {len(galaxies)} galaxies" if title else f"{len(galaxies)} galaxies"
    counts = Counter(finding.kind for finding in findings)
    legend = [(f"{counts[kind]} {kind.name}", kind.colour) for kind in KINDS if counts[kind]]
    if any(flags):
        legend.append((f"dashed: {sum(flags)} {_UNLIKE}", MUTED))
    marks = [_mark(galaxies[row], findings[row], flags[row]) for row in order]
    write_png(draw_field(rgb, marks, title=said, legend=legend), annotated)

    drawn = order[: CARDS_PER_SHEET * MAX_SHEETS]
    cards = [
        _card(rgb, galaxies[row], fractions[row], findings[row], paths[row], flags[row]) for row in drawn
    ]
    told = list(drawn[:CARDS_PER_SHEET])
    write_page(
        page,
        draw_field_page(
            cards[:CARDS_PER_SHEET],
            fractions[told],
            GZ2,
            None if predicted.low is None else predicted.low[told],
            None if predicted.high is None else predicted.high[told],
            title=title,
            found=f"{len(galaxies)} galaxies, and {found.too_small} too small or faint to classify."
            + (f" {_say_flagged(predicted)}" if any(flags) else ""),
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
        predicted=predicted,
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
    backend: str | None,
    level: float | None,
    min_radius: float,
    limit: int | None,
    views: int,
    catalogue_ending: str,
    overwrite: bool,
) -> None:
    """Classify a field with a saved model, showing progress, and print what was found and where it is."""
    console = plain_console()
    predictor = Predictor.load(model, backend)
    if level is not None:
        predictor.check_level(level)
    with progress_bar(plain_console(stderr=True)) as progress:
        bars = dict[str, TaskID]()

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done)

        classified = classify_field(
            rgb,
            predictor,
            out,
            title=title,
            min_radius=min_radius,
            limit=limit,
            views=views,
            level=LEVEL if level is None else level,
            catalogue_ending=catalogue_ending,
            overwrite=overwrite,
            on_progress=show,
        )
    print_findings(classified, console)


def print_findings(classified: ClassifiedField, console: Console) -> None:
    """Print how many galaxies there are and are flagged, the clearest of each kind, and what is written."""
    console.print(
        f"{len(classified.galaxies)} galaxies found and classified; "
        f"{classified.too_small} more are too small or faint for that."
    )
    flags = classified.predicted.flags
    if classified.galaxies:
        if classified.predicted.unlike is not None:
            console.print(_say_flagged(classified.predicted))
        headings = ("", "number", "x", "y", "votes", "decision path", *(("flag",) if any(flags) else ()))
        table = Table(*headings, title="The clearest of each kind")
        for row in classified.clearest:
            galaxy, finding = classified.galaxies[row], classified.findings[row]
            table.add_row(
                Text(finding.kind.name, finding.kind.colour),
                f"{galaxy.number}",
                f"{galaxy.x:.0f}",
                f"{galaxy.y:.0f}",
                f"{finding.fraction:.0%}",
                classified.paths[row],
                *(("unlike" if flags[row] else "",) if any(flags) else ()),
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
    level: float,
    on_progress: Callable[[str, int, int], None],
) -> Predicted:
    geometry, calibration = predictor.geometry, predictor.calibration
    fractions = np.empty((len(galaxies), len(GZ2)), np.float32)
    unlike = np.empty(len(galaxies), np.bool_)
    for start in range(0, len(galaxies), _BATCH):
        batch = galaxies[start : start + _BATCH]
        part = slice(start, start + len(batch))
        cutouts = np.stack([to_field_cutout(rgb, galaxy, geometry) for galaxy in batch])
        fractions[part], features = predictor.predict_features(cutouts, views)
        if calibration:
            unlike[part] = calibration.unlikeness.flag(features)
        on_progress("predicting", part.stop, len(galaxies))
    if calibration is None:
        return Predicted(fractions, None, None, None)
    return Predicted(fractions, *calibration.intervals.ends(fractions, level), unlike)


def _say_flagged(predicted: Predicted) -> str:
    return (
        f"{sum(predicted.flags)} of the {len(predicted.flags)} galaxies are {_UNLIKE}: intervals promise "
        "nothing there."
    )


def _to_table(
    galaxies: Sequence[FieldGalaxy],
    predicted: Predicted,
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
        **({} if predicted.unlike is None else {"unlike": pa.array(predicted.unlike)}),
        **{name: pa.array(values) for name, values in zip(GZ2.columns, predicted.fractions.T, strict=True)},
    }
    if predicted.low is not None and predicted.high is not None:
        for name, low, high in zip(GZ2.columns, predicted.low.T, predicted.high.T, strict=True):
            columns |= {f"{name}_low": pa.array(low), f"{name}_high": pa.array(high)}
    table = pa.table(columns)
    schema = [
        describe(field, *_ABOUT[field.name]) if field.name in _ABOUT else field for field in table.schema
    ]
    return table.cast(describe_predictions(pa.schema(schema), GZ2))


def _mark(galaxy: FieldGalaxy, finding: Finding, unlike: bool) -> Mark:
    return Mark(
        number=galaxy.number,
        label=finding.label,
        x=galaxy.x,
        y=galaxy.y,
        radius=_OUTLINE * galaxy.r90,
        axis_ratio=max(galaxy.axis_ratio, 0.35),
        angle=galaxy.angle,
        colour=finding.kind.colour,
        dashed=unlike,
    )


def _card(
    rgb: UInt8[np.ndarray, "y x 3"],
    galaxy: FieldGalaxy,
    fractions: Float32[np.ndarray, " answer"],
    finding: Finding,
    path: str,
    unlike: bool,
) -> Card:
    picture = cut_out(rgb, galaxy, extent=_SHEET_EXTENT, least_pixels=_SHEET_PIXELS)
    notes = {_UNLIKE: unlike, "at the edge": galaxy.touches_edge, "crowded": galaxy.crowded}
    return Card(
        number=galaxy.number,
        label=finding.label,
        colour=finding.kind.colour,
        cutout=to_cutout(picture, Geometry(extent=_SHEET_EXTENT, pixels=_SHEET_PIXELS), shown=_SHEET_EXTENT),
        path=path,
        bars=tuple((name, float(fractions[GZ2.columns.index(column)])) for name, column in _BARS),
        note=", ".join(note for note, true in notes.items() if true),
    )
