"""Distillation: a trained model's predictions are learned from, beside the volunteers' votes.

Hinton, Vinyals & Dean 2015, *Distilling the knowledge in a neural network* (arXiv:1503.02531).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from galvote.errors import TrainingError
from galvote.inference.tta import predict_tta
from galvote.io.atomic import atomic_file
from galvote.models import best_device, find_model, load_card, load_model, run_network
from galvote.training.examples import MAIN, TrainingData
from galvote.training.recipe import Recipe
from galvote.trees import DecisionTree

_BATCH = 256


def check_teacher(recipe: Recipe, tree: DecisionTree) -> None:
    """Refuse a teacher that answers other questions than the votes' tree, or takes other cutouts."""
    for name in recipe.training.teacher:
        card = load_card(find_model(name))
        if DecisionTree.from_dict(card.tree).columns != tree.columns:
            raise TrainingError(
                f"The teacher {name} answers the tree {card.tree['name']}, and the votes have the tree "
                f"{tree.name}; choose a teacher of the same tree."
            )
        if card.cutout != recipe.cutout:
            raise TrainingError(
                f"The teacher {name} takes cutouts {card.cutout.field_of_view:g} r90 wide on "
                f"{card.cutout.pixels} pixels; give the recipe the same [cutout], or choose another teacher."
            )


def distil(
    recipe: Recipe, data: TrainingData, out: Path, on_progress: Callable[[int, int], None] | None = None
) -> TrainingData:
    """Mix the teacher's fractions, or the mean of several, into the labels of the training galaxies.

    Where volunteers' fractions are known, the label is the mean of both, with ``training.teacher_weight`` for
    the teacher; where they are not, it is the teacher's. Labels of further campaigns and the validation
    galaxies are left as they are. The run's folder keeps the predictions for when it is resumed.
    """
    digest, tta = data.training.digest()[:8], recipe.training.teacher_tta
    taught = []
    for name in recipe.training.teacher:
        model = find_model(name)
        path = out / f"teacher-{load_card(model).weights_sha256[:8]}-{tta}-{digest}.npy"
        if not path.exists():
            with atomic_file(path) as partial, partial.open("wb") as file:
                np.save(file, _predict(model, tta, data, on_progress), allow_pickle=False)
        taught.append(np.load(path, allow_pickle=False))
    predicted = np.mean(taught, axis=0, dtype=np.float32)
    weight = np.float32(recipe.training.teacher_weight)
    labels = data.training.fractions.copy()
    voted = labels[:, data.columns[MAIN]]
    voted[:] = np.where(np.isfinite(voted), (1 - weight) * voted + weight * predicted, predicted)
    return replace(data, training=replace(data.training, fractions=labels))


def _predict(
    model: Path, tta: int, data: TrainingData, on_progress: Callable[[int, int], None] | None
) -> Float32[np.ndarray, "galaxy answer"]:
    teacher, card = load_model(model)
    compute, seen = partial(run_network, teacher.to(best_device())), card.network.geometry
    rows, batches = data.training.rows, []
    for start in range(0, len(rows), _BATCH):
        cutouts = data.store.cutouts[rows[start : start + _BATCH]]
        batches.append(predict_tta(compute, seen, cutouts, card.cutout, tta)[0])
        if on_progress is not None:
            on_progress(min(start + _BATCH, len(rows)), len(rows))
    return np.concatenate(batches)
