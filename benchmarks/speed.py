"""How many galaxies a second a model predicts, and on which machine."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from galvote import Predictor


def galaxies_per_second(
    predictor: Predictor, cutouts: np.ndarray, *, views: int = 1, threads: int = 1, rounds: int = 5
) -> float:
    """Time predictions of decoded cutouts, from uint8 pixels to vote fractions.

    Parameters
    ----------
    cutouts
        Of the model's own geometry; all are predicted in each round.
    rounds
        The fastest counts, because other work on the machine can only slow one down.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        predictor.predict_features(cutouts[:64], views)
        fastest = np.inf
        for _ in range(rounds):
            began = time.perf_counter()
            predictor.predict_features(cutouts, views)
            fastest = min(fastest, time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return float(len(cutouts) / fastest)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def describe_machine() -> str:
    """Return processor and cores in words."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores()} cores"
