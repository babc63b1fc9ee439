"""Sheets of galaxies: each with its cutout, its decision path and a few of its fractions."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from galvote.report.canvas import FAINT, INK, MUTED, WARNING, new_canvas, to_pixels

CARDS_PER_SHEET = 40

_WIDTH, _HEIGHT, _COLUMNS, _TITLE = 480, 176, 4, 84  # of a card and of the title above all, in pixels
_SMALL: dict[str, Any] = {"fontsize": 7.8, "va": "center"}
_LETTERS, _NAME = 46, 12  # letters in a line of a path, and before a bar


@dataclass(frozen=True)
class Bar:
    """A fraction in [0, 1] with its interval, and what volunteers voted; NaN where unknown."""

    name: str
    fraction: float
    low: float = math.nan
    high: float = math.nan
    voted: float = math.nan


@dataclass(frozen=True)
class Card:
    """What a sheet shows of one galaxy."""

    number: int  # as in its `Mark`
    label: str  # its kind and fraction
    colour: str  # of the label
    cutout: UInt8[np.ndarray, "p p 3"]
    path: str  # its decision path in words
    bars: tuple[Bar, ...]  # four or fewer
    note: str = ""  # what to beware of
    volunteers: str = ""  # kind and fraction by their votes
    bold: bool = True  # whether the label is


def draw_sheet(cards: Sequence[Card], *, title: str) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a sheet of up to 40 galaxies, in rows of four."""
    if not 0 < len(cards) <= CARDS_PER_SHEET:
        raise ValueError(f"{len(cards)} cards; a sheet holds 1 to {CARDS_PER_SHEET}.")
    columns = min(_COLUMNS, len(cards))
    axes = new_canvas(max(columns * _WIDTH + 40, 700), _TITLE + -(-len(cards) // columns) * _HEIGHT + 20)
    axes.text(24, _TITLE / 2, title, color=INK, fontsize=15, fontweight="bold", va="center")
    for place, card in enumerate(cards):
        row, column = divmod(place, columns)
        _draw_card(axes, card, 24 + column * _WIDTH, _TITLE + row * _HEIGHT)
    return to_pixels(axes)


def _draw_card(axes: Axes, card: Card, left: int, top: int) -> None:
    size = _HEIGHT - 16
    axes.imshow(
        card.cutout, extent=(left, left + size, top + size, top), interpolation="bicubic", aspect="auto"
    )
    axes.add_patch(Rectangle((left, top), size, size, fill=False, edgecolor=FAINT, linewidth=1))
    left += size + 14
    axes.text(left, top + 14, f"{card.number}", color=MUTED, fontsize=11, va="center")
    weight = "bold" if card.bold else "normal"
    axes.text(left + 38, top + 14, card.label, color=card.colour, fontsize=12, fontweight=weight, va="center")
    if card.note or card.volunteers:
        words, colour = (card.note, WARNING) if card.note else (f"volunteers: {card.volunteers}", MUTED)
        axes.text(left, top + 28, words, color=colour, fontsize=7, va="top")
    lines = textwrap.wrap(card.path, _LETTERS)
    if len(lines) > 3:
        lines = [*lines[:2], textwrap.shorten(" ".join(lines[2:]), _LETTERS, placeholder=" …")]
    below = top + (43 if card.note or card.volunteers else 32)
    axes.text(left, below, "\n".join(lines), color=INK, fontsize=7.8, va="top", linespacing=1.35)
    for line, bar in enumerate(reversed(card.bars)):
        _draw_bar(axes, bar, card.colour, left, top + size - 8 - 17 * line)


def _draw_bar(axes: Axes, bar: Bar, colour: str, left: int, y: int) -> None:
    room, start = _WIDTH - _HEIGHT - 24, left + 74
    longest = room - 74 - 34
    words = bar.name if len(bar.name) <= _NAME else f"{bar.name[: _NAME - 1]}…"
    axes.text(left, y, words, color=MUTED, **_SMALL)
    axes.text(left + room, y, f"{bar.fraction:.2f}", color=MUTED, ha="right", **_SMALL)
    for length, shade in ((longest, FAINT), (longest * min(max(bar.fraction, 0), 1), colour)):
        axes.add_patch(Rectangle((start, y - 4), length, 8, color=shade, linewidth=0))
    # matplotlib draws nothing where a number is NaN.
    axes.plot([start + longest * end for end in (bar.low, bar.high)], [y, y], color=INK, linewidth=1)
    axes.plot([start + longest * bar.voted], [y], "|", color=INK, markersize=8, markeredgewidth=2)
