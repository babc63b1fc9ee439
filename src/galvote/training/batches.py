"""Batches of augmented images with their labels."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from galvote.errors import TrainingError
from galvote.images import PackedStore, View, change, network_input
from galvote.training.examples import Examples, TrainingData
from galvote.training.recipe import AugmentationSection, Recipe
from galvote.training.world import ALONE, World

CACHE_LIMIT = 2**30
"""Images that are the same in every epoch are warped once if they fit into this many bytes."""


class Batch(NamedTuple):
    """Images and what is known about them."""

    images: UInt8[Tensor, "galaxy y x 3"]  # RGB, as wide as the network wants them
    fractions: Float[Tensor, "galaxy answer"]  # cumulative; NaN where unknown
    classes: Int[Tensor, " galaxy"]  # -1 where unknown
    counts: Float[Tensor, "galaxy answer"] | None = None  # of votes; None where no loss asks for them


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

    `augmentation` is None for validation, which sees every galaxy once, in order, as it is. Of each batch of
    `batch_size` galaxies this process of `world` gets its share.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: PackedStore,
        examples: Examples,
        augmentation: AugmentationSection | None,
        batch_size: int,
        world: World = ALONE,
    ) -> None:
        self.world = world
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
            self.size -= round((1 - recipe.data.hard_label_fraction) * int((~self._voted).sum()))
        self._drawn: tuple[int, Int[np.ndarray, " draw"]] | None = None
        self.cached: UInt8[np.ndarray, "galaxy y x 3"] | None = None
        if not self._varies and len(examples) * recipe.network.pixels**2 * 3 <= CACHE_LIMIT:
            everything = np.arange(len(examples))
            self.cached = self._images(everything, 0, None, slice(None))

    @property
    def _varies(self) -> bool:
        """Whether a galaxy's image is another one in another epoch."""
        if self.augmentation is None:
            return False
        grows = self.recipe.training.progressive_resizing is not None
        return grows or self.augmentation != AugmentationSection()

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
        own = self._own_share(len(batch)) if self._is_shared(len(batch)) else slice(None)
        chosen = batch[own]
        images = self.cached[chosen] if self.cached is not None else self._images(batch, epoch, random, own)
        fractions, classes = self.examples.fractions[chosen], self.examples.classes[chosen]
        counts = None if self.examples.counts is None else self.examples.counts[chosen]
        if self.world.rank > 0 and not self._is_shared(len(batch)):
            fractions, classes = np.full_like(fractions, np.nan), np.full_like(classes, -1)
            counts = None if counts is None else np.full_like(counts, np.nan)
        return Batch(
            torch.from_numpy(images),
            torch.from_numpy(fractions),
            torch.from_numpy(classes),
            None if counts is None else torch.from_numpy(counts),
        )

    def _is_shared(self, galaxies: int) -> bool:
        """Tell whether a batch is divided among the processes.

        One of fewer than two galaxies each, for batch normalisation, is seen by all of them and learned from
        by rank zero: the others' labels are unknown.
        """
        return galaxies >= 2 * self.world.size

    def _own_share(self, galaxies: int) -> slice:
        rank, size = self.world.rank, self.world.size
        return slice(rank * galaxies // size, (rank + 1) * galaxies // size)

    def order(self, epoch: int) -> Int[np.ndarray, " draw"]:
        """Return which examples an epoch, from 0, draws, in order.

        It is as long when it draws from the representative sample alone, which it then goes through several
        times.
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
        if epoch >= (1 - self.recipe.data.representative) * self.recipe.training.epochs:
            again = order[(self.examples.representative & self._voted)[order]]
            parts = [again]
            while sum(map(len, parts)) < self.size:
                parts.append(random.permutation(again))
            return np.concatenate(parts)[: self.size]
        # The first so many of a shuffled order are as random as any.
        only_class = ~self._voted[order]
        kept = ~only_class | (np.cumsum(only_class) <= only_class.sum() - len(order) + self.size)
        return np.asarray(order[kept])

    def pixels(self, epoch: int) -> int:
        """Return the width of the images in an epoch: a multiple of 16 while it grows."""
        training, full = self.recipe.training, self.recipe.network.pixels
        if self.augmentation is None or training.progressive_resizing is None:
            return full
        grown = min(1.0, epoch / (0.75 * training.epochs))
        width = training.progressive_resizing + grown * (full - training.progressive_resizing)
        return full if grown == 1 else round(width / 16) * 16

    def _images(
        self, batch: Int[np.ndarray, " galaxy"], epoch: int, random: np.random.Generator | None, own: slice
    ) -> UInt8[np.ndarray, "share y x 3"]:
        """Return the images of a share of a batch; views are drawn for all of it, whoever gets them."""
        cutouts = self.store.cutouts[self.examples.rows[batch[own]]]
        seen = self.recipe.network.geometry.model_copy(update={"pixels": self.pixels(epoch)})
        augmentation = self.augmentation
        if random is None or augmentation is None:
            return network_input(cutouts, [View()] * len(cutouts), self.store.geometry, seen)
        views, changed = self._draw_views(random, len(batch), augmentation)
        images = network_input(cutouts, views[own], self.store.geometry, seen)
        if self.colours is not None:
            weights = random.normal(0, augmentation.colour, (len(batch), 3)).astype(np.float32)[own]
            shift = (weights @ self.colours * 255)[:, None, None, :]
            images = np.clip(images + shift, 0, 255).astype(np.uint8)
        # A stream for each image: it is the same on any number of devices.
        streams = random.spawn(len(batch))[own]
        for i in np.flatnonzero(changed[own]):
            images[i] = change(images[i], seen.pixels / seen.field_of_view, augmentation.changes, streams[i])
        return images

    def _draw_views(
        self, random: np.random.Generator, galaxies: int, augmentation: AugmentationSection
    ) -> tuple[list[View], Bool[np.ndarray, " galaxy"]]:
        """Draw each galaxy's view, and whether its image is changed."""
        changes = augmentation.changes
        changed = np.zeros(galaxies, dtype=bool)
        if changes.share:
            changed = random.random(galaxies) < changes.share
        zooms = np.where(changed, np.maximum(changes.zoom, augmentation.zoom), augmentation.zoom)
        return [random_view(random, augmentation, float(zoom)) for zoom in zooms], changed


def random_view(random: np.random.Generator, augmentation: AugmentationSection, zoom: float) -> View:
    """Draw one view, magnified at most by a factor or its inverse."""
    stretch = math.log(zoom)
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

    Adding a random multiple of each to an image changes brightness and colour as the survey itself does
    (Krizhevsky, Sutskever & Hinton 2012, section 4.1).
    """
    some = rows[:: max(1, len(rows) // 500)]
    colours = store.cutouts[some].reshape(-1, 3).astype(np.float64) / 255
    values, vectors = np.linalg.eigh(np.cov(colours.T))
    return np.asarray((vectors * values).T, dtype=np.float32)


def make_loaders(
    recipe: Recipe, data: TrainingData, world: World = ALONE
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """Make the loaders of training and validation batches, or of one process's shares of them."""
    size = recipe.training.batch_size
    if size < 2 * world.size:
        raise TrainingError(
            f"training.batch_size = {size} is too small for {world.size} devices, which need two galaxies "
            f"each; give fewer devices, or --set training.batch_size={2 * world.size}."
        )
    training = GalaxyBatches(recipe, data.store, data.training, recipe.augmentation, size, world)
    validation = GalaxyBatches(recipe, data.store, data.validation, None, 256, world)
    return _make_loader(training), _make_loader(validation)


def _make_loader(batches: GalaxyBatches) -> DataLoader[Batch]:
    # A loader draws a number whenever it is gone through, and Lightning does that at another moment in the
    # first epoch of a resumed run: with a generator of its own it leaves the stream for dropout alone.
    return DataLoader(
        batches, batch_size=None, sampler=EpochSampler(len(batches)), generator=torch.Generator()
    )
