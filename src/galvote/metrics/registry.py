"""The metrics by name; `score` computes all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from galvote.metrics.comparison import Comparison

Metric = Callable[[Comparison], Any]

METRICS: dict[str, Metric] = {}
"""What `score` computes, by the name that it has in the scores; filled by `register_metric`."""


def register_metric(name: str) -> Callable[[Metric], Metric]:
    """Make a function one of the metrics.

    Parameters
    ----------
    name
        The key of its result among the scores, in ``scores.json`` and in ``evaluate --json``.

    Returns
    -------
    A decorator for a function of a `Comparison`. What the function returns must be plain data: a number, a
    text, or a mapping or sequence of them; ``None`` if the comparison has nothing to measure it by.

    Examples
    --------
    >>> @register_metric("largest_error")
    ... def largest_error(compared: Comparison) -> float:
    ...     return float(np.nanmax(np.abs(compared.predicted - compared.actual)))
    """

    def register(metric: Metric) -> Metric:
        METRICS[name] = metric
        return metric

    return register


def score(compared: Comparison) -> dict[str, Any]:
    """Compute every registered metric.

    Parameters
    ----------
    compared
        Predictions and votes.

    Returns
    -------
    Results by name, ready for JSON: unknown numbers are ``None``, and metrics without a result are absent.
    """
    results = {name: metric(compared) for name, metric in METRICS.items()}
    return {name: _plain(result) for name, result in results.items() if result is not None}


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data
