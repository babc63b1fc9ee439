"""Recipes, data, the training run and sweeps."""

from galvote.training.batches import Batch, GalaxyBatches
from galvote.training.examples import Examples, TrainingData, gather_examples
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe, validate_recipe
from galvote.training.run import STORE, refuse_taken, train
from galvote.training.world import World, launch

__all__ = [
    "STORE",
    "Batch",
    "Examples",
    "GalaxyBatches",
    "Recipe",
    "TrainingData",
    "World",
    "gather_examples",
    "launch",
    "load_recipe",
    "refuse_taken",
    "train",
    "validate_recipe",
]
