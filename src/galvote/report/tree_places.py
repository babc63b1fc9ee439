"""What a drawn tree is laid out in: answers, questions and lanes, rows, and how large they are."""

from dataclasses import dataclass, field

from galvote.trees import Answer, Question

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
