"""Answers, questions, and the decision tree that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from galvote.errors import TreeError


@dataclass(frozen=True)
class Answer:
    """One answer of a question.

    Parameters
    ----------
    column
        Name of the answer's column of vote fractions, ``Class1.1`` in the challenge.
    text
        The answer as volunteers saw it.
    phrase
        The answer as a decision path says it: ``not edge-on`` rather than ``no``.
    leads_to
        Name of the question that follows; ``None`` where the volunteer is done.
    survey_stem
        Stem of the survey catalogue's columns for this answer
        (``<stem>_count``, ``<stem>_fraction``, …); empty if there is none.
    """

    column: str
    text: str
    phrase: str
    leads_to: str | None = None
    survey_stem: str = ""


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
    """

    name: str
    text: str
    answers: tuple[Answer, ...]
    always_asked: bool = False
    qualifies: bool = False


@dataclass(frozen=True)
class DecisionTree:
    """Questions that lead to one another, without a cycle; several answers may lead to one question.

    The first question is the root. Columns, slices and parents all derive from ``questions``.

    Parameters
    ----------
    name
        What the tree is called in model cards.
    questions
        In column order, the root first.

    Raises
    ------
    TreeError
        If a name or column occurs twice, an answer leads to an unknown question, a question cannot be
        reached from the root, questions lead back to themselves, or what follows a question that is always
        asked can be reached without it.
    """

    name: str
    questions: tuple[Question, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.questions:
            raise TreeError(f"The tree {self.name!r} has no questions; give it at least one.")
        names = [question.name for question in self.questions]
        if repeated := _repeated(names):
            raise TreeError(
                f"Question names must be unique; these occur more than once: {_listed(repeated)}."
            )
        if repeated := _repeated(self.columns):
            raise TreeError(f"Columns must be unique; these occur more than once: {_listed(repeated)}.")
        for question in self.questions:
            if len(question.answers) < 2:
                raise TreeError(f"Question {question.name!r} needs two answers or more.")
            for answer in question.answers:
                if answer.leads_to is not None and answer.leads_to not in names:
                    raise TreeError(
                        f"Answer {answer.column!r} leads to {answer.leads_to!r}, which is no question of "
                        f"this tree; its questions are {_listed(names)}."
                    )
        if unreachable := set(names) - self._reachable_from(names[0]):
            raise TreeError(
                f"No answer leads from {names[0]!r} to {_listed(sorted(unreachable))}; "
                "let an answer lead there or remove the question."
            )
        _ = self.asking_order  # raises if there is a cycle
        for question in self.questions:
            if question.always_asked:
                self._refuse_detours(question)

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Column names of all answers, in order."""
        return tuple(answer.column for answer in self.answers)

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """All answers, in column order."""
        return tuple(answer for question in self.questions for answer in question.answers)

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Where each question's answers stand among the columns, by question name."""
        found, start = {}, 0
        for question in self.questions:
            found[question.name] = slice(start, start + len(question.answers))
            start += len(question.answers)
        return found

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
        waiting, order = list(self.questions), list[Question]()
        while waiting:
            blocked = {answer.leads_to for question in waiting for answer in question.answers}
            ready = [question for question in waiting if question.name not in blocked]
            if not ready:
                cycle = _listed([question.name for question in waiting])
                raise TreeError(f"These questions lead back to themselves: {cycle}; break the cycle.")
            order += ready
            waiting = [question for question in waiting if question not in ready]
        return tuple(order)

    def question(self, name: str) -> Question:
        """Return the question of that name, or raise `TreeError`."""
        for question in self.questions:
            if question.name == name:
                return question
        raise TreeError(f"No question {name!r}; there are {_listed([q.name for q in self.questions])}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as plain data, for `from_dict` and for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DecisionTree:
        """Build a tree from plain data, as `to_dict` returns it."""
        try:
            questions = tuple(
                Question(**{**question, "answers": tuple(Answer(**answer) for answer in question["answers"])})
                for question in data["questions"]
            )
            return cls(name=data["name"], questions=questions)
        except (KeyError, TypeError) as error:
            raise TreeError(
                f"Not the description of a decision tree ({error}); it needs `name` and `questions`, each "
                "with `name`, `text` and `answers` of `column`, `text`, `phrase`, `leads_to`."
            ) from error

    def _refuse_detours(self, always: Question) -> None:
        # Everybody counts as asked; whoever came past this question would be counted twice further on.
        follow = self._reachable_from(always.name)
        for question in self.questions:
            for answer in question.answers:
                if question.name not in follow and answer.leads_to in follow - {always.name}:
                    raise TreeError(
                        f"Answer {answer.column!r} leads past {always.name!r}, which is always asked, to "
                        f"{answer.leads_to!r}, so more than all volunteers could reach that; let it lead to "
                        f"{always.name!r}, or do not ask that always."
                    )

    def _reachable_from(self, start: str) -> set[str]:
        by_name = {question.name: question for question in self.questions}
        found, waiting = set[str](), [start]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [answer.leads_to for answer in by_name[name].answers if answer.leads_to]
        return found


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
