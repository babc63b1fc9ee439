"""Where the questions, answers and bands of a drawn tree go."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from galvote.trees import Answer, DecisionTree, Question, asked_share

BAR = 6
"""Height of a question's bar, in pixels."""

_LETTER = 0.53  # mean width of a letter, in sizes of the type


Key = tuple[str, str]
"""The question that bands come from and the one that they lead to; the first is empty in the latter's row."""


@dataclass(frozen=True)
class Look:
    """How large things are, in pixels."""

    text: float  # sizes of the type
    number: float
    answer_letters: int  # in a line
    question_letters: int
    spacious: bool  # whole questions, and intervals beside the fractions rather than under them
    scale: float  # length of that from 0 to 1
    band: float  # width of all votes, where there is room for them
    fan: float  # height between a question and its answers
    flow: float  # height between rows
    gap: float  # between answers

    @classmethod
    def of(cls, width: int) -> "Look":
        """Return the look of a drawing of some width."""
        if width >= 600:
            return cls(13.0, 12.5, 18, 40, True, 58.0, 0.2 * width, 8.0, 10.0, 16.0)
        return cls(11.0, 10.5, 7, 24, False, 30.0, 0.2 * width, 18.0, 18.0, 4.0)

    @property
    def line(self) -> float:
        """Distance of two lines of text."""
        return self.text + 2


@dataclass(eq=False)
class AnswerPlace:
    """One answer, and where it stands under its question."""

    answer: Answer
    column: int  # its place among the tree's columns
    share: float  # of all volunteers, in [0, 1]
    words: list[str]  # its text in lines
    least: float  # width of its words, numbers and scale
    width: float = 0.0
    centre: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=list)  # of its band, at the left


@dataclass(eq=False)
class Place:
    """What takes room in a row: a question with its answers, or a lane of bands on their way further down."""

    key: Key
    share: float  # of all volunteers, in [0, 1]
    question: Question | None = None  # None for a lane
    heading: list[str] = field(default_factory=list)  # the question's text in lines
    answers: list[AnswerPlace] = field(default_factory=list)
    width: float = 0.0
    left: float = 0.0

    @property
    def centre(self) -> float:
        """Middle of its width."""
        return self.left + self.width / 2


@dataclass(frozen=True)
class Heights:
    """Where a row has its parts, from the top."""

    row: float
    bar: float
    answers: float
    numbers: float
    scale: float
    end: float


