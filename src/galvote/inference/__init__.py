"""Prediction with a trained model."""

from galvote.inference.backends import BACKENDS, Backend
from galvote.inference.explanation import METHODS, Explanation, Method, attribute, explain, rotate
from galvote.inference.export import export_model, refuse_unexportable
from galvote.inference.parts import PART_SIZE, Made, Parts, Plan, make_parts, make_plan
from galvote.inference.prediction import LEVEL, Prediction, make_prediction
from galvote.inference.predictor import Predictor, Settings

__all__ = [
    "BACKENDS",
    "LEVEL",
    "METHODS",
    "PART_SIZE",
    "Backend",
    "Explanation",
    "Made",
    "Method",
    "Parts",
    "Plan",
    "Prediction",
    "Predictor",
    "Settings",
    "attribute",
    "explain",
    "export_model",
    "make_parts",
    "make_plan",
    "make_prediction",
    "refuse_unexportable",
    "rotate",
]
