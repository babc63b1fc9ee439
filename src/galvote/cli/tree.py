"""`galvote tree`: list the decision trees, or print one and check a file of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from galvote.trees import DecisionTree


def tree(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="A shipped tree, or a TOML file to check.")
    ] = None,
) -> None:
    """List the decision trees, or print one: questions, answers, and where each answer leads."""
    from galvote.trees import list_trees, load_tree

    if name is not None:
        typer.echo("\n".join(_describe(load_tree(name))))
        return
    for each in map(load_tree, list_trees()):
        typer.echo(f"{each.name:16}{len(each):2} answers  {each.title}")


def _describe(tree: DecisionTree) -> Iterator[str]:
    numbers = {question.name: number for number, question in enumerate(tree.questions, start=1)}
    columns, labels, texts = (
        max(map(len, texts))
        for texts in (tree.columns, tree.labels, [answer.text for answer in tree.answers])
    )
    yield f"{tree.name}: {len(tree)} answers. {tree.title}"
    for question in tree.questions:
        yield f"\n{numbers[question.name]} {question.name}: {question.text}"
        for answer in question.answers:
            follows = f"{numbers[answer.leads_to]} {answer.leads_to}" if answer.leads_to else "end"
            yield f"  {answer.column:{columns}}  {answer.label:{labels}}  {answer.text:{texts}}  → {follows}"
    published = [f"{column} ({form})" for form, column in tree.answers[0].columns.items() if column]
    kinds = [kind.name for kind in tree.kinds]
    for title, text in (
        ("Also read", ", ".join(published) + ", …" if published else ""),
        ("Kinds", ", ".join(kinds)),
        ("Published", tree.citation),
        ("Notes", tree.notes),
    ):
        if text:
            yield f"\n{title}: {text}"
