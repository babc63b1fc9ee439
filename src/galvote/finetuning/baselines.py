"""What labels can be told by without any training: how frequent they are, and what the model says already."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from galvote.finetuning.crossfit import OutOfFold, leave_out
from galvote.finetuning.head import FOLDS, Head, Known, fit_head, to_fractions
from galvote.finetuning.own_answers import agree
from galvote.trees import DecisionTree, Question, share_numbers

_STRENGTH = 100.0

Fractions = Float[np.ndarray, "galaxy answer"]


def most_frequent(known: Known) -> Fractions:
    """Predict the same of each galaxy: how frequent the answers are, or the mean of the others' numbers.

    Of classes none is left out: without a part, what is frequent there would be rarer, and the baseline worse
    than chance.
    """
    if known.tree.number is not None:
        found = _leave_out(known, known.tree.number, lambda numbers, others, own: numbers[others].mean())
        return found.fractions
    blind = np.zeros((1, len(known), 1), np.float32)
    head = _learn(replace(known, features=blind, answers=0))
    return to_fractions(known.tree, head.logits(blind[0]), np.ones(len(known.tree.questions)))


def nearest_answers(
    known: Known, own: DecisionTree, fractions: Float[np.ndarray, "galaxy own"]
) -> tuple[OutOfFold, tuple[str, ...]]:
    """Predict each galaxy by those answers of a model, untrained, that rank the others' labels best.

    Given are the model's own tree and its cumulative fractions, returned predictions and the names of the
    answers that are chosen in most parts. One answer's fraction becomes a probability by a logistic curve of
    two numbers (Platt), which the other galaxies give; a number by a straight line, and of one answer only.
    """
    chosen = Counter[int]()
    if known.tree.number is not None:
        ranks = rankdata(fractions, axis=0)

        def predict(numbers: np.ndarray, others: np.ndarray, rows: np.ndarray) -> np.ndarray:
            column = int(agree(ranks[others], rankdata(numbers[others])[:, None]).argmax())
            chosen[column] += 1
            line = np.polynomial.Polynomial.fit(fractions[others, column], numbers[others], 1)
            return np.asarray(line(fractions[rows, column]))

        found = _leave_out(known, known.tree.number, predict)
        return found, (own.labels[chosen.most_common(1)[0][0]],)
    clipped = np.clip(fractions.astype(np.float64), 1e-4, 1 - 1e-4)
    logits = np.log(clipped / (1 - clipped))
    spread = np.where(logits.std(axis=0) > 1e-9, logits.std(axis=0), 1)
    scaled = ((logits - logits.mean(axis=0)) / spread).astype(np.float32)

    def fit(part: Known) -> Head:
        columns = _choose(part)
        chosen.update(columns)
        head = _learn(replace(part, features=part.features[:, :, columns]))
        weight = np.zeros((len(part.tree), len(own)))
        weight[:, columns] = head.weight
        return replace(head, weight=weight)

    found = leave_out(replace(known, features=scaled[None], answers=0), fit=fit)
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
        chosen.update(agree(ranks[asked], part.shares[asked, columns]).argmax(axis=0).tolist())
    return sorted(chosen or {0})


def _leave_out(
    known: Known, question: Question, predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
) -> OutOfFold:
    """Predict numbers of each part's galaxies, given all numbers and the rows of the others and of these."""
    numbers = known.shares @ question.values
    fold, shares = np.zeros(len(known), int), np.zeros_like(known.shares)
    for place, (others, own) in enumerate(known.folds(FOLDS)):
        fold[own] = place
        shares[own] = share_numbers(question, np.broadcast_to(predict(numbers, others, own), len(own)))
    return OutOfFold(fold, shares, shares)
