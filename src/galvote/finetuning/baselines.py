"""What labels can be told by without any training: how frequent they are, and what the model says already."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from galvote.finetuning.crossfit import OutOfFold, leave_out
from galvote.finetuning.head import Head, Known, fit_head, to_fractions
from galvote.trees import DecisionTree

_STRENGTH = 100.0

Fractions = Float[np.ndarray, "galaxy answer"]


def most_frequent(known: Known) -> Fractions:
    """Predict the same of each galaxy: how frequent the answers are.

    Parameters
    ----------
    known
        The labels, of which none is left out: without a part, what is frequent there would be rarer, and the
        baseline worse than chance.

    Returns
    -------
    Cumulative fractions.
    """
    blind = np.zeros((1, len(known), 1), np.float32)
    head = _learn(replace(known, features=blind))
    return to_fractions(known.tree, head.logits(blind[0]), np.ones(len(known.tree.questions)))


def nearest_answers(
    known: Known, own: DecisionTree, fractions: Float[np.ndarray, "galaxy own"]
) -> tuple[OutOfFold, tuple[str, ...]]:
    """Predict each galaxy by those answers of a model, untrained, that rank the others' labels best.

    Parameters
    ----------
    known
        The labels.
    own, fractions
        The model's tree, and its cumulative fractions.

    Returns
    -------
    Predictions, and the names of the answers that are chosen in most parts. One answer's fraction becomes a
    probability by a logistic curve of two numbers (Platt), which the other galaxies give.
    """
    clipped = np.clip(fractions.astype(np.float64), 1e-4, 1 - 1e-4)
    logits = np.log(clipped / (1 - clipped))
    spread = np.where(logits.std(axis=0) > 1e-9, logits.std(axis=0), 1)
    scaled = ((logits - logits.mean(axis=0)) / spread).astype(np.float32)
    chosen = Counter[int]()

    def fit(part: Known) -> Head:
        columns = _choose(part)
        chosen.update(columns)
        head = _learn(replace(part, features=part.features[:, :, columns]))
        weight = np.zeros((len(part.tree), len(own)))
        weight[:, columns] = head.weight
        return replace(head, weight=weight)

    found = leave_out(replace(known, features=scaled[None]), fit=fit)
    usual = [column for column, times in chosen.most_common() if 2 * times > found.fold.max() + 1]
    return found, tuple(own.labels[column] for column in usual or [chosen.most_common(1)[0][0]])


def _learn(known: Known) -> Head:
    return fit_head(known, [_STRENGTH] * len(known.tree.questions))


def _choose(part: Known) -> list[int]:
    """Return the columns whose ranks follow the shares of one of the answers best."""
    ranks = rankdata(part.features[0], axis=0)
    chosen = set[int]()
    for place, columns in enumerate(part.tree.slices.values()):
        asked = part.weights[:, place] > 0
        if asked.sum() < 3:
            continue
        both = np.concatenate([ranks[asked], part.shares[asked, columns]], axis=1)
        both = both - both.mean(axis=0)
        both = both / np.maximum(np.linalg.norm(both, axis=0), 1e-12)
        agreement = np.abs(both[:, : ranks.shape[1]].T @ both[:, ranks.shape[1] :])
        chosen.update(agreement.argmax(axis=0).tolist())
    return sorted(chosen or {0})
