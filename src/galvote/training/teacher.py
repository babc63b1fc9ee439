"""Distillation: a trained model's predictions are learned from, beside the volunteers' votes.

Hinton, Vinyals & Dean 2015, *Distilling the knowledge in a neural network* (arXiv:1503.02531).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from galvote.errors import TrainingError
from galvote.inference.tta import predict_tta
from galvote.io.atomic import atomic_file
from galvote.models import best_device, load_model, run_network
from galvote.training.examples import TrainingData
from galvote.training.recipe import Recipe

_BATCH = 256


def distil(recipe: Recipe, data: TrainingData, out: Path, console: Console) -> TrainingData:
    """Return the data with the teacher's fractions in the labels of the training galaxies.

    Where volunteers' fractions are known, the label is the mean of both, with ``training.teacher_weight`` for
    the teacher; where they are not, it is the teacher's. The teacher's predictions are kept in ``out`` for
    when the run is resumed. The validation galaxies are left as they are.

    Raises
    ------
    TrainingError
        If the teacher takes other cutouts than the recipe's.
    """
    assert recipe.training.teacher is not None
    teacher, card = load_model(recipe.training.teacher)
    if teacher.head.tree.columns != data.tree.columns:
        raise TrainingError(
            f"The teacher {recipe.training.teacher} answers the tree {teacher.head.tree.name}, and the votes "
            f"have the tree {data.tree.name}; choose a teacher of the same tree."
        )
    if card.cutout != recipe.cutout:
        raise TrainingError(
            f"The teacher takes cutouts {card.cutout.field_of_view:g} r90 wide on {card.cutout.pixels}; give "
            "the recipe the same [cutout], or choose another teacher."
        )
    tta = recipe.training.teacher_tta
    path = out / f"teacher-{card.weights_sha256[:8]}-{tta}-{data.training.digest()[:8]}.npy"
    if path.exists():
        predicted = np.load(path, allow_pickle=False)
    else:
        compute = partial(run_network, teacher.to(best_device()))
        rows = data.training.rows
        batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
        quiet = not console.is_terminal
        shown = track(batches, "the teacher predicts", console=console, transient=True, disable=quiet)
        predicted = np.concatenate(
            [
                predict_tta(compute, card.network.geometry, data.store.cutouts[batch], card.cutout, tta)[0]
                for batch in shown
            ]
        )
        with atomic_file(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, predicted, allow_pickle=False)
    weight = np.float32(recipe.training.teacher_weight)
    voted = data.training.fractions
    mixed = np.where(np.isfinite(voted), (1 - weight) * voted + weight * predicted, predicted)
    return replace(data, training=replace(data.training, fractions=mixed.astype(np.float32)))
