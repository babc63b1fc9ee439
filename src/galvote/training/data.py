"""From a packed store and votes to batches of augmented pictures."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from galvote.errors import TrainingError
from galvote.images import PackedStore, View
from galvote.labels import Votes, split_by_id
from galvote.models import network_input
from galvote.training.recipe import AugmentationSection, Recipe
from galvote.training.team import ALONE, Team
from galvote.trees import DecisionTree

UNBIASED = "complete"
"""The sample of galaxies that were drawn without regard to their votes."""
CACHE_LIMIT = 2**30
"""Pictures that are the same in every epoch are warped once if they fit into this many bytes."""


class Batch(NamedTuple):
    """One batch: pictures, votes and hard classes."""

    images: UInt8[Tensor, "galaxy y x 3"]
    fractions: Float[Tensor, "galaxy answer"]
    """Cumulative vote fractions; NaN where unknown."""
    classes: Int[Tensor, " galaxy"]
    """Number of the hard class; -1 where unknown."""
    counts: Float[Tensor, "galaxy answer"] | None = None
    """How many volunteers gave each answer; NaN where unknown. None where no loss asks for them."""


@dataclass(frozen=True)
class Examples:
    """Galaxies to learn from or to score: rows of a packed store and what is known about each."""

    ids: tuple[str, ...]
    rows: Int[np.ndarray, " galaxy"]
    fractions: Float[np.ndarray, "galaxy answer"]
    classes: Int[np.ndarray, " galaxy"]
    unbiased: Bool[np.ndarray, " galaxy"]
    """Whether a galaxy belongs to a sample that was drawn without regard to its votes."""
    counts: Float[np.ndarray, "galaxy answer"] | None = None
    """How many volunteers gave each answer; NaN where unknown. None where no loss asks for them."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def complete(self) -> int:
        """How many have votes in every column."""
        return int(np.isfinite(self.fractions).all(axis=1).sum())

    @property
    def voted(self) -> Bool[np.ndarray, " galaxy"]:
        """Which have votes in some column."""
        return np.asarray(np.isfinite(self.fractions).any(axis=1))

    def digest(self) -> str:
        """Return a SHA-256 of ids and labels, for model cards."""
        found = hashlib.sha256("\n".join(self.ids).encode())
        found.update(np.ascontiguousarray(self.fractions).tobytes())
        found.update(np.ascontiguousarray(self.classes).tobytes())
        if self.counts is not None:
            found.update(np.ascontiguousarray(self.counts).tobytes())
        return found.hexdigest()

    def select(self, chosen: Sequence[int]) -> Examples:
        """Return the examples at these positions."""
        positions = np.asarray(chosen, dtype=np.int64)
        return Examples(
            tuple(self.ids[i] for i in positions),
            self.rows[positions],
            self.fractions[positions],
            self.classes[positions],
            self.unbiased[positions],
            None if self.counts is None else self.counts[positions],
        )


@dataclass(frozen=True)
class TrainingData:
    """What one run learns from and watches.

    Parameters
    ----------
    store
        Packed cutouts.
    training, validation
        Examples of which each galaxy is in at most one.
    class_names
        Names of the hard classes, in the order of their numbers.
    left_out
        Counts, by reason, of galaxies that take no part.
    """

    store: PackedStore
    training: Examples
    validation: Examples
    class_names: tuple[str, ...]
    left_out: Mapping[str, int]


def gather_examples(
    recipe: Recipe,
    store: PackedStore,
    votes: Votes,
    *,
    classes: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    samples: Mapping[str, str] | None = None,
) -> TrainingData:
    """Bring pictures, votes, hard classes and splits together.

    Parameters
    ----------
    classes
        Hard class by galaxy id. Galaxies with a class and no votes serve the auxiliary loss alone.
    splits
        ``train`` or ``validation`` by galaxy id; galaxies with another value or none are left out. Without
        it, galaxies with votes are divided by a hash of their id, with the recipe's share and seed.
    samples
        How each galaxy was chosen, by id: `UNBIASED` for those that were drawn without regard to their votes,
        any other word for the rest. Without it, all of them are taken to be such.

    Raises
    ------
    TrainingError
        If no galaxy is left to train on or to validate with, none of them has what the recipe's loss learns
        from, or the recipe wants an unbiased sample and there is none.
    """
    classes = classes if classes is not None and recipe.training.classes_weight > 0 else {}
    class_names = tuple(sorted(set(classes.values())))
    examples, listed, left_out = _align(recipe, store, votes, classes, class_names, samples)
    training, validation = _divide(recipe, examples, listed, splits)
    left_out["in no split"] = len(examples) - len(training) - len(validation)
    for name, part in (("train", training), ("validation", validation)):
        if len(part) < 2:
            said = ", ".join(f"{number} {what}" for what, number in left_out.items() if number) or "none"
            raise TrainingError(
                f"Only {len(part)} galaxies with picture and votes are in the split {name!r}; "
                f"left out: {said}. Check that the ids of pictures, votes and splits are the same."
            )
        # A teacher says all that is unknown of those that are trained on.
        if part is validation or not recipe.training.has_teacher:
            _refuse_unknown(recipe, part, name, votes.tree)
    if recipe.data.unbiased and not (training.unbiased & training.voted).any():
        raise TrainingError(
            f"data.unbiased = {recipe.data.unbiased:g} asks for galaxies of an unbiased sample, and none is "
            f"known: give --splits a table whose column `sample` says {UNBIASED!r} for them, or --set "
            "data.unbiased=0."
        )
    return TrainingData(store, training, validation, class_names, left_out)


