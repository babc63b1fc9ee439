"""All that the rows of a prediction depend on, as a file that lies beside its shards."""

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict

from galvote._version import __version__
from galvote.inference.prediction import LEVEL
from galvote.inference.predictor import Predictor
from galvote.inference.settings import Settings
from galvote.io import Sources


class Manifest(BaseModel):
    """All that the rows of a prediction depend on, and how they are cut into shards.

    Parameters
    ----------
    format, galvote
        Versions of this form and of galvote.
    model, weights_sha256, calibration_sha256
        Name and hashes of the model.
    backend
        Name of a `galvote.inference.Backend`.
    tta, level, field_of_view, features, conditional, bands, stretch, scale
        As in `galvote.inference.Settings`; the scale in words.
    sources_sha256, galaxies
        `galvote.io.Sources.digest` and length of the whole listing.
    shard_size
        Galaxies in each shard; the last may have fewer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 2
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
    bands: str | None = None
    stretch: str = "lupton"
    scale: str | None = None
    sources_sha256: str
    galaxies: int
    shard_size: int

    @classmethod
    def of(cls, predictor: Predictor, sources: Sources, settings: Settings, shard_size: int) -> "Manifest":
        """Return what describes a prediction.

        Parameters
        ----------
        predictor, sources
            The model, and the whole listing.
        settings
            What is asked for.
        shard_size
            Galaxies in each shard.
        """
        card = predictor.card
        level = (settings.level or LEVEL) if predictor.calibration else None
        return cls(
            model=card.name,
            weights_sha256=card.weights_sha256,
            calibration_sha256=card.calibration.get("sha256", ""),
            backend=predictor.backend.name,
            **{**vars(settings), "level": level, "scale": str(settings.scale) if settings.scaled else None},
            sources_sha256=sources.digest(),
            galaxies=len(sources),
            shard_size=shard_size,
        )

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.galaxies // self.shard_size)

    def rows(self, shard: int) -> slice:
        """Return the positions in the listing of a shard's galaxies.

        Parameters
        ----------
        shard
            Number of the shard, from 0.
        """
        return slice(shard * self.shard_size, min((shard + 1) * self.shard_size, self.galaxies))

    def of_task(self, task: tuple[int, int]) -> range:
        """Return the shards of one of several tasks: of (2, 3), the second of three, 1, 4, 7 and so on.

        Parameters
        ----------
        task
            Which one, from 1, of how many.
        """
        number, of = task
        return range(number - 1, self.shards, of)

    def digest(self) -> str:
        """Return a SHA-256, which shards bear as the mark of their manifest."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def changes(self, other: "Manifest") -> str:
        """Return what another manifest has otherwise, in words; nothing if they are the same.

        Parameters
        ----------
        other
            The other one.
        """
        own, its = self.model_dump(), other.model_dump()
        return "; ".join(
            f"{key} {_shorten(own[key])}, now {_shorten(its[key])}" for key in own if own[key] != its[key]
        )


def _shorten(value: Any) -> str:
    return f"{value:.12}" if isinstance(value, str) else str(value)
