"""What is asked of a prediction."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

from galvote.errors import FractionError, GalvoteError
from galvote.images import FRAME_WIDTH
from galvote.io.bands import Bands, Look, join_bands
from galvote.io.sizes import Sizes

Scale = Literal["gz2", "auto"] | Sizes
"""How images are brought to scale: they are, their galaxies are measured, or their sizes are known."""

MAX_FIELD_OF_VIEW = 1000.0
"""In r90; a galaxy in the middle of a wider image has no pixel to itself."""

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
        width = self.field_of_view
        if not isinstance(self.tta, Integral) or self.tta < 1:
            raise GalvoteError(f"A tta of {self.tta!r} is not possible: it is a whole number from 1 on.")
        if not (width is None or (isinstance(width, Real) and 0 < width <= MAX_FIELD_OF_VIEW)):
            raise GalvoteError(
                f"A field of view of {width!r} r90 is not possible: it is more than 0, and at most "
                f"{MAX_FIELD_OF_VIEW:g}; a GZ2 frame has {FRAME_WIDTH:g}."
            )
        if not isinstance(self.level, Real | None):
            raise FractionError(f"The level {self.level!r} is no number; give one between 0 and 1, as 0.9.")
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
