"""The decision tree that questions make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from galvote.errors import TreeError
from galvote.trees.checks import check_questions, order_questions
from galvote.trees.questions import COLOURS, Answer, Form, Kind, Question


@dataclass(frozen=True)
class DecisionTree:
    """Questions that lead to one another, without a cycle; several answers may lead to one question.

    The first question is the root. Columns, slices and parents all derive from ``questions``.

    Parameters
    ----------
    name
        Short name, as ``--tree`` takes it and model cards have it.
    questions
        In column order, the root first.
    title
        What the tree is, in a few words.
    citation
        Where it is published.
    notes
        What it was checked against, and what is particular about it.
    kinds
        Kinds of galaxies that images and pages name; a galaxy is of the first that its path passes through.
        If there are none, the answers of the root are the kinds.
    highlights
        Labels of the few answers that short lists show; those of the root if empty.

    Raises
    ------
    TreeError
        If a name or column occurs twice, an answer leads to an unknown question, a question cannot be
        reached from the root, questions lead back to themselves, what follows a question that is always
        asked can be reached without it, answers' values do not increase or only some have one, or a kind or
        highlight names no answer.
    """

    name: str
    questions: tuple[Question, ...] = field(repr=False)
    title: str = ""
    citation: str = field(default="", repr=False)
    notes: str = field(default="", repr=False)
    kinds: tuple[Kind, ...] = field(default=(), repr=False)
    highlights: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.questions:
            raise TreeError(f"The tree {self.name!r} has no questions; give it at least one.")
        check_questions(self.questions)
        root = self.questions[0].answers
        if not self.kinds:
            kinds = (Kind(one.phrase, one.label, COLOURS[i % len(COLOURS)]) for i, one in enumerate(root))
            object.__setattr__(self, "kinds", tuple(kinds))
        if not self.highlights:
            object.__setattr__(self, "highlights", tuple(one.label for one in root))
        chosen = [("answer", kind.answer, kind.answer) for kind in self.kinds]
        for key, value, label in [*chosen, *(("highlights", "", label) for label in self.highlights)]:
            if label not in self.labels:
                raise TreeError(
                    f"No answer has the label {label!r}; the labels are {', '.join(self.labels)}.",
                    (key, value),
                )

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Column names of all answers' cumulative fractions, in order."""
        return tuple(answer.column for answer in self.answers)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Readable names of all answers, in column order."""
        return tuple(answer.label for answer in self.answers)

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """All answers, in column order."""
        return tuple(answer for question in self.questions for answer in question.answers)

    @cached_property
    def numbers(self) -> tuple[Question, ...]:
        """The questions whose answers are numbers, in order."""
        return tuple(question for question in self.questions if question.values)

    @cached_property
    def number(self) -> Question | None:
        """The only question, if its answers are numbers."""
        return self.numbers[0] if len(self.questions) == len(self.numbers) == 1 else None

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Where each question's answers stand among the columns, by question name."""
        slices, start = {}, 0
        for question in self.questions:
            slices[question.name] = slice(start, start + len(question.answers))
            start += len(question.answers)
        return slices

    @cached_property
    def parents(self) -> Mapping[str, tuple[int, ...]]:
        """Column indices of the answers that lead to each question, by question name; none for the root."""
        return {
            question.name: tuple(
                i for i, answer in enumerate(self.answers) if answer.leads_to == question.name
            )
            for question in self.questions
        }

    @cached_property
    def asking_order(self) -> tuple[Question, ...]:
        """The questions sorted so that every question comes after all that lead to it."""
        return order_questions(self.questions)

    def question(self, name: str) -> Question:
        """Return a question by its name.

        Parameters
        ----------
        name
            Name of the question.

        Raises
        ------
        TreeError
            If there is none of that name.
        """
        for question in self.questions:
            if question.name == name:
                return question
        raise TreeError(f"No question {name!r}; there are {', '.join(self.slices)}.")

    def published_columns(self, form: Form) -> tuple[str, ...]:
        """Return the column of each answer in a published form, in order; empty where it is not published so.

        Parameters
        ----------
        form
            One of `FORMS`.
        """
        if form == "cumulative":
            return self.columns
        return tuple(answer.columns.get(form, "") for answer in self.answers)

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as plain data, for `from_dict` and for JSON."""
        return dict(_ADAPTER.dump_python(self, mode="json"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DecisionTree":
        """Return the tree that plain data describe.

        Parameters
        ----------
        data
            What `to_dict` returned, or the same read from JSON.

        Raises
        ------
        TreeError
            If the data do not describe a tree, or the tree contradicts itself.
        """
        try:
            return _ADAPTER.validate_python(dict(data))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise TreeError(
                f"Not the description of a decision tree ({where}: {first['msg']}); it needs `name` and "
                "`questions`, each with `name`, `text` and `answers` of `name`, `text`, `leads_to`, `column`."
            ) from error


_ADAPTER = TypeAdapter(DecisionTree)
