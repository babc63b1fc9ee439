"""How likely the predicted fractions make what volunteers answered."""

from typing import Any

import numpy as np

from galvote.metrics.comparison import Comparison
from galvote.metrics.registry import register_metric

_LEAST = 1e-3
"""Fractions below count as this: an answer that is called impossible costs much, but not everything."""


@register_metric("kl_divergence")
def _kl_divergence(compared: Comparison) -> dict[str, Any]:
    """Return the log-likelihood that predictions lose against the volunteers' own fractions.

    ``overall`` and by ``questions``: the Kullback-Leibler divergence of the predicted conditional fractions
    from the voted ones, in nats for each answer given; 0 is perfect. Galaxies weigh as much as the share of
    their volunteers who were asked. NaN for a question of which no galaxy's answers are all known.
    """
    lost, answers = dict[str, float](), dict[str, float]()
    for name, place in compared.tree.slices.items():
        known = compared.known[:, place].all(axis=1)
        voted = compared.actual[known, place].clip(0, 1)
        conditional, predicted = _conditional(voted), _conditional(compared.predicted[known, place])
        lost[name] = float((voted * np.log(conditional / predicted)).sum())
        answers[name] = float(voted.sum())
    by_question = {name: lost[name] / answers[name] if answers[name] else np.nan for name in lost}
    total = sum(answers.values())
    return {"overall": sum(lost.values()) / total if total else np.nan, "questions": by_question}


def _conditional(cumulative: np.ndarray) -> Any:
    kept = np.maximum(cumulative, 0) + 1e-12
    least = np.maximum(kept / kept.sum(axis=1, keepdims=True), _LEAST)
    return least / least.sum(axis=1, keepdims=True)
