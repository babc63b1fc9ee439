"""What must hold for the questions of a decision tree."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

from galvote.errors import TreeError
from galvote.trees.questions import FORMS, Answer, Question

RESERVED = ("id", "status", "reason", "ood", "ood_score", "features")
"""Columns of predictions that are not fractions."""


def check_questions(questions: Sequence[Question]) -> None:
    """Raise `TreeError`, as `DecisionTree` says, if questions, the root first, make no decision tree."""
    _check_names(questions)
    _check_columns(questions)
    _check_targets(questions)
    order_questions(questions)
    for question in questions:
        if question.always_asked:
            _refuse_detours(questions, question)


def order_questions(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Sort questions so that every question comes after all that lead to it; no order has a cycle."""
    waiting, order = list(questions), list[Question]()
    while waiting:
        blocked = {answer.leads_to for question in waiting for answer in question.answers}
        ready = [question for question in waiting if question.name not in blocked]
        if not ready:
            cycle = ", ".join(question.name for question in waiting)
            raise TreeError(
                f"These questions lead back to themselves: {cycle}; break the cycle.",
                ("name", waiting[0].name),
            )
        order += ready
        waiting = [question for question in waiting if question not in ready]
    return tuple(order)


def _check_names(questions: Sequence[Question]) -> None:
    if repeated := _repeated([question.name for question in questions]):
        raise TreeError(
            f"Question names must be unique; these occur more than once: {', '.join(repeated)}.",
            *[("name", repeated[0])] * 2,
        )
    for question in questions:
        _check_values(question)
        if len(question.answers) < 2:
            raise TreeError(f"Question {question.name!r} needs two answers or more.", ("name", question.name))
        if repeated := _repeated([answer.name for answer in question.answers]):
            raise TreeError(
                f"Question {question.name!r} has these answers more than once: {', '.join(repeated)}.",
                ("name", question.name),
                *[("name", repeated[0])] * 2,
            )


def _check_values(question: Question) -> None:
    values = question.values
    if values and len(values) < len(question.answers):
        raise TreeError(
            f"Some answers of question {question.name!r} have a value and others have none; give one to each "
            "or to none.",
            ("name", question.name),
        )
    if not all(map(isfinite, values)) or any(one >= other for one, other in pairwise(values)):
        raise TreeError(
            f"The values of the answers of question {question.name!r} must increase, and be finite; they are "
            f"{', '.join(f'{value:g}' for value in values)}.",
            ("name", question.name),
        )
    if question.unit is not None and not values:
        raise TreeError(
            f"Question {question.name!r} has a unit, and its answers no values; give each its `value`.",
            ("name", question.name),
            ("unit", ""),
        )


def _check_columns(questions: Sequence[Question]) -> None:
    pairs = [(question, answer) for question in questions for answer in question.answers]
    columns = [answer.column for _, answer in pairs]
    for what, names in (("Columns", columns), ("Labels", [answer.label for _, answer in pairs])):
        if repeated := _repeated(names):
            second = [i for i, name in enumerate(names) if name == repeated[0]][1]
            raise TreeError(
                f"{what} must be unique; these occur more than once: {', '.join(repeated)}.",
                *_place(*pairs[second]),
            )
    published = [column for _, answer in pairs for column in answer.columns.values() if column]
    numbers = [question.name for question in questions if question.values]
    ends = [f"{name}_{end}" for name in (*columns, *numbers) for end in ("low", "high")]
    if repeated := _repeated([*RESERVED, *numbers, *columns, *published, *ends]):
        raise TreeError(
            f"A column can mean one thing only; these mean two: {', '.join(repeated)}. Tables have columns "
            f"of each form ({', '.join(FORMS)}), those of questions whose answers are numbers, NAME_low and "
            f"NAME_high of these and of the cumulative ones, and {', '.join(RESERVED)}.",
            ("columns", ""),
        )


def _check_targets(questions: Sequence[Question]) -> None:
    names = [question.name for question in questions]
    for question in questions:
        for answer in question.answers:
            if answer.leads_to is not None and answer.leads_to not in names:
                raise TreeError(
                    f"Answer {answer.name!r} of {question.name!r} leads to {answer.leads_to!r}, which is no "
                    f"question of this tree; its questions are {', '.join(names)}.",
                    ("name", question.name),
                    ("leads_to", answer.leads_to),
                )
    if unreachable := sorted(set(names) - _reachable(questions, names[0])):
        raise TreeError(
            f"No answer leads from {names[0]!r} to {', '.join(unreachable)}; "
            "let an answer lead there or remove the question.",
            ("name", unreachable[0]),
        )


def _refuse_detours(questions: Sequence[Question], always: Question) -> None:
    # Everybody counts as asked; whoever came past this question would be counted twice further on.
    follow = _reachable(questions, always.name)
    for question in questions:
        for answer in question.answers:
            if question.name not in follow and answer.leads_to in follow - {always.name}:
                raise TreeError(
                    f"Answer {answer.name!r} of {question.name!r} leads past {always.name!r}, which is "
                    f"always asked, to {answer.leads_to!r}, so more than all volunteers could reach that; "
                    f"let it lead to {always.name!r}, or do not ask that always.",
                    *_place(question, answer),
                )


def _place(question: Question, answer: Answer) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("name", question.name), ("name", answer.name)


def _reachable(questions: Sequence[Question], start: str) -> set[str]:
    by_name = {question.name: question for question in questions}
    reached, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [answer.leads_to for answer in by_name[name].answers if answer.leads_to]
    return reached


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
