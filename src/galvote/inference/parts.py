"""A prediction in numbered parts: Parquet files that are whole or absent, and a manifest that says of what.

A folder holds

- ``manifest.json``: the `Plan`, written before the first part; once the last part is there, it also counts
  the galaxies by ``status``;
- ``part-000000.parquet`` …: the rows of `Plan.part_size` galaxies each, in the listing's order.

Nothing else is remembered. A part that is not there, is damaged or belongs to another plan is made by whoever
comes to it first. A part always begins at the same galaxy, so it is the same whoever makes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from galvote._version import __version__
from galvote.errors import CatalogueError, OutputError
from galvote.inference.prediction import LEVEL
from galvote.inference.predictor import Predictor, Settings
from galvote.io import Sources
from galvote.io.atomic import write_whole

MANIFEST = "manifest.json"
PART_SIZE = 4096
_FORMAT = 1
_PART = re.compile(r"part-(\d{6}|[1-9]\d{6,})\.parquet")
_PARTIAL = "*.partial"
_PASSING = frozenset({"missing", "unavailable"})
"""What may be wrong with a picture today and not tomorrow."""
_DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError)
"""What reading a damaged Parquet file raises."""


class Plan(BaseModel):
    """All that the rows of a prediction depend on, and how they are cut into parts.

    Parameters
    ----------
    model, weights_sha256, calibration_sha256
        Name and hashes of the model.
    backend
        What computes, in which precision and where; the name of a `galvote.inference.Backend`.
    tta, level, field_of_view, features, conditional
        As for `galvote.Predictor.predict`.
    sources_sha256
        `galvote.io.Sources.digest` of the whole listing.
    galaxies
        How many are listed.
    part_size
        Galaxies in each part; the last may have fewer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = _FORMAT
    galvote: str = __version__
    model: str
    weights_sha256: str
    calibration_sha256: str
    backend: str
    tta: int
    level: float | None
    field_of_view: float | None
    features: bool
    conditional: bool
    sources_sha256: str
    galaxies: int
    part_size: int

    @property
    def parts(self) -> int:
        """How many there are."""
        return -(-self.galaxies // self.part_size)

    def places(self, part: int) -> slice:
        """Return the positions in the listing of a part's galaxies."""
        return slice(part * self.part_size, min((part + 1) * self.part_size, self.galaxies))

    def of_shard(self, shard: tuple[int, int]) -> range:
        """Return the parts of one of several shards: of 2/3, the second of three, 1, 4, 7 and so on."""
        number, of = shard
        return range(number - 1, self.parts, of)

    def digest(self) -> str:
        """Return what parts bear as the mark of their plan."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def tell_changes(self, other: Plan) -> str:
        """Say what another plan has otherwise; nothing if they are the same."""
        own, its = self.model_dump(), other.model_dump()
        return "; ".join(
            f"{key} {_shorten(own[key])}, now {_shorten(its[key])}" for key in own if own[key] != its[key]
        )


class Parts:
    """The parts of one plan in a folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self._mark = plan.digest()

    @classmethod
    def open(cls, folder: Path) -> Parts:
        """Open what was begun in a folder.

        Raises
        ------
        CatalogueError
            If there is no manifest, or none that this version reads.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            manifest.pop("statuses", None)
            return cls(folder, Plan.model_validate(manifest))
        except FileNotFoundError as error:
            raise CatalogueError(
                f"{folder} holds no {MANIFEST}: `galvote predict … --out {folder}{os.sep}` makes one."
            ) from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            what = f"{error.error_count()} keys are wrong" if isinstance(error, ValidationError) else error
            raise CatalogueError(
                f"{folder / MANIFEST} cannot be used ({what}): it is damaged, or of another version of "
                "galvote. Choose another folder, or start anew with --overwrite."
            ) from error

    @classmethod
    def begin(cls, folder: Path, plan: Plan, overwrite: bool = False) -> Parts:
        """Begin a plan in a folder, or go on with it; several processes may do so at once.

        Parameters
        ----------
        folder
            Made if it does not exist.
        overwrite
            Remove the parts of another plan, or of this one, and begin anew.

        Raises
        ------
        CatalogueError
            If another plan was begun there, or there are parts without a manifest.
        """
        parts = cls(folder, plan)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogueError(f"{folder} cannot be made: {error}. Choose another folder.") from error
        there = [path for path in folder.iterdir() if _PART.fullmatch(path.name)]
        if overwrite:
            parts._write_manifest()  # first: if this is stopped, old parts bear another mark
            for path in there:
                path.unlink(missing_ok=True)
        elif not (folder / MANIFEST).exists():
            if there:
                raise CatalogueError(
                    f"{folder} holds parts but no {MANIFEST}, so nobody knows of what they are. Choose "
                    "another folder, or remove them with --overwrite."
                )
            parts._write_manifest(once=True)
        parts._refuse_another_plan()
        return parts

    def path(self, part: int) -> Path:
        """Return where a part is, or will be."""
        return self.folder / f"part-{part:06}.parquet"

    def check(self, part: int, ids: Sequence[str], schema: pa.Schema) -> pa.Table | None:
        """Read a part; None unless it is there, whole, of this plan, and has these columns and ids."""
        try:
            # With the checksums of its pages, damage anywhere in the data is found.
            with pq.ParquetFile(self.path(part), page_checksum_verification=True) as file:
                if (note := self._note(file.schema_arrow)) is None:
                    return None
                table = file.read()
            wanted = (list(ids), note["statuses"])
            found = (table["id"].to_pylist(), Counter(table["status"].to_pylist()))
        except _DAMAGED:
            return None
        return table if table.schema.equals(schema) and found == wanted else None

    def write(self, part: int, table: pa.Table) -> None:
        """Write a part whole or, at any failure, not at all.

        Raises
        ------
        CatalogueError
            If it cannot be written, or another plan has been begun in the folder meanwhile.
        """
        self._refuse_another_plan()
        note = {"plan": self._mark, "statuses": Counter(table["status"].to_pylist())}
        # Without what the columns mean: in the end of the file, damage to it would not be found.
        bare = pa.schema([column.remove_metadata() for column in table.schema], {"galvote": json.dumps(note)})
        file = pa.BufferOutputStream()
        pq.write_table(
            pa.Table.from_arrays(table.columns, schema=bare),
            file,
            compression="zstd",
            use_dictionary=["status", "reason"],  # no two fractions are the same
            write_page_checksum=True,
        )
        try:
            write_whole(self.path(part), memoryview(file.getvalue()), unique=True, durable=True)
        except OutputError as error:
            # Whoever finds all parts in place tidies up, even what another process was about to write twice.
            if not (isinstance(error.__cause__, FileNotFoundError) and self.path(part).exists()):
                raise

    def present(self) -> list[int]:
        """Return the numbers of the parts that are there, unopened, in ascending order."""
        found = (_PART.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(part for match in found if match and (part := int(match[1])) < self.plan.parts)

    def count(self) -> tuple[list[int], Counter[str]]:
        """Return the parts that are not there, or not of this plan, and count the others' galaxies by status.

        Only the ends of the files are read: damage before them is found when the run goes on.
        """
        statuses = Counter[str]()
        missing = set(range(self.plan.parts))
        for part in self.present():
            with suppress(*_DAMAGED):
                if note := self._note(pq.read_schema(self.path(part))):
                    statuses.update(note["statuses"])
                    missing.remove(part)
        return sorted(missing), statuses

    def finish(self) -> bool:
        """Return whether the last part is there; then write the counts into the manifest and tidy up."""
        if len(self.present()) < self.plan.parts:
            return False
        missing, statuses = self.count()
        if not missing:
            for left in self.folder.glob(_PARTIAL):
                left.unlink(missing_ok=True)  # of processes that were killed
            self._write_manifest({"statuses": dict(sorted(statuses.items()))})
        return not missing

    def _note(self, schema: pa.Schema) -> dict[str, Any] | None:
        """Return what a part of this plan says of itself, None if it is of another."""
        note = json.loads((schema.metadata or {}).get(b"galvote", b"{}"))
        return note if note.get("plan") == self._mark else None

    def _write_manifest(
        self, counts: Mapping[str, Mapping[str, int]] | None = None, *, once: bool = False
    ) -> None:
        text = json.dumps(self.plan.model_dump() | dict(counts or {}), indent=1) + "\n"
        write_whole(self.folder / MANIFEST, text, unique=True, replace=not once, durable=True)

    def _refuse_another_plan(self) -> None:
        if said := Parts.open(self.folder).plan.tell_changes(self.plan):
            raise CatalogueError(
                f"{self.folder} holds a prediction of something else: {said}. Go on with the model, pictures "
                "and settings that it was begun with, choose another folder, or start anew with --overwrite."
            )


@dataclass
class Made:
    """What a run found and did.

    Parameters
    ----------
    kept, made, damaged, renewed
        Parts that were there; that were made; of those, how many had been there damaged, and how many whole,
        with pictures that had not been.
    statuses
        Galaxies of all of them by status.
    """

    kept: int = 0
    made: int = 0
    damaged: int = 0
    renewed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, other: Made) -> None:
        """Count what was found and done elsewhere, too."""
        self.kept += other.kept
        self.made += other.made
        self.damaged += other.damaged
        self.renewed += other.renewed
        self.statuses.update(other.statuses)


def make_plan(predictor: Predictor, sources: Sources, settings: Settings, part_size: int) -> Plan:
    """Return the plan of a prediction."""
    card = predictor.card
    return Plan(
        model=card.name,
        weights_sha256=card.weights_sha256,
        calibration_sha256=card.calibration.get("sha256", ""),
        backend=predictor.backend.name,
        tta=settings.tta,
        level=(settings.level or LEVEL) if predictor.calibration else None,
        field_of_view=settings.field_of_view,
        features=settings.features,
        conditional=settings.conditional,
        sources_sha256=sources.digest(),
        galaxies=len(sources),
        part_size=part_size,
    )


def make_parts(
    predictor: Predictor,
    sources: Sources,
    parts: Parts,
    settings: Settings,
    *,
    shard: tuple[int, int] = (1, 1),
    prefetch: int | None = None,
    retry: bool = False,
    on_galaxies: Callable[[int], None] | None = None,
    finish: bool = True,
) -> Made:
    """Make the parts that are not there yet.

    Parameters
    ----------
    sources
        The whole listing, whatever the shard.
    shard
        Which of how many; see `Plan.of_shard`.
    prefetch
        As for `galvote.Predictor.predict`.
    retry
        Make parts again that hold pictures which were missing, or which a service did not give.
    on_galaxies
        Called with how many more galaxies are predicted, or are in a part that is kept.
    finish
        Call `Parts.finish` at the end; whoever makes many shards does so once, by itself.

    Returns
    -------
    What was found and done, of this shard's parts.
    """
    done = Made()
    schema = predictor.schema(settings)
    begun = deque[int]()

    def take(statuses: Sequence[str]) -> None:
        done.statuses.update(statuses)
        if on_galaxies is not None:
            on_galaxies(len(statuses))

    def missing() -> Iterator[Sources]:
        # Looked at one by one while others are predicted: the first is begun at once, and what another
        # process has made meanwhile is not made again.
        for part in parts.plan.of_shard(shard):
            galaxies = sources[parts.plan.places(part)]
            table = parts.check(part, galaxies.ids, schema)
            renew = table is not None and retry and not _PASSING.isdisjoint(table["status"].to_pylist())
            if table is not None and not renew:
                done.kept += 1
                take(table["status"].to_pylist())
            else:
                done.renewed += renew
                done.damaged += table is None and parts.path(part).exists()
                begun.append(part)
                yield galaxies

    for prediction in predictor.predict_parts(
        missing(), settings, prefetch=prefetch, on_batch=lambda batch: take(batch.status)
    ):
        parts.write(begun.popleft(), prediction.to_arrow(settings.conditional))
        done.made += 1
    if finish:
        parts.finish()
    return done


def _shorten(value: Any) -> str:
    return f"{value:.12}" if isinstance(value, str) else str(value)
