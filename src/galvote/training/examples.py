"""Which galaxies a run learns from and is validated with: images, votes, classes and splits together."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from galvote.errors import TrainingError
from galvote.images import PackedStore
from galvote.labels import Votes, split_by_id
from galvote.training.recipe import Recipe
from galvote.trees import DecisionTree

REPRESENTATIVE = "complete"
"""What a table of splits calls galaxies that were drawn without regard to their votes."""
MAIN = ""
"""The name of the campaign whose RMSE chooses the best epoch; further ones have names of their own."""


@dataclass(frozen=True)
class Examples:
    """Galaxies to learn from or to score: rows of a packed store and what is known about each."""

    ids: tuple[str, ...]
    rows: Int[np.ndarray, " galaxy"]  # of their cutouts in the store
    fractions: Float[np.ndarray, "galaxy answer"]  # cumulative, of all campaigns; NaN where unknown
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

    def of(self, columns: slice) -> "Examples":
        """Return the examples with the labels of one campaign alone."""
        counts = None if self.counts is None else self.counts[:, columns]
        return replace(self, fractions=self.fractions[:, columns], counts=counts)

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
    campaigns
        Trees of the further campaigns, by name.
    """

    tree: DecisionTree
    store: PackedStore
    training: Examples
    validation: Examples
    class_names: tuple[str, ...]
    left_out: Mapping[str, int]
    campaigns: Mapping[str, DecisionTree] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, slice]:
        """Where each campaign's labels stand; the first one's, under `MAIN`, are those of the tree."""
        columns, start = dict[str, slice](), 0
        for name, tree in {MAIN: self.tree, **self.campaigns}.items():
            columns[name] = slice(start, start := start + len(tree))
        return columns

    def count(self) -> dict[str, dict[str, int]]:
        """Return how many galaxies have labels of each further campaign."""
        parts = {"training": self.training, "validation": self.validation}
        return {
            name: {
                f"{part}_galaxies": int(examples.of(columns).voted.sum()) for part, examples in parts.items()
            }
            for name, columns in self.columns.items()
            if name != MAIN
        }

    def describe(self) -> str:
        """Return in one line how many galaxies are learned from, validated with and left out."""
        left_out = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items() if count)
        unreadable = len(self.store.failures)
        return (
            f"{len(self.training)} galaxies to learn from ("
            f"{self.training.of(self.columns[MAIN]).complete} with every column, "
            f"{int((self.training.classes >= 0).sum())} with a class), "
            f"{len(self.validation)} to validate with"
            + "".join(
                f"; of the campaign {name}, with the tree {self.campaigns[name].name}, "
                f"{known['training_galaxies']} and {known['validation_galaxies']}"
                for name, known in self.count().items()
            )
            + (f"; left out: {left_out}" if left_out else "")
            + (f"; {unreadable} images could not be read" if unreadable else "")
        )


def gather_examples(
    recipe: Recipe,
    store: PackedStore,
    votes: Votes,
    *,
    classes: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    samples: Mapping[str, str] | None = None,
    campaigns: Mapping[str, Votes] | None = None,
) -> TrainingData:
    """Bring images, votes, hard classes and splits together, all by galaxy id.

    Galaxies with a class and no votes serve the auxiliary loss alone. Splits are ``train`` or ``validation``;
    without them, galaxies with votes are divided by a hash of their id, as are those that only further
    campaigns (by name) have votes of and the splits do not name. Samples say how galaxies were chosen:
    `REPRESENTATIVE`, as without them all are taken to be, or any other word. `TrainingError` is raised if no
    galaxy is left to train on or to validate with, or none has what the recipe's loss learns from.
    """
    classes = classes if classes is not None and recipe.training.classes_weight > 0 else {}
    class_names = tuple(sorted(set(classes.values())))
    further = dict(campaigns or {})
    examples, listed, left_out = _align(
        recipe, store, (votes, *further.values()), classes, class_names, samples
    )
    training, validation = _divide(recipe, examples, listed, splits)
    left_out["in no split"] = len(examples) - len(training) - len(validation)
    trees = {name: own.tree for name, own in further.items()}
    data = TrainingData(votes.tree, store, training, validation, class_names, left_out, trees)
    for name, part in (("train", training), ("validation", validation)):
        if len(part) < 2:
            reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count) or "none"
            raise TrainingError(
                f"Only {len(part)} galaxies with image and votes are in the split {name!r}; "
                f"left out: {reasons}. Check that the ids of images, votes and splits are the same."
            )
        for campaign, columns in data.columns.items():
            # A teacher fills in all that is unknown of those that are trained on.
            if part is validation or campaign != MAIN or not recipe.training.has_teacher:
                _refuse_unknown(recipe, part.of(columns), name, campaign, trees.get(campaign, votes.tree))
    if recipe.data.representative and not (training.representative & training.voted).any():
        raise TrainingError(
            f"data.representative = {recipe.data.representative:g} asks for galaxies of a representative "
            f"sample, and none is known: give --splits a table whose column `sample` says "
            f"{REPRESENTATIVE!r} for them, or --set data.representative=0."
        )
    return data


