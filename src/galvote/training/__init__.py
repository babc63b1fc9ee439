"""Recipes, data, the training run and sweeps."""

from galvote.training.data import Batch, Examples, GalaxyBatches, TrainingData, gather_examples
from galvote.training.recipe import Recipe, load_recipe, recipe_names, validate_recipe
from galvote.training.run import STORE, train

__all__ = [
    "STORE",
    "Batch",
    "Examples",
    "GalaxyBatches",
    "Recipe",
    "TrainingData",
    "gather_examples",
    "load_recipe",
    "recipe_names",
    "train",
    "validate_recipe",
]
