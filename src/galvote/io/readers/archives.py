"""Images in a tar file or a zip archive, in the WebDataset layout."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from galvote.errors import CatalogueError
from galvote.io.readers.files import (
    count_passed_over,
    is_image,
    name_without_ending,
    say_passed_over,
    to_text,
)
from galvote.io.readers.registry import damaged, register
from galvote.io.sources import TEXT, Listing, Read, join_texts, refuse, to_values

_BUFFER_BYTES = 1 << 20
_MAX_BYTES = 2 << 30
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
    """List a tar file's images by `list_samples`, from its headers alone; if it is damaged, a row fails."""
    members, others, whole = _read_headers(path)
    if not (members or whole):
        raise damaged(path, "a tar file", ValueError("its first header is none"))
    names = to_text([name for name, *_ in members], path)
    ids, kept, notes = list_samples(names, others, path)
    locations = pa.array(members, _MEMBER).filter(kept)
    if not whole:
        ids = pa.concat_arrays([ids, pa.array([str(path)], TEXT)])
        lost = pa.array([("what follows the last image", *_NOT_HELD)], _MEMBER)
        locations = pa.concat_arrays([locations, lost])
    return Listing(ids, locations, _Members(path), notes=notes)


def list_samples(
    names: pa.Array, others: Sequence[str], path: Path
) -> tuple[pa.Array, pa.Array, tuple[str, ...]]:
    """Return the ids of an archive's images, which of them are listed, and what is to be said.

    A WebDataset sample is what shares a key, the name up to its first dot. Its image is ``KEY.jpg`` or the
    like, ``KEY.image.jpg``, or the only image beside a ``KEY.labels.json``; its id is the last part of the
    key. Where nothing shares the key, the id is the name without the ending.
    """
    keys, samples = _keys(names)
    other_names = [name.encode(errors="replace").decode() for name in others]
    other_keys, other_samples = _keys(pa.array(other_names, TEXT))
    further = pc.and_(pc.not_equal(keys, samples), pc.is_in(samples, keys))  # KEY.mask.png beside KEY.jpg
    named = pc.and_(pc.equal(keys, join_texts(samples, "image", by=".")), pc.invert(further))
    of_named = pc.is_in(samples, samples.filter(named))
    further = pc.or_(further, pc.and_(of_named, pc.invert(named)))
    # J1.25.jpg has a name of its own beside J1.25.json, and shares its key with J1.labels.json.
    shared = other_samples.filter(pc.invert(pc.is_in(other_keys, keys)))
    alone = pc.and_(pc.is_in(samples, shared), pc.invert(pc.is_in(keys, other_keys)))
    ids = pc.if_else(pc.or_(named, alone), samples, keys)
    kept = pc.invert(further)
    passed = count_passed_over([*others, *names.filter(further).to_pylist()])
    notes = (*say_passed_over(passed, "member", f" of {path.name}"), "ids from members' names")
    return pc.replace_substring_regex(ids, "(?s)^.*/", "").filter(kept), kept, notes


def _keys(names: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return names without their endings, and up to their first dots."""
    keys = name_without_ending(names)
    return keys, pc.replace_substring_regex(keys, r"(?s)^((?:.*/)?[^/.]+)\.[^/]*$", r"\1")


def _read_headers(path: Path) -> tuple[list[_Member], list[str], bool]:
    """Return the members that are images, the names of the others, and whether the file is whole."""
    members, others = list[_Member](), list[str]()
    places = dict[str, tuple[int | None, int | None]]()  # by name, for links
    with path.open("rb") as file:
        if file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
            refuse_compressed(path)
        file.seek(0)
        try:
            # Names that are not UTF-8 stay different from one another.
            with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
                while member := tar.next():
                    tar.members.clear()  # type: ignore[attr-defined]  # it would remember each
                    if is_image(member.name) and not member.isdir():
                        place = (member.offset_data, member.size)
                        linked = places.get(member.linkname, _NOT_HELD)
                        places[member.name] = place if member.isreg() else linked
                        members.append((member.name, *places[member.name]))
                    elif not member.isdir():
                        others.append(member.name)
                file.seek(tar.offset)
                return members, others, file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
        except tarfile.TarError:
            return members, others, False


@register(".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
def refuse_compressed(path: Path, id_column: str | None = None) -> NoReturn:
    """Raise `CatalogueError`: a compressed tar file has no place for each member."""
    raise CatalogueError(
        f"{path} is compressed, so its members cannot be read one by one; run `gunzip` (bunzip2, unxz, "
        "unzstd) on it and name the .tar."
    )


@dataclass(frozen=True)
class _Zipped:
    """Reads members of a zip archive; a location is a name."""

    path: Path

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        with zipfile.ZipFile(self.path) as archive:
            for name in to_values(locations):
                member = archive.getinfo(name)
                told = partial("{} does not give {}: {}.".format, self.path, name)
                try:
                    if member.file_size > _MAX_BYTES:
                        yield partial(refuse, "too-large", told(f"it unpacks to {member.file_size:,} bytes"))
                    else:
                        yield partial(_only, archive.read(member))
                except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                    yield partial(refuse, "truncated", told(error))
                except NotImplementedError as error:
                    yield partial(refuse, "unsupported", told(error))

    def origins(self, locations: pa.Array) -> pa.Array:
        return join_texts(str(self.path), locations, by=" ")


@register(".zip", in_folders=False)
def list_zip(path: Path, id_column: str | None = None) -> Listing:
    """List a zip archive's images, where it is named: in a folder, it often lies beside what it holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except zipfile.BadZipFile as error:
        raise damaged(path, "a zip archive", error) from error
    if any(member.flag_bits & 1 for member in members):
        raise CatalogueError(f"{path} is encrypted; unpack it.")
    names = to_text([member.filename for member in members if is_image(member.filename)], path)
    others = [member.filename for member in members if not is_image(member.filename)]
    ids, kept, notes = list_samples(names, others, path)
    if not len(ids):
        raise CatalogueError(f"{path} has no images; unpack it and name what is in it.")
    return Listing(ids, names.filter(kept), _Zipped(path), notes=notes)
