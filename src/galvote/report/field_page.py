"""The page beside the pictures of a field: its clearest galaxies, each with its votes down the tree."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
from jaxtyping import Float

from galvote.report.images import Card, to_data_url
from galvote.report.style import style_sheet
from galvote.report.tree_drawing import NARROW, draw_tree
from galvote.trees import DecisionTree


def draw_field_page(
    cards: Sequence[Card],
    fractions: Float[np.ndarray, "card answer"],
    tree: DecisionTree,
    low: Float[np.ndarray, "card answer"] | None = None,
    high: Float[np.ndarray, "card answer"] | None = None,
    *,
    title: str,
    found: str,
    catalogue: str,
) -> str:
    """Return the HTML of a page that shows ``annotated.png`` and some galaxies, in the look of the reports.

    Parameters
    ----------
    cards
        The galaxies, as on the sheets.
    fractions
        Their cumulative fractions in [0, 1], in ``tree.columns`` order.
    low, high
        The ends of their intervals, if there are any.
    title
        Name of the field.
    found
        A sentence that says what was found.
    catalogue
        Name of the file beside the page that has all galaxies.
    """
    none = [None] * len(cards)
    all_votes = zip(fractions, none if low is None else low, none if high is None else high, strict=True)
    template = Template((files("galvote.report") / "field.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title or "A field"),
        style=style_sheet(),
        found=escape(found),
        then="" if low is None else ", then the interval",
        catalogue=escape(catalogue),
        galaxies="".join(_galaxy(card, tree, *votes) for card, votes in zip(cards, all_votes, strict=True)),
    )


def _galaxy(
    card: Card,
    tree: DecisionTree,
    fractions: Float[np.ndarray, " answer"],
    low: Float[np.ndarray, " answer"] | None,
    high: Float[np.ndarray, " answer"] | None,
) -> str:
    note = f'<dt>beware</dt><dd class="differs">{escape(card.note)}</dd>' if card.note else ""
    drawing = draw_tree(tree, fractions, low, high, width=NARROW)
    return (
        f'<article class="galaxy"><img alt="galaxy {card.number}" src="{to_data_url(card.cutout)}"><div>'
        f"<header><b>{card.number}</b><span>{escape(card.label)}</span></header>"
        f"<dl><dt>most likely</dt><dd>{escape(card.path)}</dd>{note}</dl>"
        f"<details><summary>Its votes down the tree</summary>{drawing}</details></div></article>"
    )
