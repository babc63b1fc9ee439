"""The decision tree as a drawing, with one galaxy's votes flowing down it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from galvote.errors import FractionError
from galvote.trees import Answer, DecisionTree, Question, asked_share, decision_path, describe_path

WIDE, NARROW = 820, 336
"""Widths in pixels for a desktop's column and for a phone. Letters are as large in both."""

_LETTER = 0.53  # mean width of a letter, in sizes of the type
_LEAST_BAND = 0.8  # pixels, so that few votes are seen to be some
_BAR = 6  # pixels, height of a question's bar


def draw_tree(
    tree: DecisionTree,
    fractions: Float[np.ndarray, " answer"],
    low: Float[np.ndarray, " answer"] | None = None,
    high: Float[np.ndarray, " answer"] | None = None,
    *,
    voted: Float[np.ndarray, " answer"] | None = None,
    width: int = WIDE,
) -> str:
    """Draw the tree from the top down, its questions as bars and its answers as bands of votes.

    The width of a bar or a band is the share of all volunteers. Under each answer stand its fraction and its
    interval, in numbers and on a scale from 0 to 1. The bands of the decision path are of the class
    ``likely``; colours are the style sheet's (`galvote.report.style.style_sheet`).

    Parameters
    ----------
    fractions
        One galaxy's cumulative fractions in [0, 1], in ``tree.columns`` order; NaN where unknown.
    low, high
        The ends of their intervals; drawn if both are given.
    voted
        What volunteers voted, marked on each scale.
    width
        In pixels. A drawing becomes wider if the answers of one question need more.

    Returns
    -------
    An ``<svg>`` element without any style of its own. Answers are groups of the class ``answer`` with
    ``data-question`` and ``data-answer`` (the column); bands have ``data-answer``, too.

    Raises
    ------
    FractionError
        If there are not as many fractions as the tree has answers.
    """
    for given in (fractions, low, high, voted):
        if given is not None and given.shape != (len(tree),):
            raise FractionError(
                f"The tree {tree.name!r} has {len(tree)} answers, so a drawing needs as many fractions, not "
                f"{given.shape}."
            )
    return _Drawing(tree, fractions, low, high, voted, width).svg()


@dataclass(frozen=True)
class _Look:
    """Sizes in pixels, and letters in a line."""

    text: float
    number: float
    answer_letters: int
    question_letters: int
    spacious: bool  # whole questions, and intervals beside the fractions rather than under them
    scale: float  # length of the scale from 0 to 1
    band: float  # all votes, where there is room for them
    fan: float
    flow: float
    gap: float

    @classmethod
    def of(cls, width: int) -> _Look:
        if width >= 600:
            return cls(13.0, 12.0, 18, 36, True, 58.0, 0.2 * width, 24.0, 26.0, 16.0)
        return cls(11.0, 10.5, 7, 24, False, 30.0, 0.2 * width, 18.0, 18.0, 4.0)

    @property
    def line(self) -> float:
        return self.text + 3


_Key = tuple[str, str]
"""Where bands come from and where they lead to; the first is empty for those that meet at their question."""


@dataclass
class _Slot:
    """One answer: its words, the votes it has, and where it stands under its question."""

    answer: Answer
    column: int
    share: float
    words: list[str]
    least: float  # width of its words, numbers and scale
    width: float = 0.0
    centre: float = 0.0


@dataclass
class _Place:
    """What takes room in a row: a question with its answers, or a lane of bands on their way further down."""

    key: _Key
    share: float
    question: Question | None = None
    heading: list[str] = field(default_factory=list)
    slots: list[_Slot] = field(default_factory=list)
    width: float = 0.0
    left: float = 0.0

    @property
    def centre(self) -> float:
        return self.left + self.width / 2


@dataclass(frozen=True)
class _Top:
    """Heights in a row: where it starts, its bars, its answers, their numbers, their scales, and its end."""

    row: float
    bar: float
    answers: float
    numbers: float
    scale: float
    end: float


@dataclass
class _Band:
    """The votes of one answer on their way: left edges at some heights, from the top down."""

    slot: _Slot
    points: list[tuple[float, float]]


