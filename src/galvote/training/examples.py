"""Which galaxies a run learns from and is validated with: pictures, votes, classes and splits together."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from galvote.errors import TrainingError
from galvote.images import PackedStore
from galvote.labels import Votes, split_by_id
from galvote.training.recipe import Recipe
from galvote.trees import DecisionTree

REPRESENTATIVE = "complete"
"""What a table of splits calls galaxies that were drawn without regard to their votes."""


@dataclass(frozen=True)
class Examples:
    """Galaxies to learn from or to score: rows of a packed store and what is known about each."""

    ids: tuple[str, ...]
    rows: Int[np.ndarray, " galaxy"]  # of their cutouts in the store
    fractions: Float[np.ndarray, "galaxy answer"]  # cumulative; NaN where unknown
    classes: Int[np.ndarray, " galaxy"]  # number of the hard class; -1 where unknown
    representative: Bool[np.ndarray, " galaxy"]  # drawn without regard to their votes
    counts: Float[np.ndarray, "galaxy answer"] | None = None  # of votes; None where no loss asks for them

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
        digest = hashlib.sha256("\n".join(self.ids).encode())
        for labels in (self.fractions, self.classes, self.counts):
            if labels is not None:
                digest.update(np.ascontiguousarray(labels).tobytes())
        return digest.hexdigest()

    def select(self, positions: Sequence[int]) -> "Examples":
        """Return the examples at some positions, from 0, in that order."""
        rows = np.asarray(positions, dtype=np.int64)
        return Examples(
            tuple(self.ids[i] for i in rows),
            self.rows[rows],
            self.fractions[rows],
            self.classes[rows],
            self.representative[rows],
            None if self.counts is None else self.counts[rows],
        )


@dataclass(frozen=True)
class TrainingData:
    """What one run learns from and is validated with.

    Parameters
    ----------
    tree
        The tree of the votes.
    store
        Packed cutouts.
    training, validation
        Examples of which each galaxy is in at most one.
    class_names
        Of the hard classes, in the order of their numbers.
    left_out
        How many galaxies take no part, by reason.
    """

    tree: DecisionTree
    store: PackedStore
    training: Examples
    validation: Examples
    class_names: tuple[str, ...]
    left_out: Mapping[str, int]

    def describe(self) -> str:
        """Return in one line how many galaxies are learned from, validated with and left out."""
        left_out = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items() if count)
        unreadable = len(self.store.failures)
        return (
            f"{len(self.training)} galaxies to learn from ({self.training.complete} with every column, "
            f"{int((self.training.classes >= 0).sum())} with a class), "
            f"{len(self.validation)} to validate with"
            + (f"; left out: {left_out}" if left_out else "")
            + (f"; {unreadable} pictures could not be read" if unreadable else "")
        )


def gather_examples(
    recipe: Recipe,
    store: PackedStore,
    votes: Votes,
    *,
    classes: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    samples: Mapping[str, str] | None = None,
) -> TrainingData:
    """Bring pictures, votes, hard classes and splits together, the last three by galaxy id.

    Galaxies with a class and no votes serve the auxiliary loss alone. Splits are ``train`` or ``validation``;
    without them, galaxies with votes are divided by a hash of their id. Samples say how galaxies were chosen:
    `REPRESENTATIVE`, as without them all are taken to be, or any other word. `TrainingError` is raised if no
    galaxy is left to train on or to validate with, or none has what the recipe's loss learns from.
    """
    classes = classes if classes is not None and recipe.training.classes_weight > 0 else {}
    class_names = tuple(sorted(set(classes.values())))
    examples, listed, left_out = _align(recipe, store, votes, classes, class_names, samples)
    training, validation = _divide(recipe, examples, listed, splits)
    left_out["in no split"] = len(examples) - len(training) - len(validation)
    for name, part in (("train", training), ("validation", validation)):
        if len(part) < 2:
            reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count) or "none"
            raise TrainingError(
                f"Only {len(part)} galaxies with picture and votes are in the split {name!r}; "
                f"left out: {reasons}. Check that the ids of pictures, votes and splits are the same."
            )
        # A teacher fills in all that is unknown of those that are trained on.
        if part is validation or not recipe.training.has_teacher:
            _refuse_unknown(recipe, part, name, votes.tree)
    if recipe.data.representative and not (training.representative & training.voted).any():
        raise TrainingError(
            f"data.representative = {recipe.data.representative:g} asks for galaxies of a representative "
            f"sample, and none is known: give --splits a table whose column `sample` says "
            f"{REPRESENTATIVE!r} for them, or --set data.representative=0."
        )
    return TrainingData(votes.tree, store, training, validation, class_names, left_out)


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
    ids, rows, vote_rows = list[str](), list[int](), list[int]()
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
            vote_rows.append(at)
    row_of_votes = np.array(vote_rows, dtype=np.int64)
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
        representative=np.array(
            [samples is None or samples.get(galaxy) == REPRESENTATIVE for galaxy in ids], dtype=bool
        ),
        counts=None if counts is None else aligned(counts),
    )
    left_out = {
        "votes without picture": len(vote_row.keys() - set(store.ids)),
        "pictures without votes": unlabelled,
        "votes with unknown columns": incomplete,
    }
    return examples, listed, left_out


def _divide(
    recipe: Recipe, examples: Examples, listed: Bool[np.ndarray, " galaxy"], splits: Mapping[str, str] | None
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
                f"{tree.published_columns('count')[0] or 'for counts'} and so on (the GZ2 catalogues and the "
                "table vote_counts.csv of `galvote simulate` have them; the challenge's table does not), or "
                "learn from fractions with --set training.loss=squared --set network.head=softmax."
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
