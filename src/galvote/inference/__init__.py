"""Prediction with a trained model."""

from galvote.inference.backends import BACKENDS, Backend
from galvote.inference.explanation import METHODS, Explanation, Method, explain, rotate
from galvote.inference.manifest import Manifest
from galvote.inference.prediction import LEVEL, Prediction, make_prediction
from galvote.inference.predictor import Predictor
from galvote.inference.settings import Settings
from galvote.inference.shards import SHARD_SIZE, Shards

__all__ = [
    "BACKENDS",
    "LEVEL",
    "METHODS",
    "SHARD_SIZE",
    "Backend",
    "Explanation",
    "Manifest",
    "Method",
    "Prediction",
    "Predictor",
    "Settings",
    "Shards",
    "explain",
    "make_prediction",
    "rotate",
]
