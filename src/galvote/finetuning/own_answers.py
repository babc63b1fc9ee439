"""What a model answers already: where its features lead to each answer, and which answers follow labels."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from safetensors.numpy import load_file
from scipy.special import softmax

from galvote.models import load_card
from galvote.models.card import WEIGHTS
from galvote.trees import DecisionTree, to_cumulative

_LAYER = "head.linear"


def answer_directions(
    model: Path, features: Float32[np.ndarray, "galaxy feature"]
) -> Float[np.ndarray, "answer feature"]:
    """Return how the logarithm of each answer's cumulative fraction changes with the features.

    That is its gradient in the mean of some galaxies' features, along the answer's path, by the model's
    linear head. Labels that mean much the same as an answer need little more than its direction. There are
    none if the saved model has no such head.
    """
    tree, stored = DecisionTree.from_dict(load_card(model).tree), load_file(model / WEIGHTS)
    if f"{_LAYER}.weight" not in stored:
        return np.zeros((0, features.shape[1]))
    weight, bias = (stored[f"{_LAYER}.{name}"].astype(np.float64) for name in ("weight", "bias"))
    logits = features @ weight.T + bias
    shares = [softmax(logits[:, own], axis=1).mean(axis=0) for own in tree.slices.values()]
    cumulative = to_cumulative(tree, np.concatenate(shares)[None])[0]
    directions = np.zeros_like(weight)
    for question in tree.asking_order:
        own, parents = tree.slices[question.name], list(tree.parents[question.name])
        share = shares[tree.questions.index(question)]
        directions[own] = weight[own] - share @ weight[own]
        if parents and not question.always_asked:
            often = np.maximum(cumulative[parents], 1e-9)
            directions[own] += np.average(directions[parents], axis=0, weights=often)
    return np.asarray(directions)


def agree(
    columns: Float[np.ndarray, "galaxy column"], values: Float[np.ndarray, "galaxy value"]
) -> Float[np.ndarray, "column value"]:
    """Return the absolute correlations of columns with others; 0 with what is the same for all galaxies."""
    both = np.concatenate([columns, values], axis=1, dtype=np.float64)
    both = both - both.mean(axis=0)
    both = both / np.maximum(np.linalg.norm(both, axis=0), 1e-12)
    return np.asarray(np.abs(both[:, : columns.shape[1]].T @ both[:, columns.shape[1] :]))