class _Drawing:
    def __init__(
        self,
        tree: DecisionTree,
        fractions: Float[np.ndarray, " answer"],
        low: Float[np.ndarray, " answer"] | None,
        high: Float[np.ndarray, " answer"] | None,
        voted: Float[np.ndarray, " answer"] | None,
        width: int,
    ) -> None:
        self.tree, self.look, self.width = tree, _Look.of(width), width
        self.fractions, self.voted = _numbers(tree, fractions), _numbers(tree, voted)
        self.low, self.high = _numbers(tree, low), _numbers(tree, high)
        self.shares = np.nan_to_num(np.asarray(fractions, np.float64)).clip(0, 1)
        self.asked = asked_share(tree, self.shares[None])[0].clip(0, 1)
        self.path = decision_path(tree, fractions)
        self.likely = {step.answer.column for step in self.path}
        self.depths = _depths(tree)
        self.rows = self._rows()
        self.unit = self._fit()  # pixels for all votes
        self._arrange()
        self.tops = self._heights()

    def svg(self) -> str:
        bands = self._bands()
        drawn = [self._draw_band(band) for band in bands if band.slot.answer.column not in self.likely]
        drawn += [self._draw_band(band) for band in bands if band.slot.answer.column in self.likely]
        for row, top in zip(self.rows, self.tops, strict=True):
            for place in row:
                if place.question is not None:
                    drawn.append(self._draw_question(place, place.question, top))
        said = ", ".join(f"{step.answer.phrase} ({step.fraction:.0%} of those asked)" for step in self.path)
        label = f"Votes down the decision tree. Most likely: {describe_path(self.path) or 'unknown'}"
        height = self.tops[-1].end + 4
        return (
            f'<svg class="tree" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} '
            f'{height:.0f}" width="{self.width}" height="{height:.0f}" role="img" '
            f'aria-label="{escape(label)}" text-anchor="middle" font-size="{self.look.text:g}">'
            f"<desc>The widest flow: {escape(said or 'unknown')}.</desc>{''.join(drawn)}</svg>"
        )

    def _rows(self) -> list[list[_Place]]:
        """Sort questions and lanes into rows by depth, each row ordered as what leads to it."""
        rows = [[self._question(self.tree.questions[0])]]
        for row in range(1, max(self.depths.values()) + 1):
            positions, votes = dict[_Key, list[int]](), dict[_Key, float]()
            for position, (key, share) in enumerate(
                leaving for place in rows[-1] for leaving in self._leaving(place, row)
            ):
                positions.setdefault(key, []).append(position)
                votes[key] = votes.get(key, 0.0) + share
            order = sorted(positions, key=lambda key: float(np.mean(positions[key])))
            rows.append(
                [
                    _Place(key, votes[key]) if key[0] else self._question(self.tree.question(key[1]))
                    for key in order
                ]
            )
        return rows

    def _leaving(self, place: _Place, next_row: int) -> Iterator[tuple[_Key, float]]:
        """Yield where bands that leave a place go in the next row, and their votes, from the left."""
        if place.question is None:
            yield self._key(*place.key, next_row), place.share
        for slot in place.slots:
            if slot.answer.leads_to is not None:
                yield self._key(place.key[1], slot.answer.leads_to, next_row), slot.share

    def _key(self, source: str, target: str, row: int) -> _Key:
        return ("" if self.depths[target] == row else source, target)

    def _question(self, question: Question) -> _Place:
        look, first = self.look, self.tree.slices[question.name].start
        words = question.text if look.spacious else question.name.replace("_", " ")
        return _Place(
            key=("", question.name),
            share=float(self.asked[self.tree.questions.index(question)]),
            question=question,
            heading=textwrap.wrap(words, look.question_letters, break_long_words=False),
            slots=[self._slot(answer, column) for column, answer in enumerate(question.answers, start=first)],
        )

    def _slot(self, answer: Answer, column: int) -> _Slot:
        look = self.look
        words = textwrap.wrap(answer.text, look.answer_letters, break_long_words=False)
        value, ends = _percent(self.fractions[column]), self._ends(column)
        numbers = f"{value}  {ends}" if look.spacious else max(value, ends, key=len)
        letters = max(max(map(len, words), default=0) * look.text, len(numbers) * look.number)
        return _Slot(
            answer, column, float(self.shares[column]), words, max(_LETTER * letters, look.scale + 4)
        )

    def _fit(self) -> float:
        """Return how wide a band of all votes may be, and set the width of every place."""
        unit = self.look.band
        while (needed := max(self._measure(row, unit) for row in self.rows)) > self.width:
            if unit < self.look.band / 2:
                self.width = math.ceil(needed)
                break
            unit *= 0.95
        return unit

    def _measure(self, row: Sequence[_Place], unit: float) -> float:
        """Set the width of a row's places for bands of such a width, and return that of the row."""
        look = self.look
        for place in row:
            for slot in place.slots:
                slot.width = max(slot.least, slot.share * unit)
            heading = max(map(len, place.heading), default=0) * _LETTER * look.text
            place.width = max(self._answers_width(place), heading, place.share * unit, 2.0)
        return sum(place.width for place in row) + look.gap * (len(row) + 1)

    def _answers_width(self, place: _Place) -> float:
        return sum(slot.width for slot in place.slots) + self.look.gap * (len(place.slots) - 1)

    def _arrange(self) -> None:
        """Put each place under what leads to it, as far as its neighbours leave room."""
        centres = {self.rows[0][0].key: [self.width / 2]}
        for next_row, row in enumerate(self.rows, start=1):
            self._spread(row, [float(np.mean(centres[place.key])) - place.width / 2 for place in row])
            centres = {}
            for place in row:
                left = place.centre - self._answers_width(place) / 2
                for slot in place.slots:
                    slot.centre = left + slot.width / 2
                    left += slot.width + self.look.gap
                    if (target := slot.answer.leads_to) is not None:
                        centres.setdefault(self._key(place.key[1], target, next_row), []).append(slot.centre)
                if place.question is None:
                    centres.setdefault(self._key(*place.key, next_row), []).append(place.centre)

    def _spread(self, row: Sequence[_Place], wanted: Sequence[float]) -> None:
        gap = self.look.gap
        edge = gap
        for place, left in zip(row, wanted, strict=True):
            place.left = max(left, edge)
            edge = place.left + place.width + gap
        edge = self.width - gap
        for place in reversed(row):
            place.left = min(place.left, edge - place.width)
            edge = place.left - gap

    def _heights(self) -> list[_Top]:
        look, tops, y = self.look, list[_Top](), 4.0
        for row in self.rows:
            bar = y + look.line * max(len(place.heading) for place in row) + 5
            answers = bar + _BAR + look.fan
            numbers = answers + look.line * max(len(slot.words) for place in row for slot in place.slots)
            scale = numbers + look.line * (1 if look.spacious else 2) + 9
            tops.append(_Top(y, bar, answers, numbers, scale, scale + 7))
            y = scale + 7 + look.flow
        return tops

    def _bands(self) -> list[_Band]:
        """Lead each answer's votes from its question's bar to that of the next, through the lanes between."""
        all_bands, coming = list[_Band](), dict[_Key, list[_Band]]()
        for next_row, (row, top) in enumerate(zip(self.rows, self.tops, strict=True), start=1):
            leaving = dict[_Key, list[_Band]]()
            for place in row:
                bands, start = coming.get(place.key, []), place.centre - self.unit * place.share / 2
                left = start
                for band in sorted(bands, key=lambda band: band.points[-1][0]):
                    # Through a lane, or down to the question's bar
                    band.points += [(left, top.row), (left, top.end)] if place.key[0] else [(left, top.bar)]
                    left += self.unit * band.slot.share
                if place.question is None:
                    leaving.setdefault(self._key(*place.key, next_row), []).extend(bands)
                left = start
                for slot in place.slots:
                    own = slot.centre - self.unit * slot.share / 2
                    band = _Band(slot, [(left, top.bar + _BAR), (own, top.answers), (own, top.end)])
                    left += self.unit * slot.share
                    all_bands.append(band)
                    if (target := slot.answer.leads_to) is not None:
                        leaving.setdefault(self._key(place.key[1], target, next_row), []).append(band)
            coming = leaving
        return all_bands

    def _draw_band(self, band: _Band) -> str:
        column, share = band.slot.answer.column, band.slot.share
        if not share > 0:
            return ""
        across = max(self.unit * share, _LEAST_BAND)
        down, up = _curve(band.points), _curve([(x + across, y) for x, y in reversed(band.points)])
        return f'<path class="band{self._mark(column)}" data-answer="{escape(column)}" d="M{down}L{up}Z"/>'

    def _draw_question(self, place: _Place, question: Question, top: _Top) -> str:
        across = max(self.unit * place.share, 2.0)
        likely = " likely" if question in [step.question for step in self.path] else ""
        first = -7 - self.look.line * (len(place.heading) - 1)
        return (
            f'<g class="question{likely}" transform="translate({place.centre:.1f} {top.bar:.1f})">'
            f"<title>{escape(question.text)}</title>"
            f'<rect class="asked" x="{-across / 2:.1f}" width="{across:.1f}" height="{_BAR}"/>'
            f"{_lines(place.heading, first, self.look.line)}</g>"
            + "".join(self._draw_answer(slot, question, top) for slot in place.slots)
        )

    def _draw_answer(self, slot: _Slot, question: Question, top: _Top) -> str:
        look, column = self.look, slot.answer.column
        return (
            f'<g class="answer{self._mark(column)}" data-question="{escape(question.name)}" '
            f'data-answer="{escape(column)}" transform="translate({slot.centre:.1f} {top.answers:.1f})">'
            f"<title>{escape(self._said(slot))}</title>"
            f'<rect class="reach" x="{-slot.width / 2 - 2:.1f}" y="-2" width="{slot.width + 4:.1f}" '
            f'height="{top.end - top.answers + 2:.1f}" rx="4" fill="none" pointer-events="all"/>'
            f"{_lines(slot.words, look.text, look.line)}"
            f"{self._draw_numbers(slot.column, top.numbers - top.answers + look.text - 1)}"
            f"{self._draw_scale(slot.column, top.scale - top.answers)}</g>"
        )

    def _draw_numbers(self, column: int, y: float) -> str:
        value, ends = escape(_percent(self.fractions[column])), self._ends(column)
        size, below = self.look.number, y + self.look.line - 1
        if self.look.spacious:
            ends = ends and f'<tspan class="ends" dx="5">{ends}</tspan>'
            return f'<text class="number" font-size="{size:g}" y="{y:.1f}">{value}{ends}</text>'
        ends = ends and f'<text class="number ends" font-size="{size:g}" y="{below:.1f}">{ends}</text>'
        return f'<text class="number" font-size="{size:g}" y="{y:.1f}">{value}</text>{ends}'

    def _draw_scale(self, column: int, y: float) -> str:
        """Draw fraction, interval and votes on a line from 0 to 1."""
        long = self.look.scale

        def line(kind: str, start: float, end: float, half: float = 0.0) -> str:
            x, to_x = (long * (share - 0.5) for share in (start, end))
            return (
                f'<line class="{kind}" x1="{x:.1f}" x2="{to_x:.1f}" y1="{y - half:.1f}" y2="{y + half:.1f}"/>'
            )

        marks = line("scale", 0.0, 1.0)
        if self._ends(column):
            marks += line("interval", self.low[column], self.high[column])
        if math.isfinite(self.fractions[column]):
            x = long * (self.shares[column] - 0.5)
            marks += f'<circle class="fraction" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
        if math.isfinite(self.voted[column]):
            marks += line("voted", self.voted[column], self.voted[column], 5.0)
        return marks

    def _mark(self, column: str) -> str:
        return " likely" if column in self.likely else ""

    def _ends(self, column: int) -> str:
        """Return an interval in per cent, empty if there is none."""
        low, high = self.low[column], self.high[column]
        return f"{100 * low:.0f}–{100 * high:.0f}" if math.isfinite(low + high) else ""

    def _said(self, slot: _Slot) -> str:
        """Say an answer in words, for those who point at it or do not see it."""
        said, column = f"{slot.answer.text}: ", slot.column
        if not math.isfinite(self.fractions[column]):
            return said + "unknown"
        said += f"{_percent(self.fractions[column])} of all volunteers"
        if self._ends(column):
            said += f", interval {self.low[column]:.0%} to {self.high[column]:.0%}"
        if math.isfinite(self.voted[column]):
            said += f"; {_percent(self.voted[column])} voted so"
        return said


def _numbers(tree: DecisionTree, values: Float[np.ndarray, " answer"] | None) -> list[float]:
    """Return values as Python's own numbers, which are quick to write; NaN if there are none."""
    return [math.nan] * len(tree) if values is None else [float(value) for value in values]


def _depths(tree: DecisionTree) -> dict[str, int]:
    """Return how many questions may come before each one, by its name."""
    depth = {question.name: 0 for question in tree.questions}
    for question in tree.asking_order:
        for answer in question.answers:
            if answer.leads_to is not None:
                depth[answer.leads_to] = max(depth[answer.leads_to], depth[question.name] + 1)
    return depth


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Return a path through these points, upright at each."""
    path = f"{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in pairwise(points):
        if abs(x - to_x) < 0.05:
            path += f"V{to_y:.1f}"
        else:
            middle = (y + to_y) / 2
            path += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
    return path


def _lines(words: Sequence[str], first: float, line: float) -> str:
    return "".join(
        f'<text class="words" y="{first + number * line:.1f}">{escape(each)}</text>'
        for number, each in enumerate(words)
    )


def _percent(fraction: float) -> str:
    if not math.isfinite(fraction):
        return "–"
    return "<1%" if 0 < fraction < 0.005 else f"{fraction:.0%}"
