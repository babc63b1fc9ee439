"""What was found in a field: its galaxies, what a model says of them, and how that is told in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from galvote.images.measure import FieldGalaxy
from galvote.inference import Prediction
from galvote.trees import DecisionTree, Kind
from galvote.trees.kinds import Finding, strongest_first

OOD = "unlike the training galaxies"


@dataclass(frozen=True, eq=False)
class ClassifiedField:
    """The galaxies of a field, and what they are.

    Parameters
    ----------
    title
        Name of the field; may be empty.
    galaxies
        Brightest first.
    too_small
        How many more things were found that are too small or faint to classify.
    predicted
        What the model says of each galaxy.
    findings
        The kind of each galaxy.
    paths
        The decision path of each galaxy in words.
    """

    title: str
    galaxies: tuple[FieldGalaxy, ...]
    too_small: int
    predicted: Prediction
    findings: tuple[Finding, ...]
    paths: tuple[str, ...]

    @property
    def flags(self) -> tuple[bool, ...]:
        """Whether each galaxy is known to be unlike those of the training."""
        ood = self.predicted.ood
        return (False,) * len(self.galaxies) if ood is None else tuple(map(bool, ood))

    @property
    def clearest_first(self) -> tuple[int, ...]:
        """Rows of all galaxies: the clearest of each kind, then the second clearest of each, and so on."""
        return tuple(strongest_first(self.findings))

    @property
    def clearest(self) -> tuple[int, ...]:
        """Row of the clearest galaxy of each kind, the very clearest first."""
        rows = dict[str, int]()
        for row in self.clearest_first:
            rows.setdefault(self.findings[row].kind.name, row)
        return tuple(rows.values())

    @property
    def tree(self) -> DecisionTree:
        """The questions that the model answers."""
        return self.predicted.tree

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that there are, in the tree's order."""
        return tuple(dict.fromkeys((*self.tree.kinds, *self.counts)))

    @property
    def counts(self) -> Counter[Kind]:
        """How many galaxies there are of each kind."""
        return Counter(finding.kind for finding in self.findings)

    def say_flagged(self) -> str:
        """Say how many galaxies are flagged and what that means; nothing if there is no flag."""
        if self.predicted.ood is None:
            return ""
        return (
            f"{sum(self.flags)} of the {len(self.flags)} galaxies are {OOD}: intervals promise nothing there."
        )


def print_findings(field: ClassifiedField, files: Sequence[Path], console: Console) -> None:
    """Print how many galaxies there are and are flagged, the clearest of each kind, and what is written."""
    console.print(
        f"{len(field.galaxies)} galaxies found and classified; "
        f"{field.too_small} more are too small or faint for that."
    )
    flags = field.flags
    if field.galaxies:
        if said := field.say_flagged():
            console.print(said)
        headings = ("", "number", "x", "y", "votes", "decision path", *(("flag",) if any(flags) else ()))
        table = Table(*headings, title="The clearest of each kind")
        for row in field.clearest:
            galaxy, finding = field.galaxies[row], field.findings[row]
            table.add_row(
                Text(finding.kind.name, finding.kind.colour),
                f"{galaxy.number}",
                f"{galaxy.x:.0f}",
                f"{galaxy.y:.0f}",
                f"{finding.fraction:.0%}",
                field.paths[row],
                *(("ood" if flags[row] else "",) if any(flags) else ()),
            )
        console.print(table)
    else:
        console.print("Nothing stands out from the sky: try a smaller --min-radius.")
    for path in files:
        console.print(f"  {path}")
