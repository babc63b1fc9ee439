"""A prediction in numbered shards: Parquet files that are whole or absent, and a manifest that says of what.

A folder holds

- ``manifest.json``: the `Manifest`, written before the first shard; once the last shard is there, it also
  counts the galaxies by ``status``;
- ``shard-000000.parquet`` …: the rows of `Manifest.shard_size` galaxies each, in the listing's order.

Nothing else is remembered. A shard that is not there, is damaged or belongs to another manifest is made by
whoever comes to it first. A shard always begins at the same galaxy, so it is the same whoever makes it.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from galvote.errors import CatalogueError, OutputError
from galvote.inference.manifest import Manifest
from galvote.io.atomic import write_whole

MANIFEST = "manifest.json"
SHARD_SIZE = 4096
"""Galaxies in each shard unless another number is asked for."""

_SHARD = re.compile(r"shard-(\d{6}|[1-9]\d{6,})\.parquet")
_PARTIAL = "shard-*.partial"
_DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError)
"""What reading a damaged Parquet file raises."""


class Shards:
    """The shards of one manifest in a folder.

    Parameters
    ----------
    folder, manifest
        Where they are, and of what.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._mark = manifest.digest()

    @classmethod
    def open(cls, folder: Path) -> "Shards":
        """Return what was begun in a folder.

        Parameters
        ----------
        folder
            `CatalogueError` if it has no manifest, or none that this version reads.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            for found in ("statuses", "remark"):
                manifest.pop(found, None)
            return cls(folder, Manifest.model_validate(manifest))
        except FileNotFoundError as error:
            raise CatalogueError(
                f"{folder} holds no {MANIFEST}: `galvote predict … --out {folder}{os.sep}` makes one."
            ) from error
        except NotADirectoryError as error:
            raise CatalogueError(
                f"{folder} is a file and not a folder; name the one that `galvote predict` writes shards to."
            ) from error
        except (OSError, ValueError, AttributeError, TypeError) as error:
            what = f"{error.error_count()} keys are wrong" if isinstance(error, ValidationError) else error
            raise CatalogueError(
                f"{folder / MANIFEST} cannot be used ({what}): it is damaged, or of another version of "
                "galvote. Choose another folder, or start anew with --overwrite."
            ) from error

    @classmethod
    def begin(cls, folder: Path, manifest: Manifest, overwrite: bool = False) -> "Shards":
        """Begin a prediction in a folder, or go on with it, and return its shards.

        Parameters
        ----------
        folder
            Made if it does not exist.
        manifest
            Of what the shards are to be.
        overwrite
            Remove the shards of another manifest, or of this one, and begin anew.

        Raises
        ------
        CatalogueError
            If another prediction was begun there, or there are shards without a manifest.
        OutputError
            If the folder cannot be written to.
        """
        shards = cls(folder, manifest)
        there = [path for path in folder.glob("shard-*") if _SHARD.fullmatch(path.name)]
        if overwrite:
            shards._write_manifest()  # first: if this is stopped, old shards bear another mark
            for path in there:
                path.unlink(missing_ok=True)
        elif not (folder / MANIFEST).exists():
            if there:
                raise CatalogueError(
                    f"{folder} holds shards but no {MANIFEST}, so nobody knows of what they are. Choose "
                    "another folder, or remove them with --overwrite."
                )
            shards._write_manifest(replace=False)
        shards._refuse_another_manifest()
        return shards

    def path(self, shard: int) -> Path:
        """Return where a shard is, or will be.

        Parameters
        ----------
        shard
            Its number, from 0.
        """
        return self.folder / f"shard-{shard:06}.parquet"

    def check(self, shard: int, ids: Sequence[str], schema: pa.Schema) -> Counter[str] | None:
        """Return a shard's galaxies by status; None unless it is whole, of this manifest, and as asked for.

        Parameters
        ----------
        shard
            Its number, from 0.
        ids, schema
            That it must have.
        """
        try:
            # With the checksums of its pages, damage anywhere in the data is found.
            with pq.ParquetFile(self.path(shard), page_checksum_verification=True) as file:
                if (note := self._note(file.schema_arrow)) is None:
                    return None
                table = file.read()
            statuses = Counter(table["status"].to_pylist())
            whole = table["id"].to_pylist() == list(ids) and statuses == note["statuses"]
        except _DAMAGED:
            return None
        return statuses if whole and table.schema.equals(schema) else None

    def write(self, shard: int, table: pa.Table) -> None:
        """Write a shard whole or, at any failure, not at all.

        Parameters
        ----------
        shard
            Its number, from 0.
        table
            Its rows.

        Raises
        ------
        CatalogueError
            If another prediction has been begun in the folder meanwhile.
        OutputError
            If it cannot be written.
        """
        self._refuse_another_manifest()
        note = {"manifest": self._mark, "statuses": Counter(table["status"].to_pylist())}
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
            write_whole(self.path(shard), file.getvalue().to_pybytes(), unique=True, durable=True)
        except OutputError:
            # Whoever finds all shards in place tidies up, even what another process was about to write again.
            if not self.path(shard).exists():
                raise

    def present(self) -> list[int]:
        """Return the numbers of the shards that are there, unopened, in ascending order."""
        found = (_SHARD.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(n for match in found if match and (n := int(match[1])) < self.manifest.shards)

    def count(self) -> tuple[list[int], Counter[str]]:
        """Return which shards are absent, or of another manifest, and the others' galaxies by status.

        Only the ends of the files are read; damage before them is found when the run goes on.
        """
        statuses = Counter[str]()
        missing = set(range(self.manifest.shards))
        for shard in self.present():
            with suppress(*_DAMAGED):
                if note := self._note(pq.read_schema(self.path(shard))):
                    statuses.update(note["statuses"])
                    missing.remove(shard)
        return sorted(missing), statuses

    def finish(self, remark: str = "") -> bool:
        """Return whether the last shard is there; then write the counts into the manifest and tidy up.

        Parameters
        ----------
        remark
            What is to be known of all rows.
        """
        if len(self.present()) < self.manifest.shards:
            return False
        missing, statuses = self.count()
        if not missing:
            for left in self.folder.glob(_PARTIAL):
                left.unlink(missing_ok=True)  # of processes that were killed
            found = {"statuses": dict(sorted(statuses.items()))}
            self._write_manifest(found | ({"remark": remark} if remark else {}))
        return not missing

    def _note(self, schema: pa.Schema) -> dict[str, Any] | None:
        """Return what a shard of this manifest says of itself, None if it is of another."""
        note = json.loads((schema.metadata or {}).get(b"galvote", b"{}"))
        return note if note.get("manifest") == self._mark else None

    def _write_manifest(self, counts: dict[str, Any] | None = None, *, replace: bool = True) -> None:
        text = json.dumps(self.manifest.model_dump() | (counts or {}), indent=1) + "\n"
        write_whole(self.folder / MANIFEST, text, unique=True, replace=replace, durable=True)

    def _refuse_another_manifest(self) -> None:
        if changes := Shards.open(self.folder).manifest.changes(self.manifest):
            raise CatalogueError(
                f"{self.folder} holds a prediction of something else: {changes}. Go on with the model, "
                "images and settings that it was begun with, choose another folder, or start anew with "
                "--overwrite."
            )
