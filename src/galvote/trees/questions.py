"""Answers, questions, and kinds of galaxies: what a decision tree is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Form = Literal["cumulative", "weighted", "fraction", "debiased", "count"]
"""How votes are published.

`cumulative` is a share of all volunteers. `weighted`, `fraction` (each volunteer counts the same) and
`debiased` are shares of those who were asked the question. `count` is a number of volunteers.
"""

FORMS: tuple[Form, ...] = get_args(Form)

COLOURS = ("#4cc9f0", "#ffd98e", "#b79cff", "#5eead4", "#ff8f6b", "#f9a8d4", "#d3e372", "#9aa4b2")
"""Colours of kinds that have none of their own, on black."""


@dataclass(frozen=True)
class Answer:
    """One answer of a question.

    Parameters
    ----------
    name
        Short name, unique in its question.
    text
        The answer as volunteers saw it; the name if empty.
    phrase
        The answer as a decision path says it: ``not edge-on`` rather than ``no``; the text if empty.
    leads_to
        Name of the question that follows; None where the volunteer is done.
    column
        Column of the answer's cumulative vote fraction, ``Class1.1`` in the challenge; the name if empty.
    label
        Readable name, unique in the tree: ``bar``, ``edge_on``; the name if empty.
    columns
        Columns of the answer in other published forms, by form (`FORMS`).
    value
        The number that the answer stands for, in the question's unit; None where answers are no numbers.
    """

    name: str
    text: str = ""
    phrase: str = ""
    leads_to: str | None = None
    column: str = ""
    label: str = ""
    columns: Mapping[Form, str] = field(default_factory=dict, hash=False)
    value: float | None = None

    def __post_init__(self) -> None:
        for member, default in (("text", self.name), ("column", self.name), ("label", self.name)):
            object.__setattr__(self, member, getattr(self, member) or default)
        object.__setattr__(self, "phrase", self.phrase or self.text)


@dataclass(frozen=True)
class Question:
    """One question and its answers.

    Parameters
    ----------
    name
        Short name, unique in its tree.
    text
        The question as volunteers saw it.
    answers
        Two answers or more, in column order.
    always_asked
        The published fractions of this question sum to 1 whatever share of the volunteers saw it.
    qualifies
        The answer describes the one before it further (how many arms, how tightly wound), so a decision
        path joins the two with a comma.
    unit
        Of the answers' values, as astropy writes it; empty for a pure number, None where it is unknown or
        the answers are no numbers.
    """

    name: str
    text: str
    answers: tuple[Answer, ...]
    always_asked: bool = False
    qualifies: bool = False
    unit: str | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The answers' values, increasing; empty where the answers are no numbers."""
        return tuple(answer.value for answer in self.answers if answer.value is not None)


@dataclass(frozen=True)
class Kind:
    """A word for the galaxies whose decision path passes through one answer.

    Parameters
    ----------
    name
        The word: ``edge-on``.
    answer
        Label of the answer; its cumulative fraction says how clear a case a galaxy is.
    colour
        Colour of the kind in images, on black, as ``#rrggbb``.
    """

    name: str
    answer: str
    colour: str = COLOURS[-1]
