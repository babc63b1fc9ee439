"""What volunteers said about galaxies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from galvote.trees import DecisionTree


@dataclass(frozen=True, eq=False)
class Votes:
    """Vote fractions of galaxies.

    Parameters
    ----------
    tree
        The questions.
    ids
        One per galaxy, each once.
    fractions
        Cumulative, in [0, 1], in ``tree.columns`` order; NaN where unknown.
    counts
        Number of volunteers who gave each answer; NaN where unknown. None if no file had counts.
    form
        What the fractions were made of: one of `galvote.trees.FORMS`, or ``class``; several with commas.
    """

    tree: DecisionTree
    ids: tuple[str, ...]
    fractions: Float[np.ndarray, "galaxy answer"]
    counts: Float[np.ndarray, "galaxy answer"] | None = None
    form: str = "cumulative"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def complete(self) -> Bool[np.ndarray, " galaxy"]:
        """True for each galaxy whose fractions are all known."""
        return np.asarray(np.isfinite(self.fractions).all(axis=1))

    def digest(self) -> str:
        """Return a SHA-256 of ids and fractions, the same in whatever order the galaxies are."""
        order = np.argsort(self.ids)
        hashed = sha256("\n".join(self.ids[row] for row in order).encode())
        hashed.update(self.fractions[order].tobytes())
        return hashed.hexdigest()

    def to_arrow(self) -> pa.Table:
        """Return a table of ids, cumulative fractions, and counts where they and their columns are known."""
        named = [*zip(self.tree.columns, self.fractions.T, strict=True)]
        if self.counts is not None:
            named += zip(self.tree.published_columns("count"), self.counts.T, strict=True)
        columns = {name: pa.array(values, from_pandas=True) for name, values in named if name}
        return pa.table({"id": pa.array(self.ids, pa.string()), **columns})

    def select(self, rows: Int[np.ndarray, " row"] | Bool[np.ndarray, " galaxy"]) -> "Votes":
        """Return the votes of some galaxies.

        Parameters
        ----------
        rows
            Row numbers, which give the order, or a truth value for each galaxy.
        """
        rows = np.arange(len(self))[rows]
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            fractions=self.fractions[rows],
            counts=None if self.counts is None else self.counts[rows],
        )

    @classmethod
    def stack(cls, parts: "Sequence[Votes]") -> "Votes":
        """Return the votes of several tables under one another; counts are NaN where a part has none.

        Parameters
        ----------
        parts
            One or more, of one tree.
        """
        counts = [
            np.full_like(part.fractions, np.nan) if part.counts is None else part.counts for part in parts
        ]
        counted = any(part.counts is not None for part in parts)
        return cls(
            tree=parts[0].tree,
            ids=tuple(id_ for part in parts for id_ in part.ids),
            fractions=np.concatenate([part.fractions for part in parts]),
            counts=np.concatenate(counts) if counted else None,
            form=", ".join(dict.fromkeys(part.form for part in parts)),
        )
