"""A wide image: find its galaxies, measure them, classify them, show them."""

from galvote.field.detect import FoundGalaxies, cut_out, find_galaxies
from galvote.field.field import Field
from galvote.field.files import refuse_taken, write_field
from galvote.field.find import find_field

__all__ = [
    "Field",
    "FoundGalaxies",
    "cut_out",
    "find_field",
    "find_galaxies",
    "refuse_taken",
    "write_field",
]
