"""Prediction with a trained model."""

from galvote.inference.parts import PART_SIZE, Made, Parts, Plan, make_parts, make_plan
from galvote.inference.predictor import Predictor, Settings

__all__ = ["PART_SIZE", "Made", "Parts", "Plan", "Predictor", "Settings", "make_parts", "make_plan"]
