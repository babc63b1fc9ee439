"""The page beside the images of a field: its clearest galaxies, each with its votes down the tree."""

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

    `cards` are those of the sheets, `found` is a sentence that says what was found, and `catalogue` the name
    of the file beside the page that has all galaxies.
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
