"""The metrics by name; `score` computes all of them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from galvote.metrics.comparison import Comparison

Metric = Callable[[Comparison], Any]

METRICS: dict[str, Metric] = {}
"""What `score` computes, by the name that it has in the scores; filled by `register_metric`."""


def register_metric(name: str) -> Callable[[Metric], Metric]:
    """Return a decorator that makes a function of a `Comparison` one of the metrics.

    What it returns must be plain data: a number, a text, or a mapping or sequence of them; ``None`` if the
    comparison has nothing to measure it by.

    Parameters
    ----------
    name
        The key of its result among the scores, in ``scores.json`` and in ``evaluate --json``.
    """

    def register(metric: Metric) -> Metric:
        METRICS[name] = metric
        return metric

    return register


def score(compared: Comparison) -> dict[str, Any]:
    """Return every registered metric by name, ready for JSON: unknown numbers are None, empty results absent.

    Parameters
    ----------
    compared
        Predictions and votes.
    """
    results = {name: metric(compared) for name, metric in METRICS.items()}
    return {name: _plain(result) for name, result in results.items() if result is not None}


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data