class TreeLayout:
    """The places of one tree's drawing, from the top down.

    Of each answer it is given the share of all volunteers, and what stands under it: its fraction and the
    ends of its interval, as text. The layout becomes wider if the answers of one row need more.
    """

    def __init__(
        self,
        tree: DecisionTree,
        shares: Float[np.ndarray, " answer"],
        numbers: Sequence[tuple[str, str]],
        width: int,
    ) -> None:
        self.tree, self.look, self.width = tree, Look.of(width), width
        self._shares, self._numbers = shares, numbers
        self._asked = asked_share(tree, shares[None])[0].clip(0, 1)
        self._depths = _depths(tree)
        self.rows = self._sort()
        self.unit = self._fit()  # pixels for all votes
        self._arrange()
        self.heights = self._stack()
        self._lead_bands()

    def _sort(self) -> list[list[Place]]:
        """Sort questions and lanes into rows by depth, each row ordered as what leads to it."""
        rows = [[self._question(self.tree.questions[0])]]
        for depth in range(1, max(self._depths.values()) + 1):
            positions, shares = defaultdict[Key, list[int]](list), defaultdict[Key, float](float)
            for position, (key, source) in enumerate(self._exits(rows[-1], depth)):
                positions[key].append(position)
                shares[key] += source.share
            order = sorted(positions, key=lambda key: sum(positions[key]) / len(positions[key]))
            questions = self.tree.question
            rows.append(
                [Place(key, shares[key]) if key[0] else self._question(questions(key[1])) for key in order]
            )
        for row in rows:  # the only question of its row has room for long lines
            asked = [place.question for place in row if place.question]
            if len(asked) == 1 and self.look.spacious:
                (place,) = (place for place in row if place.question)
                place.heading = _wrap(asked[0].text, 2 * self.look.question_letters)
        return rows

    def _exits(self, row: Sequence[Place], depth: int) -> Iterator[tuple[Key, AnswerPlace | Place]]:
        """Yield what leads on from the places of a row, answers and lanes, with its place at that depth."""
        for place in row:
            origin, target = place.key
            if place.question is None:
                yield ("" if self._depths[target] == depth else origin, target), place
            for answer in place.answers:
                if (leads_to := answer.answer.leads_to) is not None:
                    yield ("" if self._depths[leads_to] == depth else target, leads_to), answer

    def _question(self, question: Question) -> Place:
        look, first = self.look, self.tree.slices[question.name].start
        return Place(
            key=("", question.name),
            share=float(self._asked[self.tree.questions.index(question)]),
            question=question,
            heading=_wrap(question.text if look.spacious else question.name, look.question_letters),
            answers=[self._answer(answer, first + i) for i, answer in enumerate(question.answers)],
        )

    def _answer(self, answer: Answer, column: int) -> AnswerPlace:
        look = self.look
        words = _wrap(answer.text, look.answer_letters)
        numbers = self._numbers[column]
        letters = len("  ".join(numbers)) if look.spacious else max(map(len, numbers))
        across = max(max(map(len, words), default=0) * look.text, letters * look.number)
        least = max(_LETTER * across, look.scale + 4)
        return AnswerPlace(answer, column, float(self._shares[column]), words, least)

    def _fit(self) -> float:
        """Return how wide a band of all votes may be, and set the width of every place."""
        unit = self.look.band
        while (needed := max(self._measure(row, unit) for row in self.rows)) > self.width:
            if unit < self.look.band / 2:
                self.width = math.ceil(needed)
                break
            unit *= 0.95
        return unit

    def _measure(self, row: Sequence[Place], unit: float) -> float:
        """Set the width of a row's places for bands of such a width, and return that of the row."""
        for place in row:
            for answer in place.answers:
                answer.width = max(answer.least, answer.share * unit)
            heading = max(map(len, place.heading), default=0) * _LETTER * self.look.text
            place.width = max(self._answers_width(place), heading, place.share * unit, 2.0)
        return sum(place.width for place in row) + self.look.gap * (len(row) + 1)

    def _answers_width(self, place: Place) -> float:
        return sum(answer.width for answer in place.answers) + self.look.gap * (len(place.answers) - 1)

    def _arrange(self) -> None:
        """Put each place under what leads to it, as far as its neighbours leave room."""
        self._spread(self.rows[0], [self.width / 2])
        for depth, row in enumerate(self.rows[1:], start=1):
            above = defaultdict[Key, list[float]](list)
            for key, source in self._exits(self.rows[depth - 1], depth):
                above[key].append(source.centre)
            self._spread(row, [sum(above[place.key]) / len(above[place.key]) for place in row])

    def _spread(self, row: Sequence[Place], centres: Sequence[float]) -> None:
        """Put a row's places as near to these centres as they can stand side by side."""
        gap = self.look.gap
        edge = gap
        for place, centre in zip(row, centres, strict=True):
            place.left = max(centre - place.width / 2, edge)
            edge = place.left + place.width + gap
        edge = self.width - gap
        for place in reversed(row):
            place.left = min(place.left, edge - place.width)
            edge = place.left - gap
            left = place.centre - self._answers_width(place) / 2
            for answer in place.answers:
                answer.centre = left + answer.width / 2
                left += answer.width + gap

    def _stack(self) -> list[Heights]:
        look, stacked, y = self.look, list[Heights](), 4.0
        for row in self.rows:
            bar = y + look.line * max(len(place.heading) for place in row) + 5
            answers = bar + BAR + look.fan
            lines = max(len(answer.words) for place in row for answer in place.answers)
            numbers = answers + look.line * lines
            scale = numbers + look.line * (1 if look.spacious else 2) + 5
            stacked.append(Heights(y, bar, answers, numbers, scale, scale + 6))
            y = scale + 6 + look.flow
        return stacked

    def _lead_bands(self) -> None:
        """Lead each answer's votes from its question's bar to that of the next, through the lanes between."""
        coming = defaultdict[Key, list[AnswerPlace]](list)
        for depth, (row, y) in enumerate(zip(self.rows, self.heights, strict=True), start=1):
            for place in row:
                left = place.centre - self.unit * place.share / 2
                for answer in sorted(coming[place.key], key=lambda answer: answer.points[-1][0]):
                    # Through a lane, or down to the question's bar
                    answer.points += [(left, y.row), (left, y.end)] if place.key[0] else [(left, y.bar)]
                    left += self.unit * answer.share
                left = place.centre - self.unit * place.share / 2
                for answer in place.answers:
                    own = answer.centre - self.unit * answer.share / 2
                    answer.points = [(left, y.bar + BAR), (own, y.answers), (own, y.end)]
                    left += self.unit * answer.share
            leaving = defaultdict[Key, list[AnswerPlace]](list)
            for key, source in self._exits(row, depth):
                leaving[key] += [source] if isinstance(source, AnswerPlace) else coming[source.key]
            coming = leaving


def _wrap(words: str, letters: int) -> list[str]:
    """Break a text into lines; single words stay whole, but for those joined by underscores."""
    return textwrap.wrap(words.replace("_", " "), letters, break_long_words=False)


def _depths(tree: DecisionTree) -> dict[str, int]:
    """Return how many questions may come before each one, by its name."""
    depth = {question.name: 0 for question in tree.questions}
    for question in tree.asking_order:
        for answer in question.answers:
            if answer.leads_to is not None:
                depth[answer.leads_to] = max(depth[answer.leads_to], depth[question.name] + 1)
    return depth
