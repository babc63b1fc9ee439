"""Which of several planes make an image, by their names or by what is asked for, and how they are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from galvote.errors import GalvoteError

BANDS = tuple("ubgvrizyjhk")
"""Names of bands from blue to red; of red, green and blue, too."""

STRETCHES = ("lupton", "asinh", "percentile")

_NO_NAMES = ("", "primary", "compressed_image")
"""Names that astropy and fpack give to what has none."""


Bands = str | int | Sequence[str | int]
"""What a user asks for: ``"i,r,g"``, one name or number, or several."""


@dataclass(frozen=True)
class Look:
    """How the planes of FITS files become an image: which bands, and the stretch of a single one."""

    bands: tuple[str, ...] = ()
    stretch: str = "lupton"

    @classmethod
    def of(cls, bands: Bands | None = None, stretch: str = "lupton") -> "Look":
        """Read what a user asks for, as ``i,r,g``, or raise `GalvoteError`."""
        text = "" if bands is None else join_bands(bands)
        names = tuple(name.strip().lower() for name in text.split(",")) if text else ()
        if len(names) == 2 or not all(names) or len(set(names)) < len(names):
            raise GalvoteError(f"The bands {bands!r} make no image: name one, or at least three.")
        if stretch not in STRETCHES:
            raise GalvoteError(f"There is no stretch {stretch!r}; it is one of {', '.join(STRETCHES)}.")
        return cls(names, stretch)


def join_bands(bands: Bands) -> str:
    """Return what a user asks for as a text: ``i,r,g``."""
    if isinstance(bands, str):
        return bands
    return ",".join(map(str, bands if isinstance(bands, Iterable) else [bands]))


def choose_bands(
    names: Sequence[str], wanted: Sequence[str] = (), numbers: Sequence[int] | None = None
) -> list[int] | None:
    """Return which of several planes are shown, from blue to red; None if it is not clear.

    What is wanted are names, numbers (from 0 if none are given), or what each nameless plane is. Names of
    `BANDS` are sorted, others are from blue to red already; of more than three the usual three are taken. If
    nothing is wanted, these are g, r, i; else g, r, z; else three that are all bands, or all nameless.
    """
    bands = bare_names(names)
    if not wanted:
        return _usual(bands)
    counted = [str(number) for number in (range(len(names)) if numbers is None else numbers)]
    if all(name in counted for name in wanted):
        places = [counted.index(name) for name in wanted]
        return places if len(places) in (1, 3) else None
    if all(bands.count(name) == 1 for name in wanted):
        places = [bands.index(name) for name in wanted]
    elif len(wanted) == len(bands) and not any(bands):
        places = list(range(len(bands)))
    else:
        return None
    if len(places) > 1 and (chosen := _usual(wanted)) is not None:
        return [places[place] for place in chosen]
    return places if len(places) in (1, 3) else None


def _usual(bands: Sequence[str]) -> list[int] | None:
    for three in ("gri", "grz"):
        if all(bands.count(band) == 1 for band in three):
            return [bands.index(band) for band in three]
    if len(bands) != 3:
        return None
    if not any(bands):
        return [0, 1, 2]
    if len(set(bands)) == 3 and all(band in BANDS for band in bands):
        return sorted(range(3), key=lambda place: BANDS.index(bands[place]))
    return None


def bare_names(names: Sequence[str]) -> list[str]:
    """Return names in lower case, empty where there is none."""
    lower = [name.strip().lower() for name in names]
    return ["" if name in _NO_NAMES else name for name in lower]


def say_names(names: Sequence[str]) -> str:
    """Return the names of planes as a message has them."""
    return ", ".join(name if bare else "unnamed" for name, bare in zip(names, bare_names(names), strict=True))
