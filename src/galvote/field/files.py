"""The files of a field: an annotated image, sheets of cutouts, a page, a catalogue."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from galvote.field.detect import cut_out
from galvote.field.field import OOD, Field
from galvote.images import Geometry
from galvote.inference import Prediction
from galvote.io import write_table
from galvote.io.atomic import refuse_existing, write_whole
from galvote.report.canvas import MUTED
from galvote.report.field_image import Mark, draw_field
from galvote.report.field_page import draw_field_page
from galvote.report.image_files import write_png
from galvote.report.sheet import CARDS_PER_SHEET, Bar, Card, draw_sheet
from galvote.trees.kinds import UNKNOWN

MAX_SHEETS = 10
"""Sheets of 40 galaxies that are drawn at most; the catalogue has all galaxies."""

SHEET = Geometry(field_of_view=4.0, pixels=160)
_BARS = 4  # fractions that a card shows
_OUTLINE = 1.7  # radii r90, so that the outline does not touch what it outlines


def refuse_taken(out: str | Path, ending: str = ".csv") -> None:
    """Raise `OutputError` if a folder has files that `write_field` would replace.

    Parameters
    ----------
    out
        The folder.
    ending
        Of the catalogue.

    Raises
    ------
    OutputError
        If there are any.
    """
    out = Path(out)
    refuse_existing(out / f"catalogue{ending}", out / "index.html", out / "annotated.png", *_sheets(out))


def write_field(
    field: Field,
    out: str | Path,
    *,
    ending: str = ".csv",
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, ...]:
    """Write a field to a folder: ``index.html``, ``annotated.png``, ``galaxies.png`` and the catalogue.

    Parameters
    ----------
    field
        The field.
    out
        Folder for the files; made if it does not exist.
    ending
        Of the catalogue: ``.csv``, ``.parquet``, ``.fits`` or ``.vot``.
    overwrite
        Replace the files of an earlier call, and remove its sheets and its catalogue of another format.
    on_progress
        Called with how many sheets are drawn, and their total.

    Returns
    -------
    tuple of Path
        The files; ``galaxies-2.png`` and so on among them if there are more than 40 galaxies.

    Raises
    ------
    OutputError
        If there are such files already, or the catalogue cannot be written.
    """
    out = Path(out)
    if not overwrite:
        refuse_taken(out, ending)
    page, annotated, catalogue = out / "index.html", out / "annotated.png", out / f"catalogue{ending}"
    earlier = _linked(page)
    write_table(field.to_arrow(), catalogue, overwrite=True)
    write_png(_annotate(field), annotated)
    rows = field.clearest_first[: CARDS_PER_SHEET * MAX_SHEETS]
    cards = [_card(field, row) for row in rows]
    write_whole(page, _page(field, cards[:CARDS_PER_SHEET], rows[:CARDS_PER_SHEET], catalogue.name))
    for path in (*_sheets(out), *(each for each in earlier if each != catalogue)):
        path.unlink(missing_ok=True)
    sheets = list[Path]()
    starts = range(0, len(cards), CARDS_PER_SHEET)
    for number, start in enumerate(starts, start=1):
        part = f" ({number} of {len(starts)})" if len(starts) > 1 else ""
        title = f"{_heading(field)}, the clearest of each kind first{part}"
        sheets.append(out / (f"galaxies-{number}.png" if number > 1 else "galaxies.png"))
        write_png(draw_sheet(cards[start : start + CARDS_PER_SHEET], title=title), sheets[-1])
        if on_progress is not None:
            on_progress(number, len(starts))
    return page, annotated, *sheets, catalogue


def _sheets(out: Path) -> list[Path]:
    return [out / "galaxies.png", *sorted(out.glob("galaxies-*.png"))]


def _linked(page: Path) -> list[Path]:
    """Return the catalogue that an earlier page links to, of whatever format."""
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    return [
        page.with_name(name) for name in re.findall(r'href="(catalogue\.(?:csv|parquet|fits|vot))"', text)
    ]


def _heading(field: Field) -> str:
    count = f"{len(field.galaxies)} galaxies"
    return f"{field.title}: {count}" if field.title else count


def _annotate(field: Field) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the image with its galaxies outlined and named, and a legend."""
    counts = field.counts
    kinds = [kind for kind in dict.fromkeys((*field.prediction.tree.kinds, *counts)) if counts[kind]]
    legend = [(f"{counts[kind]} {kind.name}", kind.colour) for kind in kinds if kind != UNKNOWN.kind]
    if any(field.ood):
        legend.append((f"dashed: {sum(field.ood)} {OOD}", MUTED))
    marks = list[Mark]()
    for row in field.clearest_first:
        galaxy, finding = field.galaxies[row], field.findings[row]
        marks.append(
            Mark(
                number=galaxy.number,
                label="" if field.ood[row] else finding.label,
                x=galaxy.x,
                y=galaxy.y,
                radius=_OUTLINE * galaxy.r90,
                axis_ratio=max(galaxy.axis_ratio, 0.35),
                angle=galaxy.angle,
                colour=finding.kind.colour,
                dashed=field.ood[row],
            )
        )
    return draw_field(field.image, marks, title=_heading(field), legend=legend)


def _page(field: Field, cards: list[Card], rows: Sequence[int], catalogue: str) -> str:
    shown = field.prediction[np.array(rows, np.intp)]
    found = f"{len(field.galaxies)} galaxies, and {field.too_small} too small or too faint to classify."
    return draw_field_page(
        cards,
        shown.fractions,
        shown.tree,
        shown.low,
        shown.high,
        title=field.title,
        found=f"{found} {field.describe_ood()}" if any(field.ood) else found,
        catalogue=catalogue,
    )


def _card(field: Field, row: int) -> Card:
    galaxy = field.galaxies[row]
    notes = {OOD: field.ood[row], "at the edge": galaxy.touches_edge, "crowded": galaxy.crowded}
    return make_card(
        field.prediction,
        row,
        number=galaxy.number,
        cutout=cut_out(field.image, galaxy, SHEET),
        note=", ".join(note for note, true in notes.items() if true),
    )


def make_card(
    prediction: Prediction, row: int, voted: Float[np.ndarray, " answer"] | None = None, **others: Any
) -> Card:
    """Return what a sheet shows of one galaxy of a prediction, beside what volunteers ``voted``."""
    tree, finding = prediction.tree, prediction.finding(row)
    known = prediction.fractions[row], *prediction.ends(row), voted
    numbers = np.array([np.full(len(tree), np.nan) if each is None else each for each in known]).T.tolist()
    bars = [Bar(label.replace("_", " "), *each) for label, each in zip(tree.labels, numbers, strict=True)]
    places = [tree.labels.index(label) for label in tree.highlights]
    largest = sorted(places, key=lambda place: -bars[place].fraction)[:_BARS]
    return Card(
        label=finding.label,
        colour=finding.kind.colour,
        path=prediction.headline(row),
        bars=tuple(bars[place] for place in places if place in largest),
        bold=finding != UNKNOWN,
        **others,
    )