def _align(
    recipe: Recipe,
    store: PackedStore,
    votes: Votes,
    classes: Mapping[str, str],
    class_names: Sequence[str],
    samples: Mapping[str, str] | None,
) -> tuple[Examples, Bool[np.ndarray, " galaxy"], dict[str, int]]:
    """Return whom something is known of, which of them stand in the table of votes, and who is left out."""
    number = {name: i for i, name in enumerate(class_names)}
    vote_row = {galaxy: row for row, galaxy in enumerate(votes.ids)}
    complete = np.asarray(votes.complete)
    ids, rows, found = list[str](), list[int](), list[int]()
    unlabelled = incomplete = 0
    for row, galaxy in enumerate(store.ids):
        at = vote_row.get(galaxy, -1)
        if at >= 0 and recipe.data.labels == "complete" and not complete[at]:
            incomplete += 1
        elif at < 0 and galaxy not in classes:
            unlabelled += 1
        else:
            ids.append(galaxy)
            rows.append(row)
            found.append(at)
    row_of_votes = np.array(found, dtype=np.int64)
    listed = row_of_votes >= 0

    def aligned(values: Float[np.ndarray, "voted answer"]) -> Float[np.ndarray, "galaxy answer"]:
        labels = np.full((len(ids), len(votes.tree)), np.nan, dtype=np.float32)
        labels[listed] = values[row_of_votes[listed]]
        return labels

    counts = votes.counts if recipe.training.loss == "dirichlet-multinomial" else None
    examples = Examples(
        ids=tuple(ids),
        rows=np.array(rows, dtype=np.int64),
        fractions=aligned(votes.fractions),
        classes=np.array([number.get(classes.get(galaxy, ""), -1) for galaxy in ids], dtype=np.int64),
        unbiased=np.array([samples is None or samples.get(galaxy) == UNBIASED for galaxy in ids], dtype=bool),
        counts=None if counts is None else aligned(counts),
    )
    left_out = {
        "votes without picture": len(vote_row.keys() - set(store.ids)),
        "pictures without votes": unlabelled,
        "votes with unknown columns": incomplete,
    }
    return examples, listed, left_out


def _divide(
    recipe: Recipe,
    examples: Examples,
    listed: Bool[np.ndarray, " galaxy"],
    splits: Mapping[str, str] | None,
) -> tuple[Examples, Examples]:
    """Return those to learn from and those to validate with, which all stand in the table of votes."""
    if splits is None:
        share = recipe.data.validation
        drawn = split_by_id(examples.ids, {"train": 1 - share, "validation": share}, recipe.seed)
        split = [name if listed[i] else "train" for i, name in enumerate(drawn)]
    else:
        split = [splits.get(galaxy, "") for galaxy in examples.ids]
    training = examples.select([i for i, name in enumerate(split) if name == "train"])
    validation = examples.select([i for i, name in enumerate(split) if name == "validation" and listed[i]])
    return training, validation


def _refuse_unknown(recipe: Recipe, part: Examples, split: str, tree: DecisionTree) -> None:
    """Raise an error if nothing that the recipe's loss compares is known of a split's galaxies."""
    match recipe.training.loss:
        case "dirichlet-multinomial" if not _knows_a_question(part.counts, tree):
            raise TrainingError(
                f"training.loss = 'dirichlet-multinomial' learns from numbers of votes, and no galaxy in the "
                f"split {split!r} has them: give --votes a table with the survey's columns "
                f"{tree.answers[0].survey_stem}_count and so on (the GZ2 catalogues and the table "
                "vote_counts.csv of `galvote simulate` have them; the challenge's table does not), or learn "
                "from fractions with --set training.loss=squared --set network.head=softmax."
            )
        case "cross-entropy" if not _knows_a_question(part.fractions, tree):
            raise TrainingError(
                "training.loss = 'cross-entropy' learns from whole questions, and no galaxy in the split "
                f"{split!r} has the fractions of all answers to one: give --votes a table with all columns "
                "of a question, or learn from single columns with --set training.loss=squared."
            )
    if not part.voted.any():
        raise TrainingError(
            f"No galaxy in the split {split!r} has a known fraction in any column of --votes; give others in "
            "--splits, or a table that knows them."
        )


