"""Recipes, data, the training run and sweeps."""

from galvote.errors import require_torch

try:
    from galvote.training.examples import TrainingData
    from galvote.training.from_files import train
    from galvote.training.recipe import Recipe
    from galvote.training.recipe_files import load_recipe
    from galvote.training.run import fit
except ModuleNotFoundError:
    require_torch("Training")
    raise

__all__ = ["Recipe", "TrainingData", "fit", "load_recipe", "train"]
