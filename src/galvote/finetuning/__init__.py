"""Learn a user's own labels from what a trained model knows of galaxies."""

from galvote.finetuning.from_labels import finetune
from galvote.finetuning.result import Doubt, Finetuned, Numbers, Point, Score

__all__ = ["Doubt", "Finetuned", "Numbers", "Point", "Score", "finetune"]