def _knows_a_question(values: Float[np.ndarray, "galaxy answer"] | None, tree: DecisionTree) -> bool:
    """Tell whether all answers of some question are known for some galaxy."""
    return values is not None and any(
        np.isfinite(values[:, answers]).all(axis=1).any() for answers in tree.slices.values()
    )


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, batch number): all that the data set needs to make a batch again, after a crash too."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does so before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, number) for number in range(self.batches))


class GalaxyBatches(Dataset[Batch]):
    """Whole batches; each is a pure function of the recipe, the data, the epoch and its number.

    Parameters
    ----------
    augmentation
        How views are drawn; ``None`` for validation, which sees every galaxy once, in order, as it is.
    team
        Those who share each batch; this one gets its share alone.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: PackedStore,
        examples: Examples,
        augmentation: AugmentationSection | None,
        batch_size: int,
        team: Team = ALONE,
    ) -> None:
        self.team = team
        self.recipe, self.store, self.examples = recipe, store, examples
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.colours = (
            colour_axes(store, examples.rows) if augmentation is not None and augmentation.colour else None
        )
        self._voted = examples.voted
        # How many galaxies an epoch draws.
        self.size = len(examples)
        if augmentation is not None:
            self.size -= round((1 - recipe.data.class_only) * int((~self._voted).sum()))
        self._drawn: tuple[int, Int[np.ndarray, " draw"]] | None = None
        self.cached: UInt8[np.ndarray, "galaxy y x 3"] | None = None
        if not self._varies and len(examples) * recipe.network.pixels**2 * 3 <= CACHE_LIMIT:
            everything = np.arange(len(examples))
            self.cached = self._images(everything, 0, None, slice(None))

    @property
    def _varies(self) -> bool:
        """Whether a galaxy's picture is another one in another epoch."""
        if self.augmentation is None:
            return False
        return self.augmentation != AugmentationSection() or self.recipe.training.first_pixels is not None

    @property
    def batches(self) -> int:
        """How many batches an epoch has."""
        count = math.ceil(self.size / self.batch_size)
        # Batch normalisation cannot learn from one galaxy: it joins the batch before.
        return count - 1 if count > 1 and self.size % self.batch_size == 1 else count

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, number = key
        order = self.order(epoch)
        random: np.random.Generator | None = None
        if self.augmentation is not None:
            random = np.random.default_rng((self.recipe.seed, epoch, number))
        end = len(order) if number == self.batches - 1 else (number + 1) * self.batch_size
        batch = order[number * self.batch_size : end]
        own = self._own_share(len(batch))
        chosen = batch[own]
        images = self.cached[chosen] if self.cached is not None else self._images(batch, epoch, random, own)
        fractions, classes = self.examples.fractions[chosen], self.examples.classes[chosen]
        counts = None if self.examples.counts is None else self.examples.counts[chosen]
        if own == slice(None) and self.team.rank > 0:
            fractions, classes = np.full_like(fractions, np.nan), np.full_like(classes, -1)
            counts = None if counts is None else np.full_like(counts, np.nan)
        return Batch(
            torch.from_numpy(images),
            torch.from_numpy(fractions),
            torch.from_numpy(classes),
            None if counts is None else torch.from_numpy(counts),
        )

    def _own_share(self, galaxies: int) -> slice:
        """Return this process's share of a batch.

        One of fewer than two galaxies each, for batch normalisation, is seen by everybody and learned from by
        the leader: the others' labels are unknown.
        """
        rank, size = self.team.rank, self.team.size
        if size == 1 or galaxies < 2 * size:
            return slice(None)
        return slice(rank * galaxies // size, (rank + 1) * galaxies // size)

    def order(self, epoch: int) -> Int[np.ndarray, " draw"]:
        """Return which examples an epoch draws, in order.

        An epoch is as long when it draws from the unbiased sample alone: that is then gone through again.
        """
        # Each batch asks for it, and to draw it from a survey takes milliseconds.
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, self._draw(epoch)
        return self._drawn[1]

    def _draw(self, epoch: int) -> Int[np.ndarray, " draw"]:
        order = np.arange(len(self.examples))
        if self.augmentation is None:
            return order
        random = np.random.default_rng((self.recipe.seed, epoch))
        random.shuffle(order)
        if epoch >= (1 - self.recipe.data.unbiased) * self.recipe.training.epochs:
            again = order[(self.examples.unbiased & self._voted)[order]]
            parts = [again]
            while sum(map(len, parts)) < self.size:
                parts.append(random.permutation(again))
            return np.concatenate(parts)[: self.size]
        # The first so many of a shuffled order are as random as any.
        only_class = ~self._voted[order]
        kept = ~only_class | (np.cumsum(only_class) <= only_class.sum() - len(order) + self.size)
        return np.asarray(order[kept])

    def pixels(self, epoch: int) -> int:
        """Return the width of the pictures in an epoch: a multiple of 16 while it grows."""
        training, full = self.recipe.training, self.recipe.network.pixels
        if self.augmentation is None or training.first_pixels is None:
            return full
        grown = min(1.0, epoch / (0.75 * training.epochs))
        width = training.first_pixels + grown * (full - training.first_pixels)
        return full if grown == 1 else round(width / 16) * 16

    def _images(
        self,
        batch: Int[np.ndarray, " galaxy"],
        epoch: int,
        random: np.random.Generator | None,
        own: slice,
    ) -> UInt8[np.ndarray, "share y x 3"]:
        """Return the pictures of a share of a batch; views are drawn for all of it, whoever gets them."""
        cutouts = self.store.cutouts[self.examples.rows[batch[own]]]
        if random is None or self.augmentation is None:
            views = [View()] * len(cutouts)
        else:
            views = [random_view(random, self.augmentation) for _ in batch][own]
        network = self.recipe.network.model_copy(update={"pixels": self.pixels(epoch)})
        images = network_input(cutouts, views, self.store.geometry, network)
        if random is not None and self.augmentation is not None and self.colours is not None:
            weights = random.normal(0, self.augmentation.colour, (len(batch), 3)).astype(np.float32)[own]
            shift = (weights @ self.colours * 255)[:, None, None, :]
            images = np.clip(images + shift, 0, 255).astype(np.uint8)
        return images


def random_view(random: np.random.Generator, augmentation: AugmentationSection) -> View:
    """Draw one view."""
    stretch = math.log(augmentation.zoom)
    return View(
        angle=float(random.uniform(0, 360)) if augmentation.rotation else 0.0,
        flip=bool(random.random() < 0.5) if augmentation.flip else False,
        zoom=math.exp(random.uniform(-stretch, stretch)),
        shift=(
            float(random.uniform(-augmentation.shift, augmentation.shift)),
            float(random.uniform(-augmentation.shift, augmentation.shift)),
        ),
    )


def colour_axes(store: PackedStore, rows: Int[np.ndarray, " galaxy"]) -> Float[np.ndarray, "3 3"]:
    """Return the principal axes of pixel colour, each as long as its eigenvalue, for pixels in [0, 1].

    Adding a random multiple of each to a picture changes brightness and colour as the survey itself does
    (Krizhevsky, Sutskever & Hinton 2012, section 4.1).
    """
    some = rows[:: max(1, len(rows) // 500)]
    colours = store.cutouts[some].reshape(-1, 3).astype(np.float64) / 255
    values, vectors = np.linalg.eigh(np.cov(colours.T))
    return np.asarray((vectors * values).T, dtype=np.float32)


def make_loaders(
    recipe: Recipe, data: TrainingData, team: Team = ALONE
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """Make the loaders of training and validation batches, or of one process's shares of them."""
    size = recipe.training.batch_size
    if size < 2 * team.size:
        raise TrainingError(
            f"training.batch_size = {size} is too small for {team.size} devices, which need two galaxies "
            f"each; give fewer devices, or --set training.batch_size={2 * team.size}."
        )
    training = GalaxyBatches(recipe, data.store, data.training, recipe.augmentation, size, team)
    validation = GalaxyBatches(recipe, data.store, data.validation, None, 256, team)
    return _make_loader(training), _make_loader(validation)


def _make_loader(batches: GalaxyBatches) -> DataLoader[Batch]:
    # A loader draws a number whenever it is gone through, and Lightning does that at another moment in the
    # first epoch of a resumed run: with a generator of its own it leaves the stream for dropout alone.
    return DataLoader(
        batches, batch_size=None, sampler=EpochSampler(len(batches)), generator=torch.Generator()
    )
