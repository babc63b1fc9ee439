"""Galaxies' images in a fixed order: what was listed, to be read one at a time.

A listing is Arrow arrays, about 100 bytes a galaxy, so that millions are listed in seconds. Images that lie
in the same kind of place are one `Listing`: their ids, where each is, and the reader of the format.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from itertools import chain
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from galvote.errors import ImageError
from galvote.io.bands import Look
from galvote.io.columns import say_count

Read = Callable[[], tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]]
"""Gets one image: the bytes of its file or files, or RGB pixels."""

TEXT = pa.large_string()
"""How texts are held: `pyarrow.string` has no room for more than 2 GiB."""

_ROWS = 4096
_WIDTH = re.compile(rb"galvote: (\d+(?:\.\d+)?) r90 wide$")


@dataclass(frozen=True)
class Source:
    """One galaxy's image, not decoded yet.

    Parameters
    ----------
    id
        The galaxy's id.
    origin
        The file it comes from, and where in it, for messages.
    read
        Returns the file's bytes, those of three one-band FITS files from blue to red, or RGB pixels, uint8;
        `OSError` if they cannot be read, `ImageError` if the file that holds them is damaged.
    field_of_view
        Width of the image in r90 where its place says it, as a packed store does.
    """

    id: str
    origin: str
    read: Read
    field_of_view: float | None = None


class FitsFiles(tuple[bytes, ...]):
    """The bytes of FITS files, with how their planes are shown."""

    look: Look

    def __new__(cls, files: Iterable[bytes], look: Look) -> "FitsFiles":
        """Make it of the bytes of each file."""
        made = super().__new__(cls, files)
        made.look = look
        return made


@runtime_checkable
class Reader(Protocol):
    """How the images of one listing are read; locations are those of a `Listing`."""

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        """Yield what reads each image, in order; it may break off where the file is damaged."""

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return, as text, where each image comes from."""


@dataclass(frozen=True)
class Shown:
    """Reads as another reader does, and adds how the planes of FITS files are shown."""

    reader: Reader
    look: Look

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        """Yield what reads each image."""
        for read in self.reader.reads(locations):
            yield partial(read_shown, read, self.look)

    def origins(self, locations: pa.Array) -> pa.Array:
        """Return what the other reader returns."""
        return self.reader.origins(locations)


def read_shown(read: Read, look: Look) -> tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]:
    """Return what a function reads, files of it with how they are shown."""
    data = read()
    return FitsFiles(data, look) if isinstance(data, tuple) else data


@dataclass(frozen=True, eq=False)
class Listing:
    """Images that one reader reads.

    Parameters
    ----------
    ids
        The galaxies' ids, as `TEXT`.
    locations
        Where each one is, in the reader's own terms: paths, numbers of rows, offsets.
    reader
        Reads them.
    field_of_view
        Width of the images in r90, where their place says it.
    notes
        What is to be said of them once, as "ids from file names".
    """

    ids: pa.Array
    locations: pa.Array
    reader: Reader
    field_of_view: float | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Source]:
        reads = fill_up(self.reader.reads(self.locations), len(self))
        for id_, origin in self.names():
            yield Source(id_, origin, next(reads), self.field_of_view)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield each image's id and origin, some thousands at a time as Python objects."""
        for start in range(0, len(self), _ROWS):
            part = self[start : start + _ROWS]
            origins = part.reader.origins(part.locations)
            yield from zip(part.ids.to_pylist(), origins.to_pylist(), strict=True)

    def __getitem__(self, places: slice) -> "Listing":
        """Return a part without copying."""
        return replace(self, ids=self.ids[places], locations=self.locations[places])

    def take(self, places: pa.Array) -> "Listing":
        """Return some of the images.

        Parameters
        ----------
        places
            Their numbers, ascending.
        """
        return replace(self, ids=self.ids.take(places), locations=self.locations.take(places))

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow pickles all that a slice was cut from; another process needs the slice alone.
        own = self.take(pa.array(np.arange(len(self))))
        return Listing, tuple(getattr(own, field.name) for field in fields(own))


