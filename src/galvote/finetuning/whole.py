"""All weights of a network learn: fold by fold to be tested, then from all labels."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from safetensors.numpy import load_file

from galvote.errors import GalvoteError
from galvote.finetuning import crossfit
from galvote.finetuning.head import Head, Known
from galvote.images import PackedStore
from galvote.inference.predictor import Predictor
from galvote.inference.settings import OnProgress
from galvote.labels import Votes
from galvote.models import find_model, load_card
from galvote.models.card import GRAPH, WEIGHTS
from galvote.trees import to_conditional

WORK = "unfinished-training"
"""Where a model's folder keeps what a stopped run goes on with."""

_TIMED = 8  # steps that tell how long all take, after a first one


class OverBudgetError(GalvoteError):
    """A training that would take longer than it may; both in minutes."""

    def __init__(self, minutes: float, budget: float) -> None:
        self.reason = (
            f"training the whole network would take up to {minutes:.1f} minutes, and the budget is {budget:g}"
        )
        super().__init__(
            f"{self.reason}. Give it a larger --budget (budget=), or learn a head alone: --mode head."
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that was trained whole, and what it says of galaxies that it did not learn from."""

    folder: Path  # of the network, saved with its graph
    head: Head
    found: crossfit.OutOfFold  # out-of-fold predictions
    features: Float32[np.ndarray, "galaxy feature"]  # of the labelled galaxies
    distances: Float[np.ndarray, " galaxy"]  # as `crossfit.measure_distances` returns them


def train_network(
    parent: Path,
    store: PackedStore,
    votes: Votes,
    known: Known,
    heads: Sequence[Head],
    parts: crossfit.OutOfFold,
    work: Path,
    *,
    settings: Sequence[str] = (),
    budget: float | None = None,
    report: Callable[[str], None],
    on_progress: OnProgress | None,
) -> Trained:
    """Train a network once without each part of the galaxies, and once on all of them.

    Training begins from the model in the folder `parent`. Cutouts and labels are of the same galaxies, in the
    same order. Heads are on the parent's features: those of the parts, each fitted to the others, then that
    of all. A stopped run goes on with the folder `work`, if parent, cutouts, labels and settings (changes to
    the recipe ``finetune``) are the same. `OverBudgetError` is raised if the first steps tell that it takes
    more minutes than the budget has.
    """
    from galvote.inference.export import export_as
    from galvote.training.finetune import RECIPE, draw_early_stop, finetune_network, predict_folds
    from galvote.training.recipe_files import load_recipe

    load_recipe(RECIPE, [f"training.pretrained={json.dumps(str(parent))}", *settings])  # before the long part
    place = work / _digest(parent, store, votes, settings)
    if going_on := place.exists():
        report(f"Going on with the training in {work}.")
    folds = [[votes.ids[row] for row in own] for _, own in parts.others()]
    starts = [(head.weight.astype(np.float32), head.bias.astype(np.float32)) for head in heads]
    progress = _Progress(len(folds), budget, on_progress)
    report(
        f"Training the whole network {len(folds) + 1} times: without each of {len(folds)} parts, then on all."
    )
    in_folds = partial(predict_folds, parent, store, votes, folds, place, settings=settings)
    on_all = partial(
        finetune_network, parent, store, votes, *draw_early_stop(votes, votes.ids), place / "all"
    )
    try:
        predicted = in_folds(heads=starts[:-1], on_progress=progress.of_folds)
    except OverBudgetError:
        if not going_on:
            shutil.rmtree(place, ignore_errors=True)
        raise
    best = on_all(head=starts[-1], settings=settings, resume=True, on_progress=progress.of_all)
    if not (best / GRAPH).is_file():
        export_as(parent, best)
    fractions = np.zeros(known.shares.shape)
    for (_, own), (ours, _) in zip(parts.others(), predicted, strict=True):
        fractions[own] = ours
    shares = np.nan_to_num(to_conditional(known.tree, fractions))
    tensors = load_file(best / WEIGHTS)
    weight, bias = (tensors[f"head.linear.{name}"].astype(np.float64) for name in ("weight", "bias"))
    return Trained(
        folder=best,
        head=replace(heads[-1], weight=weight, bias=bias),
        found=crossfit.with_temperatures(known, parts.fold, np.log(np.maximum(shares, 1e-6))),
        features=Predictor.load(best, "onnx").predict_features(store.cutouts)[1],
        distances=crossfit.measure_distances(parts, [features for _, features in predicted]),
    )


class _Progress:
    """Tells how far training in all folds and on all galaxies is, and stops it if it would take too long."""

    def __init__(self, folds: int, budget: float | None, on_progress: OnProgress | None) -> None:
        self.folds, self.budget, self.on_progress = folds, budget, on_progress
        self.begun = time.monotonic()
        self.first: tuple[int, float] | None = None

    def of_folds(self, done: int, total: int) -> None:
        # On all galaxies an epoch has more steps than without a fold.
        in_all = total + -(-total // (self.folds - 1))
        if self.first is None:
            self.first = done, time.monotonic()  # what is made at the first step is made once
        elif done - self.first[0] >= _TIMED and self.budget is not None:
            before, begun = self.first
            a_step = (time.monotonic() - begun) / (done - before)
            minutes = (begun - self.begun + a_step * (in_all - before)) / 60
            if minutes > self.budget:
                raise OverBudgetError(minutes, self.budget)
            self.budget = None  # asked once, so that no training is thrown away near its end
        self._tell(done, in_all)

    def of_all(self, done: int, total: int) -> None:
        before = total * (self.folds - 1)
        self._tell(before + done, before + total)

    def _tell(self, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total)


def _digest(parent: Path, store: PackedStore, votes: Votes, settings: Sequence[str]) -> str:
    """Return a name for a training that no other has, so that none is gone on with by mistake."""
    begun = load_card(find_model(parent)).weights_sha256
    digest = sha256(json.dumps([begun, votes.ids, votes.digest(), list(settings)]).encode())
    digest.update(np.ascontiguousarray(store.cutouts).data)
    return digest.hexdigest()[:12]
