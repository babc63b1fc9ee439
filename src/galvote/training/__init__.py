"""Recipes, data, the training run and sweeps."""

from galvote.training.data import Batch, Examples, GalaxyBatches, TrainingData, gather_examples
from galvote.training.recipe import Recipe, load_recipe, recipe_names, validate_recipe
from galvote.training.run import STORE, refuse_taken, train
from galvote.training.team import Team, gather

__all__ = [
    "STORE",
    "Batch",
    "Examples",
    "GalaxyBatches",
    "Recipe",
    "Team",
    "TrainingData",
    "gather",
    "gather_examples",
    "load_recipe",
    "recipe_names",
    "refuse_taken",
    "train",
    "validate_recipe",
]