def _align(
    recipe: Recipe,
    store: PackedStore,
    tables: Sequence[Votes],
    classes: Mapping[str, str],
    class_names: Sequence[str],
    samples: Mapping[str, str] | None,
) -> tuple[Examples, Bool[np.ndarray, "galaxy table"], dict[str, int]]:
    """Return whom something is known of, which tables of votes have each of them, and who is left out."""
    number = {name: i for i, name in enumerate(class_names)}
    row_of = [{galaxy: row for row, galaxy in enumerate(votes.ids)} for votes in tables]
    rows = np.array([[table.get(galaxy, -1) for table in row_of] for galaxy in store.ids], dtype=np.int64)
    rows = rows.reshape(len(store), len(tables))
    known = (rows >= 0).any(axis=1) | np.array([galaxy in classes for galaxy in store.ids], dtype=bool)
    known |= recipe.data.unlabelled
    # At -1, the end, stands that nothing is lacking of who is not in the table.
    lacking = ~np.append(tables[0].complete, True)[rows[:, 0]] & (recipe.data.labels == "complete")
    kept = np.flatnonzero(known & ~lacking)
    ids, rows = tuple(store.ids[row] for row in kept), rows[kept]
    counted = recipe.training.loss == "dirichlet-multinomial"
    examples = Examples(
        ids=ids,
        rows=kept,
        fractions=_labels(rows, tables, [votes.fractions for votes in tables]),
        classes=np.array([number.get(classes.get(galaxy, ""), -1) for galaxy in ids], dtype=np.int64),
        representative=np.array(
            [samples is None or samples.get(galaxy) == REPRESENTATIVE for galaxy in ids], dtype=bool
        ),
        counts=_labels(rows, tables, [votes.counts for votes in tables]) if counted else None,
    )
    left_out = {
        "votes without image": len({galaxy for table in row_of for galaxy in table} - set(store.ids)),
        "images without votes": int((~known).sum()),
        "votes with unknown columns": int(lacking.sum()),
    }
    return examples, rows >= 0, left_out


def _labels(
    rows: Int[np.ndarray, "galaxy table"],
    tables: Sequence[Votes],
    values: Sequence[Float[np.ndarray, "..."] | None],
) -> Float[np.ndarray, "galaxy answer"]:
    """Return what each table says in these of its rows, side by side; NaN where the row is -1."""
    labels = [np.full((len(rows), len(votes.tree)), np.nan, dtype=np.float32) for votes in tables]
    for own, row, given in zip(labels, rows.T, values, strict=True):
        if given is not None:
            own[row >= 0] = given[row[row >= 0]]
    return np.concatenate(labels, axis=1)


def _divide(
    recipe: Recipe,
    examples: Examples,
    listed: Bool[np.ndarray, "galaxy table"],
    splits: Mapping[str, str] | None,
) -> tuple[Examples, Examples]:
    """Return those to learn from and those to validate with, which all stand in some table of votes."""
    share, voted = recipe.data.validation, np.asarray(listed.any(axis=1))
    drawn = split_by_id(examples.ids, {"train": 1 - share, "validation": share}, recipe.seed)
    split = [name if voted[i] else "train" for i, name in enumerate(drawn)]
    if splits is not None:
        # Splits were made for the first table, not for images of which nothing is known.
        own = ~listed[:, 0] & (voted | (examples.classes < 0))
        split = [splits.get(galaxy, split[i] if own[i] else "") for i, galaxy in enumerate(examples.ids)]
    training = examples.select([i for i, name in enumerate(split) if name == "train"])
    validation = examples.select([i for i, name in enumerate(split) if name == "validation" and voted[i]])
    return training, validation


def _refuse_unknown(recipe: Recipe, part: Examples, split: str, campaign: str, tree: DecisionTree) -> None:
    """Raise an error if nothing that the recipe's loss compares is known of a split's galaxies."""
    table = "--votes" if campaign == MAIN else f"campaigns.{campaign}.votes"
    match recipe.training.loss:
        case "dirichlet-multinomial" if not _knows_a_question(part.counts, tree):
            raise TrainingError(
                f"training.loss = 'dirichlet-multinomial' learns from numbers of votes, and no galaxy in the "
                f"split {split!r} has them: give {table} a table with the survey's columns "
                f"{tree.published_columns('count')[0] or 'for counts'} and so on (the GZ2 catalogues and the "
                "table vote_counts.csv of `galvote simulate` have them; the challenge's table does not), or "
                "learn from fractions with --set training.loss=squared --set network.head=softmax."
            )
        case "cross-entropy" if not _knows_a_question(part.fractions, tree):
            raise TrainingError(
                "training.loss = 'cross-entropy' learns from whole questions, and no galaxy in the split "
                f"{split!r} has the fractions of all answers to one: give {table} a table with all columns "
                "of a question, or learn from single columns with --set training.loss=squared."
            )
    if not part.voted.any():
        raise TrainingError(
            f"No galaxy in the split {split!r} has a known fraction in any column of {table}; give others in "
            "--splits, or a table that knows them."
        )


def _knows_a_question(values: Float[np.ndarray, "galaxy answer"] | None, tree: DecisionTree) -> bool:
    """Tell whether all answers of some question are known for some galaxy."""
    return values is not None and any(
        np.isfinite(values[:, answers]).all(axis=1).any() for answers in tree.slices.values()
    )
