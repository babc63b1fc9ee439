"""Prediction with a trained model."""

from galvote.inference.explanation import METHODS, Explanation, Method, attribute, explain, turn
from galvote.inference.parts import PART_SIZE, Parts, Plan, make_parts, make_plan
from galvote.inference.predictor import Predictor, Settings

__all__ = [
    "METHODS",
    "PART_SIZE",
    "Explanation",
    "Method",
    "Parts",
    "Plan",
    "Predictor",
    "Settings",
    "attribute",
    "explain",
    "make_parts",
    "make_plan",
    "turn",
]