@dataclass(frozen=True)
class Sources:
    """Galaxies' images in a fixed order; iterate as often as you like, no image is kept in memory.

    A part is `Sources` again, ``sources[start:stop]`` by position, `select` by id; other images are not read.

    Parameters
    ----------
    listings
        One after the other.
    """

    listings: tuple[Listing, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The galaxies' ids, in order; made when first asked for, at some 70 bytes each."""
        return tuple(chain.from_iterable(listing.ids.to_pylist() for listing in self.listings))

    def __len__(self) -> int:
        return sum(map(len, self.listings))

    def __iter__(self) -> Iterator[Source]:
        return chain.from_iterable(self.listings)

    def __getitem__(self, places: slice) -> "Sources":
        """Return the sources from one position to before another; a step is refused."""
        start, stop, step = places.indices(len(self))
        if step != 1:
            raise ValueError(f"Sources are sliced without a step, not by {step}; use `select` for others.")
        kept = list[Listing]()
        for listing in self.listings:
            if part := listing[max(0, start) : max(0, stop)]:
                kept.append(part)
            start, stop = start - len(listing), stop - len(listing)
        return Sources(tuple(kept))

    def select(self, ids: Collection[str]) -> "Sources":
        """Return the sources with these ids, in their order here.

        Parameters
        ----------
        ids
            Those without a source are ignored.
        """
        wanted = pa.array(ids, TEXT)
        chosen = (part.take(pc.indices_nonzero(pc.is_in(part.ids, wanted))) for part in self.listings)
        return Sources(tuple(part for part in chosen if part))

    def describe(self) -> str:
        """Return a line: how many galaxies there are, whence their ids are, what was passed over."""
        notes = dict.fromkeys(chain.from_iterable(listing.notes for listing in self.listings))
        return "; ".join((say_count(len(self), "galaxy"), *notes))

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of all ids, origins (paths as given) and looks, in order."""
        digest = hashlib.sha256()
        for id_, origin in chain.from_iterable(listing.names() for listing in self.listings):
            digest.update(f"{id_}\0{origin}\n".encode())
        for look in {getattr(each.reader, "look", Look()) for each in self.listings} - {Look()}:
            digest.update(repr(look).encode())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return Sources, (self.listings,)  # without the ids as text


def join_texts(*parts: pa.Array | str, by: str) -> pa.Array:
    """Join texts row by row; one that is no array is the same in each row."""
    texts = (pa.scalar(part, TEXT) if isinstance(part, str) else part.cast(TEXT) for part in parts)
    return pc.binary_join_element_wise(*texts, pa.scalar(by, TEXT))


def to_values(array: pa.Array) -> Iterator[Any]:
    """Yield what an Arrow array holds, some thousands at a time as Python objects."""
    return chain.from_iterable(
        array[start : start + _ROWS].to_pylist() for start in range(0, len(array), _ROWS)
    )


def fill_up(reads: Iterator[Read], count: int) -> Iterator[Read]:
    """Yield `count` functions that read an image: where the given ones break off, the rest say why."""
    given = 0
    reason = "it ends before this image"
    status = "truncated"
    try:
        for read in reads:
            yield read
            given += 1
    except Exception as error:  # readers of formats raise all sorts at damaged bytes
        if isinstance(error, OSError) and error.errno:
            status = "missing"
        reason = str(error)
    failing = partial(refuse, status, f"The file that holds it cannot be read: {reason}.")
    for _ in range(count - given):
        yield failing


def say_width(file: bytes, field_of_view: float) -> bytes:
    """Return the bytes of an image with its width in r90 after their end, where decoders do not look."""
    return file + b"galvote: %g r90 wide" % field_of_view


def said_width(data: object) -> float | None:
    """Return the width in r90 that `say_width` has put after the end of an image's bytes."""
    file = data[0] if isinstance(data, tuple) and data else data
    said = _WIDTH.search(file[-40:]) if isinstance(file, bytes) else None
    return float(said[1]) if said else None


def refuse(status: str, reason: str) -> NoReturn:
    """Raise an `ImageError`: what "reads" an image that cannot be read."""
    raise ImageError(status, reason)
