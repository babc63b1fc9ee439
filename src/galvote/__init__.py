"""galvote: from a picture of a galaxy to the votes of a crowd."""

__version__ = "0.1.0"
