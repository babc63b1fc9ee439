"""Recipes, data, the training run and sweeps."""

from galvote.training.examples import TrainingData
from galvote.training.from_files import train
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.run import fit

__all__ = ["Recipe", "TrainingData", "fit", "load_recipe", "train"]
