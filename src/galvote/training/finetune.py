"""Full fine-tuning: all weights of a trained model learn a user's own tree, by the recipe ``finetune``."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32

from galvote.images import PackedStore
from galvote.inference import Predictor
from galvote.inference.settings import OnProgress
from galvote.labels import Votes
from galvote.models import GalaxyNetwork, find_model, load_model, save_model
from galvote.training.examples import gather_examples
from galvote.training.recipe_files import load_recipe
from galvote.training.run import fit
from galvote.training.run_folder import START, say_nothing
from galvote.trees import DecisionTree

RECIPE = "finetune"
EARLY_STOP = 7
"""Of each class, one galaxy of so many is not learned from, but tells when to stop."""
Head = tuple[Float[np.ndarray, "answer feature"], Float[np.ndarray, " answer"]]
"""Weights and biases of a linear head whose softmax in each question divides it among its answers."""


def finetune_network(
    model: str | Path,
    store: PackedStore,
    votes: Votes,
    training: Iterable[str],
    early_stop: Iterable[str],
    out: Path,
    *,
    head: Head | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    report: Callable[[str], None] = say_nothing,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train all of a model for other labels, and return the folder of the best epoch's model.

    Cutouts, of the model's geometry, are on disk or in memory. Galaxies are named by their ids: those that
    are learned from, and those whose RMSE ends the training. The new head starts as `head`, such as a
    logistic regression of the model's features, or else at random. Settings are changes to the recipe
    ``finetune``, such as ``training.epochs=5``; the others are as for `fit`.
    """
    start = find_model(model)
    if head is not None:
        start = _with_head(start, votes.tree, head, out / START)
    recipe = load_recipe(RECIPE, [f"training.pretrained={json.dumps(str(start))}", *settings])
    splits = dict.fromkeys(early_stop, "validation") | dict.fromkeys(training, "train")
    data = gather_examples(recipe, store, votes, splits=splits)
    return fit(recipe, data, out, resume=resume, report=report, on_progress=on_progress)


def draw_early_stop(votes: Votes, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide galaxies into those to learn from, and one of `EARLY_STOP` of each class.

    A galaxy is of the class that has the largest fraction. There are at least four; of fewer than fourteen,
    two end the training.
    """
    row = {galaxy: i for i, galaxy in enumerate(votes.ids)}
    classes = np.nan_to_num(votes.fractions[[row[galaxy] for galaxy in ids]]).argmax(axis=1)
    order = np.lexsort((np.random.default_rng(0).random(len(ids)), classes))
    every = min(EARLY_STOP, len(ids) // 2)
    watched = {ids[i] for i in order[every // 2 :: every]}
    return [galaxy for galaxy in ids if galaxy not in watched], [
        galaxy for galaxy in ids if galaxy in watched
    ]


def predict_folds(
    model: str | Path,
    store: PackedStore,
    votes: Votes,
    folds: Sequence[Sequence[str]],
    out: Path,
    *,
    heads: Sequence[Head] | None = None,
    settings: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> list[tuple[Float32[np.ndarray, "own answer"], Float32[np.ndarray, "galaxy feature"]]]:
    """Predict each fold's galaxies by a model that was fine-tuned without them; stopped, it goes on.

    Each galaxy is in one fold; some of the other folds', as `draw_early_stop` has it, end each training.
    There is a run for each fold in `out`, and a head that it starts with, fitted without the fold's galaxies.
    Called is `on_progress` with how many steps of all folds are done and how many there are.

    Returned are, by fold, cumulative fractions of its galaxies, and the features of all of the store's by its
    model.
    """
    predicted, row = [], {galaxy: i for i, galaxy in enumerate(store.ids)}
    for number, held_out in enumerate(folds):
        others = [galaxy for fold in folds if fold is not held_out for galaxy in fold]
        best = finetune_network(
            model,
            store,
            votes,
            *draw_early_stop(votes, others),
            out / f"fold-{number + 1}",
            head=heads[number] if heads is not None else None,
            settings=settings,
            resume=True,
            on_progress=on_progress and partial(_tell_of_fold, on_progress, number, len(folds)),
        )
        fractions, features = Predictor.load(best, "torch").predict_features(store.cutouts)
        predicted.append((fractions[[row[galaxy] for galaxy in held_out]], features))
    return predicted


def _tell_of_fold(on_progress: OnProgress, number: int, folds: int, done: int, total: int) -> None:
    on_progress(number * total + done, folds * total)


def _with_head(model: Path, tree: DecisionTree, head: Head, out: Path) -> Path:
    """Write a model with the encoder of another and a head that was fitted to its features."""
    parent, card = load_model(model)
    spec = parent.spec.model_copy(update={"head": "softmax"})
    network = GalaxyNetwork(spec, tree)
    network.encoder.load_state_dict(parent.encoder.state_dict())
    with torch.no_grad():
        network.head.linear.weight.copy_(torch.from_numpy(head[0]))
        network.head.linear.bias.copy_(torch.from_numpy(head[1]))
    its = {"pretrained": {"name": card.name, "sha256": card.weights_sha256}}
    update = {"network": spec, "tree": tree.to_dict(), "data": its, "scores": {}}
    return save_model(network, card.model_copy(update=update), out)
