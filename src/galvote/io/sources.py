"""Galaxies' pictures in a fixed order: what was listed, to be read one at a time.

A listing is Arrow arrays, about 100 bytes a galaxy, so that millions are listed in seconds. Pictures that lie
in the same kind of place stand on one `Shelf`: their ids, where each is, and the container that reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from galvote.errors import ImageError

Reader = Callable[[], tuple[bytes, ...] | UInt8[np.ndarray, "y x 3"]]
"""Gets one picture: the bytes of its file or files, or RGB pixels."""

TEXT = pa.large_string()
"""How texts are held: `pyarrow.string` has no room for more than 2 GiB."""

_ROWS = 4096


@dataclass(frozen=True)
class Source:
    """One galaxy's picture, not decoded yet.

    Parameters
    ----------
    origin
        The file it comes from, and where in it, for messages.
    read
        Returns the file's bytes; three byte strings, of the bands g, r, i in this order, for three one-band
        FITS files; RGB pixels, uint8, for a picture that is pixels already. Raises `OSError` if they cannot
        be read, and `ImageError` if the file that holds them is damaged.
    """

    id: str
    origin: str
    read: Reader


@runtime_checkable
class Container(Protocol):
    """How the pictures of one shelf are read: from files of their own, or from a file that holds many."""

    def readers(self, locations: pa.Array) -> Iterator[Reader]:
        """Yield the reader of each picture in order; it may break off where the file is damaged."""

    def origins(self, locations: pa.Array) -> pa.Array:
        """Say where each picture comes from."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """Pictures that one container reads.

    Parameters
    ----------
    ids
        As `TEXT`.
    locations
        Where each one is, in the container's own terms: paths, numbers of rows, offsets.
    """

    ids: pa.Array
    locations: pa.Array
    container: Container

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Source]:
        readers = fill_up(self.container.readers(self.locations), len(self))
        for part in self.parts():
            for id_, origin in zip(part.ids.to_pylist(), part.origins().to_pylist(), strict=True):
                yield Source(id_, origin, next(readers))

    def parts(self) -> Iterator[Shelf]:
        """Yield the shelf in parts of some thousand pictures, as many as become Python objects at a time."""
        return (self[start : start + _ROWS] for start in range(0, len(self), _ROWS))

    def __getitem__(self, places: slice) -> Shelf:
        """Return a part without copying."""
        return Shelf(self.ids[places], self.locations[places], self.container)

    def take(self, places: pa.Array) -> Shelf:
        """Return the pictures at these ascending places."""
        return Shelf(self.ids.take(places), self.locations.take(places), self.container)

    def origins(self) -> pa.Array:
        """Say where each picture comes from."""
        return self.container.origins(self.locations)

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow pickles all that a slice was cut from; another process needs the slice alone.
        places = pa.array(np.arange(len(self)))
        return Shelf, (self.ids.take(places), self.locations.take(places), self.container)


@dataclass(frozen=True)
class Sources:
    """Galaxies' pictures in a fixed order; iterate as often as you like, no picture is kept in memory.

    A part is `Sources` again: ``sources[start:stop]`` by position, `select` by id. Neither reads anything,
    and iterating over a part reads nothing of what precedes it but, in Parquet, the rest of its row group.

    Examples
    --------
    The second of three jobs, and the name of its listing, by which a later run knows that it is the same:

    >>> from galvote.io import list_sources
    >>> sources = list_sources("pictures/")  # doctest: +SKIP
    >>> part = sources[len(sources) // 3 : 2 * len(sources) // 3]  # doctest: +SKIP
    >>> part.digest()  # doctest: +SKIP
    """

    shelves: tuple[Shelf, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The galaxies' ids, in order; made when first asked for, at some 70 bytes each."""
        return tuple(chain.from_iterable(shelf.ids.to_pylist() for shelf in self.shelves))

    def __len__(self) -> int:
        return sum(map(len, self.shelves))

    def __iter__(self) -> Iterator[Source]:
        return chain.from_iterable(self.shelves)

    def __getitem__(self, places: slice) -> Sources:
        """Return the sources from one position to before another, in their order.

        Parameters
        ----------
        places
            A slice without a step; negative ends count from the end, as in lists.
        """
        start, stop, step = places.indices(len(self))
        if step != 1:
            raise ValueError(f"Sources are sliced without a step, not by {step}; use `select` for others.")
        kept = list[Shelf]()
        for shelf in self.shelves:
            if part := shelf[max(0, start) : max(0, stop)]:
                kept.append(part)
            start, stop = start - len(shelf), stop - len(shelf)
        return Sources(tuple(kept))

    def select(self, ids: Collection[str]) -> Sources:
        """Return the sources with these ids, in their order here; ids without a source are ignored."""
        wanted = pa.array(ids, TEXT)
        found = (shelf.take(pc.indices_nonzero(pc.is_in(shelf.ids, wanted))) for shelf in self.shelves)
        return Sources(tuple(shelf for shelf in found if shelf))

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of all ids and origins in order.

        Two listings with the same digest name the same pictures in the same order, so a run that goes on from
        another one's results compares it first. A part has its own digest. Paths count as they were given:
        the same folder has another digest by its absolute path than by its relative one. No file is read: a
        picture that changed under its name is not noticed. A million take a second or so.
        """
        digest = hashlib.sha256()
        for part in chain.from_iterable(shelf.parts() for shelf in self.shelves):
            for id_, origin in zip(part.ids.to_pylist(), part.origins().to_pylist(), strict=True):
                digest.update(f"{id_}\0{origin}\n".encode())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return Sources, (self.shelves,)  # without the ids as text


def join_texts(*parts: pa.Array | str, by: str) -> pa.Array:
    """Join texts row by row, with another between them; a single text is the same in each row."""
    texts = (pa.scalar(part, TEXT) if isinstance(part, str) else part.cast(TEXT) for part in parts)
    return pc.binary_join_element_wise(*texts, pa.scalar(by, TEXT))


def to_values(array: pa.Array) -> Iterator[Any]:
    """Yield what an Arrow array holds, some thousands at a time as Python objects."""
    return chain.from_iterable(
        array[start : start + _ROWS].to_pylist() for start in range(0, len(array), _ROWS)
    )


def fill_up(readers: Iterator[Reader], count: int) -> Iterator[Reader]:
    """Yield `count` readers: where the given ones break off, the rest of them say why.

    So a damaged container costs rows with a status and a reason, and never the run.
    """
    given = 0
    reason = "it ends before this picture"
    status = "truncated"
    try:
        for reader in readers:
            yield reader
            given += 1
    except Exception as error:  # readers of formats raise all sorts at damaged bytes
        if isinstance(error, OSError) and error.errno:
            status = "missing"
        reason = str(error)
    failing = partial(refuse, status, f"The file that holds it cannot be read: {reason}.")
    for _ in range(count - given):
        yield failing


def refuse(status: str, reason: str) -> NoReturn:
    """Raise an `ImageError`: the reader of a picture that cannot be read."""
    raise ImageError(status, reason)
