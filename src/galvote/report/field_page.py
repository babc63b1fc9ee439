"""The page beside the images of a field: its clearest galaxies, each with its votes down the tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from galvote.report.image_files import to_data_url
from galvote.report.pages import fill_template
from galvote.report.sheet import Card
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
    tree
        The model's tree.
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
    votes = zip(fractions, none if low is None else low, none if high is None else high, strict=True)
    drawings = [draw_tree(tree, *each, width=NARROW) for each in votes]
    return fill_template(
        "field.html",
        title=title or "A field",
        found=found,
        intervals=low is not None,
        catalogue=catalogue,
        galaxies=[(card, to_data_url(card.cutout), draw) for card, draw in zip(cards, drawings, strict=True)],
    )
