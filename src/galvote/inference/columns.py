"""The columns of predictions, and what each one means."""

from collections.abc import Sequence

import pyarrow as pa

from galvote.io.columns import describe
from galvote.trees import DecisionTree

_ABOUT = {
    "id": ("Name of the galaxy", None, "meta.id;meta.main"),
    "status": ("ok, or what was wrong with the image", None, "meta.code.status"),
    "reason": ("Why there is no prediction, or what was done to the image", None, "meta.note"),
    "r90_pixels": ("r90 in pixels of the image, measured or from a catalogue", "pix", "phys.angSize"),
    "scale_factor": ("Times larger than in a GZ2 frame; the image was shrunk by it", "", "arith.factor"),
    "ood": ("Whether the image is out of distribution: unlike the training galaxies", None, "meta.code.qual"),
    "ood_score": ("Percentile, 0 to 100, of its distance among held-out galaxies", None, "stat.rank"),
    "features": ("Features of the image in the model's network", "", "stat.value"),
}
"""Description, unit and UCD of the columns that every tree has."""

_ENDS = (
    ("", "Predicted share", "stat.probability"),
    ("_low", "Lower end of the {level}interval of the share", "stat.probability;stat.min"),
    ("_high", "Upper end of the {level}interval of the share", "stat.probability;stat.max"),
)
"""Ending, description and UCD of an answer's columns."""


SET_JOINT = " | "
"""What stands between the classes of a set."""

_NUMBER = (
    ("", 'Predicted number, the mean of the answers to "{question}"', "stat.mean"),
    ("_low", 'Lower end of the {level}interval of the number in "{question}"', "stat.min"),
    ("_high", 'Upper end of the {level}interval of the number in "{question}"', "stat.max"),
)
"""Ending, description and UCD of the columns of a question whose answers are numbers."""


def prediction_schema(
    tree: DecisionTree,
    level: float | None,
    *,
    calibrated: bool,
    features: int = 0,
    conditional: bool = False,
    scaled: bool = False,
    bounded: bool = False,
    sets: bool = False,
) -> pa.Schema:
    """Return the columns of a prediction, with what each one means in the fields' metadata.

    Numbers have intervals if they are ``bounded``; there is a column of ``sets`` of classes if asked for.
    """
    promised = "" if level is None else f"{level:.12g} "

    def answers(names: Sequence[str], endings: Sequence[tuple[str, str, str]], voters: str) -> list[pa.Field]:
        asked = [question for question in tree.questions for _ in question.answers]
        return [
            describe(
                pa.field(name + ending, pa.float32()),
                f'{what.format(level=promised)} of {voters} for "{answer.text}" in "{question.text}"',
                "",
                ucd,
            )
            for name, answer, question in zip(names, tree.answers, asked, strict=True)
            for ending, what, ucd in endings
        ]

    fields = [pa.field(name, pa.string()) for name in ("id", "status", "reason")]
    fields += [pa.field(name, pa.float32()) for name in ("r90_pixels", "scale_factor")] if scaled else []
    fields += [pa.field("ood", pa.bool_()), pa.field("ood_score", pa.float32())] if calibrated else []
    for question in tree.numbers:
        fields += [
            describe(
                pa.field(question.name + ending, pa.float32()),
                what.format(level=promised, question=question.text),
                question.unit,
                ucd,
            )
            for ending, what, ucd in (_NUMBER if bounded else _NUMBER[:1])
        ]
    if sets:
        about = (
            f'Classes of which one is right for {level:.12g} of the galaxies, in "{tree.questions[0].text}"'
        )
        fields.append(describe(pa.field(set_name(level), pa.string()), about, None, "meta.code.class"))
    fields = [*fields, *answers(tree.columns, _ENDS[:1], "all votes")]
    fields += answers(tree.columns, _ENDS[1:], "all votes") if calibrated else []
    if conditional:
        endings = _ENDS if calibrated else _ENDS[:1]
        fields += answers(conditional_names(tree), endings, "the votes of those who were asked")
    fields += [pa.field("features", pa.list_(pa.float16(), features))] if features else []
    return pa.schema(
        [describe(field, *_ABOUT[field.name]) if field.name in _ABOUT else field for field in fields]
    )


def set_name(level: float | None) -> str:
    """Return the column of the classes that a galaxy may have, as ``set_0.9``."""
    return f"set_{level:.12g}"


def conditional_names(tree: DecisionTree) -> tuple[str, ...]:
    """Return the columns of conditional fractions: the answers' labels, as ``bar``, marked if taken."""
    taken = {column.lower() for column in tree.columns}
    return tuple(f"{name}_conditional" if name.lower() in taken else name for name in tree.labels)
