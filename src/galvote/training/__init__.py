"""Recipes, data, the training run and sweeps."""

from galvote.errors import require_torch

require_torch("Training")

from galvote.training.examples import TrainingData  # noqa: E402
from galvote.training.from_files import train  # noqa: E402
from galvote.training.recipe import Recipe  # noqa: E402
from galvote.training.recipe_files import load_recipe  # noqa: E402
from galvote.training.run import fit  # noqa: E402

__all__ = ["Recipe", "TrainingData", "fit", "load_recipe", "train"]
