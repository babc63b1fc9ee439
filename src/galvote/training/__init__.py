"""Recipes, data, the training run and sweeps."""

from galvote.training.batches import Batch, GalaxyBatches
from galvote.training.examples import Examples, TrainingData, gather_examples
from galvote.training.from_files import train
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe, validate_recipe
from galvote.training.run import fit

__all__ = [
    "Batch",
    "Examples",
    "GalaxyBatches",
    "Recipe",
    "TrainingData",
    "fit",
    "gather_examples",
    "load_recipe",
    "train",
    "validate_recipe",
]
