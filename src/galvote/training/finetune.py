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
from galvote.labels import Votes
from galvote.models import GalaxyNetwork, find_model, load_model, save_model
from galvote.training.examples import gather_examples
from galvote.training.recipe_files import load_recipe
from galvote.training.run import fit
from galvote.training.run_folder import START, OnProgress, say_nothing
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
    overwrite: bool = False,
    report: Callable[[str], None] = say_nothing,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train all of a model for other labels, and return the folder of the best epoch's model.

    Parameters
    ----------
    model
        As `galvote.models.find_model` takes it.
    store
        Cutouts of the model's geometry, on disk or in memory.
    votes
        Labels with their tree.
    training, early_stop
        Ids of the galaxies that are learned from, and of those whose RMSE ends the training.
    out
        Run folder, as `fit` has it.
    head
        Where the new head starts, such as a logistic regression of the model's features; else at random.
    settings
        Changes to the recipe ``finetune``, such as ``training.epochs=5``.
    resume, overwrite, report, on_progress
        As for `fit`.

    Raises
    ------
    GalvoteError
        If there is no such model, or what `gather_examples` and `fit` refuse.
    """
    start = find_model(model)
    if head is not None:
        start = _with_head(start, votes.tree, head, out / START)
    recipe = load_recipe(RECIPE, [f"training.pretrained={json.dumps(str(start))}", *settings])
    splits = dict.fromkeys(early_stop, "validation") | dict.fromkeys(training, "train")
    data = gather_examples(recipe, store, votes, splits=splits)
    return fit(recipe, data, out, resume=resume, overwrite=overwrite, report=report, on_progress=on_progress)


def draw_early_stop(votes: Votes, ids: Sequence[str], seed: int = 0) -> tuple[list[str], list[str]]:
    """Divide galaxies into those to learn from, and one of `EARLY_STOP` of each class.

    Parameters
    ----------
    votes
        Their labels; a galaxy is of the class that has the largest fraction.
    ids
        At least four; of fewer than fourteen, two end the training.
    seed
        Of the draw.
    """
    row = {galaxy: i for i, galaxy in enumerate(votes.ids)}
    classes = np.nan_to_num(votes.fractions[[row[galaxy] for galaxy in ids]]).argmax(axis=1)
    order = np.lexsort((np.random.default_rng(seed).random(len(ids)), classes))
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
    tta: int = 1,
    seed: int = 0,
    settings: Sequence[str] = (),
    report: Callable[[str], None] = say_nothing,
    on_progress: OnProgress | None = None,
) -> list[tuple[Float32[np.ndarray, "own answer"], Float32[np.ndarray, "galaxy feature"]]]:
    """Predict each fold's galaxies by a model that was fine-tuned without them; stopped, it goes on.

    Parameters
    ----------
    model, store, votes, settings, report
        As for `finetune_network`.
    folds
        Ids, each in one fold; some of the other folds', as `draw_early_stop` has it, end each training.
    out
        Folder of a run for each fold.
    heads
        Where each fold's head starts, fitted without the fold's galaxies.
    tta
        Number of orientations that predictions are averaged over.
    seed
        Of the early-stop galaxies.
    on_progress
        Called with how many steps of all folds are done and how many there are.

    Returns
    -------
    By fold, cumulative fractions of its galaxies, and the features of all of the store's by its model.
    """
    predicted, row = [], {galaxy: i for i, galaxy in enumerate(store.ids)}
    for number, held_out in enumerate(folds):
        report(f"Fold {number + 1} of {len(folds)}")
        others = [galaxy for fold in folds if fold is not held_out for galaxy in fold]
        best = finetune_network(
            model,
            store,
            votes,
            *draw_early_stop(votes, others, seed),
            out / f"fold-{number + 1}",
            head=heads[number] if heads is not None else None,
            settings=settings,
            resume=True,
            report=report,
            on_progress=on_progress and partial(_tell_of_fold, on_progress, number, len(folds)),
        )
        fractions, features = Predictor.load(best, "torch").predict_features(store.cutouts, tta)
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
