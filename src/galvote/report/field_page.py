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
    voted: Float[np.ndarray, "card answer"] | None = None,
    *,
    title: str,
    found: str,
    catalogue: str,
    image: tuple[str, str] = ("annotated.png", "The field with its galaxies outlined and named"),
    heading: str = "Clearest galaxies of each kind",
    more: str = "",
) -> str:
    """Return the HTML of a page that shows an image and some galaxies, in the look of the reports.

    `cards` are those of the sheets, `found` is a sentence that says what was found, `catalogue` the name of
    the file beside the page that has all galaxies, `image` the file of the image and what it shows, and
    `more` the address of a page that goes on.
    """
    arrays = [each if each is not None else [None] * len(cards) for each in (fractions, low, high, voted)]
    drawings = [
        draw_tree(tree, *each, voted=votes, width=NARROW) for *each, votes in zip(*arrays, strict=True)
    ]
    return fill_template(
        "field.html",
        title=title or "A field",
        found=found,
        intervals=low is not None,
        catalogue=catalogue,
        image=image,
        heading=heading,
        more=more,
        galaxies=[(card, to_data_url(card.cutout), draw) for card, draw in zip(cards, drawings, strict=True)],
    )
