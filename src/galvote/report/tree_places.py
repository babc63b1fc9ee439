"""What a drawn tree is laid out in: answers, questions and lanes, rows, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass, field

from galvote.trees import Answer, Question

Key = tuple[str, str]
"""The question that bands come from and the one that they lead to; the first is empty in the latter's row."""


@dataclass(frozen=True)
class Look:
    """How large things are, in pixels.

    Parameters
    ----------
    text, number
        Sizes of the type of words and of numbers.
    answer_letters, question_letters
        Letters in a line.
    spacious
        Whether there are whole questions, and intervals beside the fractions rather than under them.
    scale
        Length of the scale from 0 to 1.
    band
        Width of all votes, where there is room for them.
    fan, flow
        Heights between a question and its answers, and between rows.
    gap
        Between answers.
    """

    text: float
    number: float
    answer_letters: int
    question_letters: int
    spacious: bool
    scale: float
    band: float
    fan: float
    flow: float
    gap: float

    @classmethod
    def of(cls, width: int) -> Look:
        """Return the look of a drawing.

        Parameters
        ----------
        width
            Of the drawing, in pixels.
        """
        if width >= 600:
            return cls(13.0, 12.0, 18, 36, True, 58.0, 0.2 * width, 24.0, 26.0, 16.0)
        return cls(11.0, 10.5, 7, 24, False, 30.0, 0.2 * width, 18.0, 18.0, 4.0)

    @property
    def line(self) -> float:
        """Distance of two lines of text."""
        return self.text + 3


@dataclass(eq=False)
class AnswerPlace:
    """One answer, and where it stands under its question.

    Parameters
    ----------
    answer, column
        The answer, and its place among the tree's columns.
    share
        Of all volunteers, in [0, 1].
    words
        Its text in lines.
    least
        Width of its words, numbers and scale.
    width, centre
        Where it stands.
    points
        The left edge of its band of votes, from the top down.
    """

    answer: Answer
    column: int
    share: float
    words: list[str]
    least: float
    width: float = 0.0
    centre: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=list)


@dataclass(eq=False)
class Place:
    """What takes room in a row: a question with its answers, or a lane of bands on their way further down.

    Parameters
    ----------
    key
        What bands come from and lead to.
    share
        Of all volunteers, in [0, 1].
    question, heading, answers
        The question, its text in lines, and its answers; empty for a lane.
    width, left
        Where it stands.
    """

    key: Key
    share: float
    question: Question | None = None
    heading: list[str] = field(default_factory=list)
    answers: list[AnswerPlace] = field(default_factory=list)
    width: float = 0.0
    left: float = 0.0

    @property
    def centre(self) -> float:
        """Middle of its width."""
        return self.left + self.width / 2


@dataclass(frozen=True)
class Heights:
    """Where a row has its parts, from the top.

    Parameters
    ----------
    row, bar, answers, numbers, scale, end
        Its start, its questions' bars, its answers, their numbers, their scales, and its end.
    """

    row: float
    bar: float
    answers: float
    numbers: float
    scale: float
    end: float
