"""Prediction with a trained model."""

from galvote.inference.predictor import Predictor

__all__ = ["Predictor"]
