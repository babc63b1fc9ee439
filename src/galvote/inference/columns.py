"""What the columns of predictions mean, for tables that say so."""

from __future__ import annotations

import pyarrow as pa

from galvote.io.columns import describe
from galvote.trees import DecisionTree

_ENDS = (
    ("", "Predicted", "stat.probability"),
    ("_low", "Lower end of the {level:.12g} interval of the", "stat.probability;stat.min"),
    ("_high", "Upper end of the {level:.12g} interval of the", "stat.probability;stat.max"),
)


def describe_predictions(schema: pa.Schema, tree: DecisionTree, level: float) -> pa.Schema:
    """Return the schema of predictions with what `table_columns.about` tells of each column.

    `level` is the share of votes that the intervals are to hold, in (0, 1). Fractions have the unit "", as
    dimensionless numbers have in FITS and VOTable.
    """
    known: dict[str, tuple[str, str | None, str]] = {
        "id": ("Name of the galaxy", None, "meta.id;meta.main"),
        "status": ("ok, or what was wrong with the picture", None, "meta.code.status"),
        "reason": ("Why there is no prediction", None, "meta.note"),
        "ood": ("Whether the picture is unlike the training galaxies", None, "meta.code.qual"),
        "features": ("Features of the picture in the model's network", "", "stat.value"),
    }
    for question in tree.questions:
        for answer in question.answers:
            said = f'share of all votes for "{answer.text}" in "{question.text}"'
            for ending, what, ucd in _ENDS:
                known[answer.column + ending] = (f"{what.format(level=level)} {said}", "", ucd)
    return pa.schema(
        [describe(field, *known[field.name]) if field.name in known else field for field in schema]
    )
