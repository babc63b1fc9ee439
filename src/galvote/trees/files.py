"""Trees as TOML files, shipped ones and those of a user."""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galvote.errors import TreeError
from galvote.trees.decision_tree import DecisionTree
from galvote.trees.questions import Answer, Form, Kind, Question

T = TypeVar("T")
_SHIPPED = Path(str(resources.files("galvote.trees")))


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1)


class _Answer(_Entry):
    text: str = ""
    phrase: str = ""
    leads_to: str | None = None
    label: str = ""
    stem: str = ""
    columns: dict[Form, str] = Field(default_factory=dict)
    value: float | None = None


class _Question(_Entry):
    text: str = ""
    stem: str = ""
    always_asked: bool = False
    qualifies: bool = False
    unit: str | None = None
    answers: list[_Answer]


class _Kind(_Entry):
    answer: str
    colour: str = Field(default=Kind.colour, pattern="^#[0-9a-f]{6}$")


class _Zooniverse(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tasks: dict[str, str]
    answers: dict[str, dict[str, str]] = Field(default_factory=dict)


class _Tree(_Entry):
    title: str = ""
    citation: str = ""
    notes: str = ""
    highlights: list[str] = Field(default_factory=list)
    kinds: list[_Kind] = Field(default_factory=list)
    columns: dict[Form, str] = Field(default_factory=dict)
    questions: list[_Question]
    zooniverse: _Zooniverse | None = None


_LEVELS: Mapping[str, type[BaseModel]] = {
    "": _Tree,
    "questions": _Question,
    "answers": _Answer,
    "kinds": _Kind,
    "zooniverse": _Zooniverse,
}

Workflow = Mapping[str, Mapping[str, int]]
"""Of each task of a Zooniverse project, the number of the tree's column of each answer, by `plain_label`."""


def list_trees() -> tuple[str, ...]:
    """Return the names of the shipped trees in alphabetical order, as `load_tree` takes them."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.toml")))


def load_tree(name: str | Path | DecisionTree) -> DecisionTree:
    """Return a shipped tree, or one from a file; a tree is returned as it is.

    Parameters
    ----------
    name
        Name of a shipped tree (`list_trees`), or path of a TOML file, as docs/trees.md describes it.

    Raises
    ------
    TreeError
        If there is no such tree, or the file does not describe one; the message names the line.
    """
    if isinstance(name, DecisionTree):
        return name
    if name in list_trees():
        return _load_shipped(str(name))
    return _parse(*_read(name), _build)


@cache
def _load_shipped(name: str) -> DecisionTree:
    return _parse(*_read(name), _build)


def load_workflow(name: str | Path) -> tuple[DecisionTree, Workflow]:
    """Return a tree, and its columns by task and answer of a Zooniverse workflow.

    Parameters
    ----------
    name
        As for `load_tree`; the file has a table ``[zooniverse]``, as docs/trees.md describes it.

    Raises
    ------
    TreeError
        If there is no such tree, or its file has no such table, or one that names what the tree has not.
    """
    text, path = _read(name)
    return _parse(text, path, _build), _parse(text, path, _build_workflow)


def plain_label(text: str) -> str:
    """Return the words of an answer's label without its picture, in lower case.

    Parameters
    ----------
    text
        As volunteers saw it, with pictures in Markdown.
    """
    return " ".join(re.sub(r"!\[[^]]*\]\([^)]*\)", " ", text).split()).lower()


def _read(name: str | Path) -> tuple[str, Path]:
    path = _SHIPPED / f"{name}.toml" if name in list_trees() else Path(name)
    try:
        return path.read_text(encoding="utf-8"), path
    except (OSError, UnicodeDecodeError) as error:
        near = difflib.get_close_matches(str(name), list_trees(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise TreeError(
            f"No tree {str(name)!r}{hint} Give the name of a shipped tree ({', '.join(list_trees())}) or a "
            f"TOML file that can be read ({error})."
        ) from error


def _parse(text: str, path: Path, build: Callable[[_Tree], T]) -> T:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TreeError(f"{path} is no TOML: {error}; correct that place.") from error
    try:
        return build(_Tree.model_validate(data))
    except ValidationError as error:
        message, place = _explain(error, data)
    except TreeError as error:
        message, place = str(error), error.place
    raise TreeError(f"{path}{_say_line(text, place)}: {message}")


def _build(file: _Tree) -> DecisionTree:
    names = Counter(
        answer.name for question in file.questions for answer in question.answers if not answer.label
    )
    questions = list[Question]()
    for number, question in enumerate(file.questions, start=1):
        answers = list[Answer]()
        for place, answer in enumerate(question.answers, start=1):
            words = {
                "question": question.name,
                "answer": answer.name,
                "stem": "_".join(filter(None, (question.stem, answer.stem))),
                "question_number": number,
                "answer_number": place,
            }
            patterns = {"cumulative": "{question}_{answer}", **file.columns, **answer.columns}
            columns = {form: _fill(pattern, form, words) for form, pattern in patterns.items()}
            plain = answer.name if names[answer.name] == 1 else f"{question.name}_{answer.name}"
            answers.append(
                Answer(
                    **answer.model_dump(include={"name", "text", "phrase", "leads_to", "value"}),
                    label=answer.label or re.sub(r"\W", "_", plain),
                    column=columns.pop("cumulative"),
                    columns=columns,
                )
            )
        settings = question.model_dump(include={"name", "text", "always_asked", "qualifies", "unit"})
        questions.append(Question(**settings, answers=tuple(answers)))
    kinds = [kind.name for kind in file.kinds]
    if twice := sorted({name for name in kinds if kinds.count(name) > 1}):
        raise TreeError(
            f"Kinds must have names of their own; these occur twice: {', '.join(twice)}.", ("kinds", "")
        )
    tree = DecisionTree(
        **file.model_dump(include={"name", "title", "citation"}),
        notes=file.notes.strip(),
        questions=tuple(questions),
        kinds=tuple(Kind(**kind.model_dump()) for kind in file.kinds),
        highlights=tuple(file.highlights),
    )
    if file.zooniverse:
        _map_tasks(tree, file.zooniverse)
    return tree


def _build_workflow(file: _Tree) -> Workflow:
    if file.zooniverse is None:
        raise TreeError(
            "There is no table [zooniverse], which says what task is what question; docs/trees.md shows one."
        )
    return _map_tasks(_build(file.model_copy(update={"zooniverse": None})), file.zooniverse)


def _map_tasks(tree: DecisionTree, zooniverse: _Zooniverse) -> Workflow:
    """Return the columns of the tree by task and answer."""
    questions = {question.name: question for question in tree.questions}
    for key, name in (*zooniverse.tasks.items(), *((name, name) for name in zooniverse.answers)):
        if name not in questions:
            raise TreeError(
                f"There is no question {name!r}; the questions are {', '.join(questions)}.",
                (key, name if key in zooniverse.tasks else ""),
            )
    workflow = dict[str, dict[str, int]]()
    for task, name in zooniverse.tasks.items():
        start, answers = tree.slices[name].start, questions[name].answers
        places = {one.name: start + i for i, one in enumerate(answers)}
        labels = {
            plain_label(text): start + i
            for i, one in enumerate(answers)
            for text in (one.label, one.name, one.text)
        }
        for label, answer in zooniverse.answers.get(name, {}).items():
            if answer not in places:
                raise TreeError(
                    f"The question {name!r} has no answer {answer!r}; it has {', '.join(places)}.",
                    (label, answer),
                )
            labels[plain_label(label)] = places[answer]
        workflow[task] = labels
    return workflow


def _fill(pattern: str, form: str, words: Mapping[str, object]) -> str:
    try:
        return pattern.format_map(words)
    except (KeyError, IndexError, ValueError) as error:
        raise TreeError(
            f"The pattern {pattern!r} cannot be filled in ({error}); it may have "
            f"{', '.join(f'{{{word}}}' for word in words)}.",
            (form, pattern),
        ) from error


def _explain(error: ValidationError, data: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return in words what is wrong with a file's data, and where."""
    first = error.errors()[0]
    *outer, key = (step for step in first["loc"] if step != "[key]")
    entries = list(_walk(outer, data))
    owner = "".join(f" of {kind.removesuffix('s')} {name!r}" for kind, name in reversed(entries))
    place = [("name", name) for _, name in entries]
    if first["type"] == "missing":
        return f"{key!r}{owner} is missing; add it.", tuple(place)
    if first["type"] == "extra_forbidden":
        known = _LEVELS[entries[-1][0] if entries else "".join(map(str, outer))].model_fields
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}? K" if near else "k"
        message = f"unknown key {key!r}{owner}; {hint}nown are {', '.join(known)}."
    else:
        message = f"{key!r}{owner} is wrong: {first['msg']}; correct it."
    return message, (*place, (str(key), ""))


def _walk(outer: Sequence[str | int], data: Any) -> Iterator[tuple[str, str]]:
    """Yield the lists that lead to a place in a file, each with the name or number of the entry there."""
    for i, step in enumerate(outer):
        data = data[step]
        if isinstance(step, int):
            yield str(outer[i - 1]), str(data.get("name", step + 1) if isinstance(data, dict) else step + 1)


def _say_line(text: str, place: Sequence[tuple[str, str]]) -> str:
    """Find settings one after another in a file, and return the line of the last that is there."""
    text, end = re.sub(r"(?m)^[ \t]*#.*", "", text), 0
    for key, value in place:
        wanted = rf"(?<![\w-]){re.escape(key)}[\"']?\s*[=\]]" + (
            rf"\s*[\"']{re.escape(value)}[\"']" if value else ""
        )
        if match := re.compile(wanted).search(text, end):
            end = match.end()
    return f", line {text.count(chr(10), 0, end) + 1}" if end else ""
