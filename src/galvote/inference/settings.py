"""What is asked of a prediction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from galvote.errors import GalvoteError
from galvote.io.bands import Bands, Look, join_bands
from galvote.io.sizes import Sizes

Scale = Literal["gz2", "auto"] | Sizes
"""How images are brought to scale: they are, their galaxies are measured, or their sizes are known."""

OnProgress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@dataclass(frozen=True)
class Settings:
    """What is asked of a prediction.

    Parameters
    ----------
    tta, field_of_view, level, features
        As for `Predictor.predict`.
    conditional
        Whether its table has conditional fractions, too.
    bands, stretch, scale
        As for `Predictor.predict`.
    """

    tta: int = 1
    field_of_view: float | None = None
    level: float | None = None
    features: bool = False
    conditional: bool = False
    bands: Bands | None = None
    stretch: str = "lupton"
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if self.field_of_view is not None and self.scale is not None:
            raise GalvoteError("The field of view says the scale already: leave it or the scale out.")
        if self.scale not in (None, "gz2", "auto") and not isinstance(self.scale, Sizes):
            raise GalvoteError(f'There is no scale {self.scale!r}: it is "gz2", "auto" or galvote.Sizes.')
        if self.bands is not None:  # as the manifest of shards has them
            object.__setattr__(self, "bands", join_bands(self.bands) or None)

    @property
    def look(self) -> Look:
        """How the planes of FITS files are shown."""
        return Look.of(self.bands, self.stretch)

    @property
    def scaled(self) -> bool:
        """Whether each image is brought to scale by its own galaxy."""
        return self.scale not in (None, "gz2")
