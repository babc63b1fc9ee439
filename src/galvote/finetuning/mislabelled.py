"""Labels that are probably wrong."""

import numpy as np
from jaxtyping import Float

from galvote.finetuning.result import Doubt
from galvote.trees import DecisionTree

_UNLIKELY = 0.2
"""Of hard classes, confident learning alone would doubt a quarter of the labels, most of them right."""


def find_mislabelled(
    tree: DecisionTree,
    ids: tuple[str, ...],
    actual: Float[np.ndarray, "galaxy answer"],
    predicted: Float[np.ndarray, "galaxy answer"],
) -> tuple[Doubt, ...]:
    """Return labels that out-of-fold predictions contradict, the worst first.

    Of one question, `actual` is 1 for the given class and 0 for others; what is predicted are probabilities.
    Doubted is what confident learning doubts (Northcutt, Jiang & Chuang 2021, JAIR 70, 1373), as cleanlab
    does it, and what has a probability below 0.2.
    """
    from cleanlab.filter import find_label_issues

    given = actual.argmax(axis=1)
    suspects = find_label_issues(given, predicted, return_indices_ranked_by="self_confidence", n_jobs=1)
    names = [answer.name for answer in tree.answers]
    return tuple(
        Doubt(ids[row], names[given[row]], names[predicted[row].argmax()], float(predicted[row, given[row]]))
        for row in np.asarray(suspects).tolist()
        if predicted[row, given[row]] < _UNLIKELY
    )
