"""The files in which a field's galaxies are shown: the picture, sheets of cutouts, a page, a catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from galvote.field.catalogue import to_catalogue
from galvote.field.detect import cut_out
from galvote.field.findings import OOD, ClassifiedField
from galvote.images import Geometry
from galvote.images.measure import FieldGalaxy
from galvote.io import write_table
from galvote.io.atomic import refuse_existing, write_whole
from galvote.report.canvas import MUTED
from galvote.report.field_image import Mark, draw_field
from galvote.report.field_page import draw_field_page
from galvote.report.image_files import write_png
from galvote.report.sheet import CARDS_PER_SHEET, Card, draw_sheet
from galvote.trees.kinds import Finding

MAX_SHEETS = 10
"""Sheets of 40 galaxies that are drawn at most; the catalogue has all galaxies."""

_SHEET = Geometry(field_of_view=4.0, pixels=160)
_OUTLINE = 1.7  # radii r90, so that the outline does not touch what it outlines


class FieldFiles:
    """The files of one field in a folder.

    Parameters
    ----------
    out
        The folder.
    catalogue_ending
        ``.csv``, ``.parquet``, ``.fits`` or ``.vot``.
    """

    def __init__(self, out: Path, catalogue_ending: str) -> None:
        self.catalogue = out / f"catalogue{catalogue_ending}"
        self.page, self.annotated = out / "index.html", out / "annotated.png"
        self._out = out

    def refuse_taken(self) -> None:
        """Raise `OutputError` if an earlier run's files are there."""
        fixed = (self.catalogue, self.page, self.annotated)
        refuse_existing(*fixed, *self._sheets())

    def write(
        self,
        rgb: UInt8[np.ndarray, "y x 3"],
        field: ClassifiedField,
        on_progress: Callable[[str, int, int], None],
    ) -> tuple[Path, ...]:
        """Write all of them, replacing those of an earlier run, and return them."""
        write_table(to_catalogue(field), self.catalogue, overwrite=True)
        self._draw_field(rgb, field)
        drawn = field.clearest_first[: CARDS_PER_SHEET * MAX_SHEETS]
        cards = [_card(rgb, field, row) for row in drawn]
        self._write_page(field, cards[:CARDS_PER_SHEET], drawn[:CARDS_PER_SHEET])
        sheets = self._draw_sheets(field, cards, on_progress)
        return self.page, self.annotated, *sheets, self.catalogue

    def _sheets(self) -> list[Path]:
        return [self._out / "galaxies.png", *sorted(self._out.glob("galaxies-*.png"))]

    def _draw_field(self, rgb: UInt8[np.ndarray, "y x 3"], field: ClassifiedField) -> None:
        legend = [
            (f"{field.counts[kind]} {kind.name}", kind.colour) for kind in field.kinds if field.counts[kind]
        ]
        if any(field.flags):
            legend.append((f"dashed: {sum(field.flags)} {OOD}", MUTED))
        marks = [
            _mark(field.galaxies[row], field.findings[row], field.flags[row]) for row in field.clearest_first
        ]
        write_png(draw_field(rgb, marks, title=_heading(field), legend=legend), self.annotated)

    def _write_page(self, field: ClassifiedField, cards: list[Card], rows: tuple[int, ...]) -> None:
        told, predicted = list(rows), field.predicted
        found = f"{len(field.galaxies)} galaxies, and {field.too_small} too small or faint to classify."
        write_whole(
            self.page,
            draw_field_page(
                cards,
                predicted.fractions[told],
                field.tree,
                None if predicted.low is None else predicted.low[told],
                None if predicted.high is None else predicted.high[told],
                title=field.title,
                found=f"{found} {field.say_flagged()}" if any(field.flags) else found,
                catalogue=self.catalogue.name,
            ),
        )

    def _draw_sheets(
        self, field: ClassifiedField, cards: list[Card], on_progress: Callable[[str, int, int], None]
    ) -> list[Path]:
        for path in self._sheets():
            path.unlink(missing_ok=True)
        starts = range(0, len(cards), CARDS_PER_SHEET)
        sheets = list[Path]()
        for number, start in enumerate(starts, start=1):
            part = f" ({number} of {len(starts)})" if len(starts) > 1 else ""
            heading = f"{_heading(field)}, the clearest of each kind first{part}"
            sheets.append(self._out / (f"galaxies-{number}.png" if number > 1 else "galaxies.png"))
            write_png(draw_sheet(cards[start : start + CARDS_PER_SHEET], title=heading), sheets[-1])
            on_progress("drawing", number, len(starts))
        return sheets


def _heading(field: ClassifiedField) -> str:
    count = f"{len(field.galaxies)} galaxies"
    return f"{field.title}: {count}" if field.title else count


def _mark(galaxy: FieldGalaxy, finding: Finding, ood: bool) -> Mark:
    return Mark(
        number=galaxy.number,
        label=finding.label,
        x=galaxy.x,
        y=galaxy.y,
        radius=_OUTLINE * galaxy.r90,
        axis_ratio=max(galaxy.axis_ratio, 0.35),
        angle=galaxy.angle,
        colour=finding.kind.colour,
        dashed=ood,
    )


def _card(rgb: UInt8[np.ndarray, "y x 3"], field: ClassifiedField, row: int) -> Card:
    galaxy, finding, fractions = field.galaxies[row], field.findings[row], field.predicted.fractions[row]
    notes = {OOD: field.flags[row], "at the edge": galaxy.touches_edge, "crowded": galaxy.crowded}
    return Card(
        number=galaxy.number,
        label=finding.label,
        colour=finding.kind.colour,
        cutout=cut_out(rgb, galaxy, _SHEET),
        path=field.paths[row],
        bars=tuple((name, float(fractions[field.tree.labels.index(name)])) for name in field.tree.highlights),
        note=", ".join(note for note, true in notes.items() if true),
    )
