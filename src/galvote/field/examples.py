"""The example galaxies, predicted, beside what their volunteers voted."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from galvote.examples import FOLDER, example_kinds
from galvote.field.files import SHEET, make_card
from galvote.images import decode_cutout
from galvote.inference import Prediction, Predictor
from galvote.io import read_table, write_table
from galvote.io.atomic import write_whole
from galvote.report.field_page import draw_field_page
from galvote.report.image_files import write_png
from galvote.report.sheet import draw_sheet
from galvote.trees import load_tree
from galvote.trees.kinds import name_kind


@dataclass(frozen=True, eq=False)
class Examples:
    """The example galaxies: the first of each kind, the second of each, and so on.

    Parameters
    ----------
    prediction
        Of each galaxy, by a model with the tree `gz2`.
    voted
        The survey's weighted fractions, cumulative.
    kinds
        What volunteers say each one is.
    """

    prediction: Prediction
    voted: Float[np.ndarray, "galaxy answer"]
    kinds: tuple[str, ...]

    def say_voted(self, row: int) -> str:
        """Return what volunteers say of a galaxy, and how many: ``barred spiral 0.84``."""
        return f"{self.kinds[row]} {name_kind(self.prediction.tree, self.voted[row]).fraction:.2f}"

    def describe(self) -> str:
        """Return in a sentence what they are and how many of the votes are within the intervals."""
        said = (
            f"{len(self.kinds)} galaxies of the Sloan Digital Sky Survey that no shipped model learned from."
        )
        low, high, level = self.prediction.low, self.prediction.high, self.prediction.level
        if low is None or high is None:
            return said
        held = ((self.voted >= low - 1e-6) & (self.voted <= high + 1e-6)).mean()
        return f"{said} {held:.0%} of their votes are within the {level:.0%} intervals."


def predict_examples(predictor: Predictor, *, tta: int = 1, level: float | None = None) -> Examples:
    """Predict the example galaxies with a model that has the tree `gz2`."""
    tree, kinds, seen = load_tree("gz2"), example_kinds(), Counter[str]()
    rounds = dict[Path, int]()
    for path, kind in kinds.items():
        rounds[path] = seen[kind]
        seen[kind] += 1
    paths = sorted(kinds, key=lambda path: rounds[path])
    table = read_table(FOLDER / "weighted.csv")
    row_of = {name: row for row, name in enumerate(table["id"].to_pylist())}
    voted = np.column_stack([table[column] for column in tree.columns])[[row_of[path.stem] for path in paths]]
    prediction = predictor.predict(paths, tta=tta, level=level)
    return Examples(prediction, voted, tuple(kinds[path] for path in paths))


def write_examples(examples: Examples, out: Path, *, more: str = "") -> tuple[Path, ...]:
    """Write ``index.html``, ``examples.png`` and ``examples.csv``; `more` is what the page goes on to."""
    prediction, rows = examples.prediction, range(len(examples.kinds))
    cards = [
        make_card(
            prediction,
            row,
            examples.voted[row],
            number=row + 1,
            cutout=decode_cutout((FOLDER / f"{prediction.ids[row]}.jpg").read_bytes(), SHEET),
            volunteers=examples.say_voted(row),
        )
        for row in rows
    ]
    page, sheet, table = (out / name for name in ("index.html", "examples.png", "examples.csv"))
    write_table(prediction.to_arrow(), table, overwrite=True)
    write_png(
        draw_sheet(cards, title="Predicted votes with intervals; ticks are what volunteers voted"), sheet
    )
    html = draw_field_page(
        cards,
        prediction.fractions,
        prediction.tree,
        prediction.low,
        prediction.high,
        examples.voted,
        title="Galaxies that volunteers agree on",
        found=examples.describe(),
        catalogue=table.name,
        image=(sheet.name, "Each galaxy with its predicted votes and those of the volunteers"),
        heading="Each galaxy",
        more=more,
    )
    write_whole(page, html)
    return page, sheet, table
