"""Prediction with a trained model."""

from galvote.inference.backends import BACKENDS, Backend
from galvote.inference.export import export_model, refuse_unexportable
from galvote.inference.parts import PART_SIZE, Made, Parts, Plan, make_parts, make_plan
from galvote.inference.predictor import Predictor, Settings

__all__ = [
    "BACKENDS",
    "PART_SIZE",
    "Backend",
    "Made",
    "Parts",
    "Plan",
    "Predictor",
    "Settings",
    "export_model",
    "make_parts",
    "make_plan",
    "refuse_unexportable",
]
