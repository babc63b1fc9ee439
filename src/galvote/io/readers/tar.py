"""Images in a tar file, in the WebDataset layout."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.readers.files import IMAGES, name_without_ending, to_text
from galvote.io.readers.registry import register
from galvote.io.sources import TEXT, Listing, Read, join_texts, refuse, to_values

_BUFFER_BYTES = 1 << 20
_MEMBER = pa.struct([("name", TEXT), ("offset", pa.int64()), ("size", pa.int64())])
_NOT_HELD = (None, None)

_Member = tuple[str, int | None, int | None]


@dataclass(frozen=True)
class _Members:
    """Reads members of a tar file; a location is a name, and offset and size if the file holds it."""

    path: Path

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        with self.path.open("rb", buffering=_BUFFER_BYTES) as file:
            end = file.seek(0, 2)
            for member in to_values(locations):
                name, offset, size = member["name"], member["offset"], member["size"]
                if offset is None or offset + size > end:
                    reason = f"{self.path} does not hold all of {name}; fetch or pack the tar file again."
                    yield partial(refuse, "truncated", reason)
                else:
                    file.seek(offset)
                    yield partial(_only, file.read(size))

    def origins(self, locations: pa.Array) -> pa.Array:
        return join_texts(str(self.path), locations.field("name"), by=" ")


def _only(data: bytes) -> tuple[bytes, ...]:
    return (data,)


@register(".tar")
def list_tar(path: Path, id_column: str | None = None) -> Listing:
    """List the images of a tar file by their names, from its headers alone.

    A sample of the WebDataset layout is the members that share a key, the name up to its first dot. Its
    image is the member ``KEY.jpg``, or with another ending of an image, and its id the last part of the
    key. Other members are passed over. Names with more dots are no trouble unless a part is a key itself.
    Members of the same name are images of their own, though unpacking would keep the last alone.

    A tar file that is cut short or damaged has one more row, with its own path as the id, which fails when it
    is read: nobody knows what is lost.
    """
    members, whole = _read_headers(path)
    names = to_text([name for name, *_ in members], path)
    keys = name_without_ending(names)
    samples = pc.replace_substring_regex(keys, r"(?s)^((?:.*/)?[^/.]+)\.[^/]*$", r"\1")
    further = pc.and_(pc.not_equal(keys, samples), pc.is_in(samples, keys))  # KEY.mask.png beside KEY.jpg
    ids = pc.replace_substring_regex(keys, "(?s)^.*/", "").filter(pc.invert(further))
    locations = pa.array(members, _MEMBER).filter(pc.invert(further))
    if not whole:
        ids = pa.concat_arrays([ids, pa.array([str(path)], TEXT)])
        lost = pa.array([("what follows the last picture", *_NOT_HELD)], _MEMBER)
        locations = pa.concat_arrays([locations, lost])
    return Listing(ids, locations, _Members(path))


def _read_headers(path: Path) -> tuple[list[_Member], bool]:
    """Return the members that are images, and whether the file is whole."""
    members = list[_Member]()
    places = dict[str, tuple[int | None, int | None]]()  # by name, for links
    with path.open("rb") as file:
        try:
            # Names that are not UTF-8 stay different from one another.
            with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
                while member := tar.next():
                    tar.members.clear()  # type: ignore[attr-defined]  # it would remember each
                    if member.name.lower().endswith(IMAGES) and not member.isdir():
                        place = (member.offset_data, member.size)
                        linked = places.get(member.linkname, _NOT_HELD)
                        places[member.name] = place if member.isreg() else linked
                        members.append((member.name, *places[member.name]))
                file.seek(tar.offset)
                return members, file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
        except tarfile.TarError:
            return members, False


@register(".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
def refuse_compressed(path: Path, id_column: str | None = None) -> Listing:
    """Raise `CatalogueError`: a compressed tar file has no place for each member."""
    raise CatalogueError(
        f"{path} is compressed, so its members cannot be read one by one; unpack it to a .tar."
    )
