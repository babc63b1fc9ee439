"""Pictures are listed without opening them, read one at a time, and matched with votes."""

import gzip
import os
import pickle
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galvote.errors import CatalogueError, ImageError
from galvote.images import Geometry, pack, try_cutout
from galvote.io import Listing, Source, Sources, list_sources, register, write_table
from galvote.io.bands import Look
from galvote.io.readers import registry
from galvote.io.sources import Read
from galvote.labels import Votes, match_ids
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(f"bytes of {name}".encode())
    return folder


def write_shard(path: Path, ids: Sequence[object], images: Sequence[object], rows_per_group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"GalaxyID": ids, "image": pa.array(images, IMAGE)}), path, row_group_size=rows_per_group
    )
    return path


def contents(sources: Sources) -> dict[str, tuple[str, ...]]:
    return {source.id: tuple(part.decode() for part in source.read()) for source in sources}


def write_fits(path: Path, *tables: dict[str, object], primary: object = None) -> Path:
    units = [fits.PrimaryHDU(primary)]
    units += [fits.table_to_hdu(Table(columns)) for columns in tables]
    fits.HDUList(units).writeto(path)
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def wrong(source: Source) -> tuple[str, str]:
    with pytest.raises(ImageError) as error:
        source.read()
    return error.value.status, error.value.reason


# --- files -----------------------------------------------------------------------------------------------


def test_folder_of_pictures(tmp_path: Path) -> None:
    names = ["b.jpg", "a.JPEG", "c.1.png", "d.webp", "e.tif", "f.tiff", "g.fits", "h.fit", "i.fits.gz"]
    names += ["j.gif", "k.bmp", "l.jfif", "m.avif", "n.jp2", "o.jxl"]
    put(tmp_path, *names, "notes.md", "more.md", "votes.csv", "._a.JPEG")
    put(tmp_path / "deeper", "z.jpg")
    sources = list_sources(tmp_path)
    assert sources.ids == ("a", "b", "c.1", *"defghijklmno")
    assert sources.describe() == (
        "15 galaxies; 4 files passed over (2 .md, 1 ._*, 1 .csv); ids from file names"
    )
    assert contents(sources)["i"] == ("bytes of i.fits.gz",)
    assert next(iter(sources)).origin == str(tmp_path / "a.JPEG")


def test_list_of_files_and_text_list(tmp_path: Path) -> None:
    put(tmp_path / "p", "b.jpg", "a.jpg", "odd.name")
    (tmp_path / "list.txt").write_text("p/b.jpg\n\n p/a.jpg \n")
    assert list_sources([tmp_path / "p" / "b.jpg", str(tmp_path / "p" / "odd.name")]).ids == ("b", "odd")
    assert contents(list_sources(tmp_path / "list.txt")) == {
        "b": ("bytes of b.jpg",),
        "a": ("bytes of a.jpg",),
    }


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
def test_catalogue_of_sources_is_relative_to_itself(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "p", "x.jpg", "y.jpg")
    table = pa.table({"id": ["1", "2", "3"], "source": ["p/y.jpg", str(tmp_path / "p" / "x.jpg"), None]})
    write_table(table, tmp_path / f"list{ending}")
    sources = list_sources(tmp_path / f"list{ending}")
    assert contents(sources.select(["1", "2"])) == {"1": ("bytes of y.jpg",), "2": ("bytes of x.jpg",)}
    (without,) = sources.select(["3"])
    with pytest.raises(ImageError, match=r"catalogue .*/list\..* names no image") as error:
        without.read()
    assert error.value.status == "missing"
    assert sources.ids == ("1", "2", "3")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits"])
def test_what_a_catalogue_says_of_a_galaxy_without_picture_is_carried_over(
    tmp_path: Path, ending: str
) -> None:
    put(tmp_path, "x.jpg")
    rows = [
        ("1", None, "outside", "Not in the footprint."),
        ("2", "x.jpg", "ok", ""),
        ("3", " ", "ok", "?"),
        ("4", None, "outside", None),
        ("5", None, None, "lost"),
    ]
    columns = {
        name: list(cells) for name, *cells in zip(("id", "source", "status", "reason"), *rows, strict=True)
    }
    write_table(pa.table(columns), tmp_path / f"list{ending}")
    sources = list_sources(tmp_path / f"list{ending}")
    assert sources.ids == ("1", "2", "3", "4", "5")
    first, second, *others = pickle.loads(pickle.dumps(sources))
    assert second.read() == (b"bytes of x.jpg",) and second.origin == f"{tmp_path}/x.jpg"
    assert first.origin == str(tmp_path / f"list{ending}")
    found = [wrong(source) for source in (first, *others)]
    none = f"The catalogue {tmp_path}/list{ending} names no image."
    assert found == [
        ("outside", "Not in the footprint."),
        ("missing", none),
        ("outside", none),
        ("missing", none),
    ]
    assert sources[2:].digest() == list_sources(tmp_path / f"list{ending}").select(["3", "4", "5"]).digest()


def test_columns_of_another_meaning_are_not_carried_over(tmp_path: Path) -> None:
    write_table(
        pa.table({"id": ["1"], "source": [""], "status": [3], "reason": ["r"]}), tmp_path / "l.parquet"
    )
    (source,) = list_sources(tmp_path / "l.parquet")
    assert wrong(source)[0] == "missing"


def test_a_fits_picture_named_alone_is_a_picture(tmp_path: Path) -> None:
    put(tmp_path, "damaged.fits")
    assert contents(list_sources(tmp_path / "damaged.fits")) == {"damaged": ("bytes of damaged.fits",)}


def test_three_bands_are_one_galaxy_in_order_g_r_i(tmp_path: Path) -> None:
    put(
        tmp_path,
        "7_r.fits",
        "7_i.fits",
        "7_g.fits",
        "8-g.fits.gz",
        "8-r.fits.gz",
        "8-i.fits.gz",
        "9_g.fits",
        "9_r.fits",
    )
    found = contents(list_sources(tmp_path))
    assert found == {
        "7": ("bytes of 7_g.fits", "bytes of 7_r.fits", "bytes of 7_i.fits"),
        "8": ("bytes of 8-g.fits.gz", "bytes of 8-r.fits.gz", "bytes of 8-i.fits.gz"),
        "9_g": ("bytes of 9_g.fits",),
        "9_r": ("bytes of 9_r.fits",),
    }


def test_bands_in_either_case_with_any_break_are_one_galaxy_and_are_noted(
    tmp_path: Path,
) -> None:
    put(tmp_path, *(f"leg_{band}.fits.fz" for band in "zrg"), *(f"NGC.1-{band}.FITS" for band in "GRI"))
    put(tmp_path, *(f"s.{band}.fts.bz2" for band in "uzgri"), *(f"odd_{band}.fits" for band in "ugiz"))
    put(tmp_path, "lone_r.fits", "lone_g.fits", "a.fits.xz")
    sources = list_sources(tmp_path)
    found = {source.id: source for source in sources}
    assert list(found) == ["NGC.1", "a", "leg", "lone_g", "lone_r", "odd", "s"]
    assert sources.describe() == (
        "7 galaxies; 3 bands g, r, i for 1 galaxy; 3 bands g, r, z for 1 galaxy; 4 bands u, g, i, z for "
        "1 galaxy; 5 bands u, g, r, i, z (g, r, i shown) for 1 galaxy; 2 lone bands; ids from file names"
    )
    assert found["leg"].read() == tuple(f"bytes of leg_{band}.fits.fz".encode() for band in "grz")
    with pytest.raises(ImageError, match=r"bands u, g, i, z.*--bands"):
        found["odd"].read()

    def read(bands: str, galaxy: str) -> tuple[str, ...]:
        [source] = list_sources(tmp_path, look=Look.of(bands)).select([galaxy])
        data = source.read()
        assert data.look == (Look() if galaxy != "a" else Look.of(bands))
        return tuple(file.decode()[-len("x.fts.bz2")] for file in data)

    assert read("z,r,u", "s") == ("u", "r", "z")
    assert read("r", "s") == ("r",)
    assert len(read("sci", "a")) == 1
    digests = {list_sources(tmp_path, look=Look.of(bands)).digest() for bands in (None, "r,g,u", "r,g,i")}
    assert len(digests) == 3


def test_bands_of_one_name_in_two_folders_are_not_mixed(tmp_path: Path) -> None:
    put(tmp_path / "a", "7_g.fits", "7_r.fits")
    put(tmp_path / "b", "7_i.fits")
    assert list_sources([tmp_path / "a", tmp_path / "b"]).ids == ("7_g", "7_r", "7_i")


def test_vanished_file_shows_only_when_read(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    sources = list_sources(tmp_path)
    (tmp_path / "a.jpg").unlink()
    first, second = sources
    with pytest.raises(OSError, match=r"a\.jpg"):
        first.read()
    assert second.read() == (b"bytes of b.jpg",)


def test_listing_opens_no_picture(tmp_path: Path) -> None:
    for number in range(300):
        os.mkfifo(tmp_path / f"{number}.jpg")  # opening one would wait for ever
    assert len(list_sources(tmp_path).select([str(number) for number in range(0, 300, 3)])) == 100


@pytest.mark.parametrize("name", ["b.jpg", "b.fits", "b.tar", "b.parquet"])
def test_a_pipe_is_never_waited_for(tmp_path: Path, name: str) -> None:
    put(tmp_path / "p", "a.fits" if name == "b.fits" else "a.jpg")
    os.mkfifo(tmp_path / "p" / name)
    sources = list_sources(tmp_path / "p")
    with pytest.raises(CatalogueError, match=rf"{name} is no file or folder, but a pipe"):
        list_sources(tmp_path / "p" / name)
    if name in ("b.jpg", "b.fits"):
        (pipe,) = sources.select(["b"])
        assert wrong(pipe) == ("not-an-image", f"{pipe.origin} is no file, but a folder, a pipe or a device.")


@pytest.mark.parametrize("place", ["a" * 300 + ".jpg", "a" * 300 + ".csv", "a" * 300, "a" * 300 + "/x.jpg"])
def test_what_the_system_refuses_is_said_with_its_path(place: str) -> None:
    with pytest.raises(CatalogueError, match=rf"{place[:300]}.* cannot be read \(File name too long\)"):
        list_sources(place)


def test_folders_inside_folders(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "notes.txt")
    put(tmp_path / "a" / "b", "1.jpg", "2_g.fits", "2_r.fits", "2_i.fits", ".hidden.txt")
    put(tmp_path / ".cache", "9.jpg")
    put(tmp_path / "empty" / "er", "x.txt")
    write_shard(tmp_path / "data" / "s.parquet", ["7"], [{"bytes": b"inside", "path": None}])
    sources = list_sources(tmp_path, recursive=True)
    assert contents(sources) == {
        "1": ("bytes of 1.jpg",),
        "a/b/1": ("bytes of 1.jpg",),
        "a/b/2": ("bytes of 2_g.fits", "bytes of 2_r.fits", "bytes of 2_i.fits"),
        "7": ("inside",),
    }
    assert sources.describe().startswith("4 galaxies; 3 files passed over (3 .txt); ids from file names")
    assert list_sources(tmp_path).ids == ("1",)
    with pytest.raises(CatalogueError, match=r"folders er: give one of these, or add --recursive"):
        list_sources(tmp_path / "empty")


def test_addresses(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in ("a.jpg", "b.png", "notes.txt", "s.tar"):
        memory.pipe(f"/survey/{name}", b"bytes of " + name.encode())
    everything = {"a": ("bytes of a.jpg",), "b": ("bytes of b.png",)}
    folder = list_sources("memory://survey")
    assert contents(folder) == everything
    assert folder.describe() == "2 galaxies; 2 files passed over (1 .txt, 1 .tar); ids from file names"
    assert contents(list_sources([Path("memory://survey/a.jpg")])) == {"a": ("bytes of a.jpg",)}
    (tmp_path / "list.txt").write_text(
        "memory://survey/a.jpg\nmemory://survey/b.png\nmemory://survey/c.jpg\n"
    )
    (tmp_path / "list.csv").write_text("id,source\na,memory://survey/a.jpg\nb,memory://survey/b.png\n")
    write_shard(tmp_path / "s.parquet", ["a"], [{"bytes": None, "path": "memory://survey/a.jpg"}])
    assert contents(list_sources(tmp_path / "list.csv")) == everything
    assert contents(list_sources(tmp_path / "s.parquet")) == {"a": ("bytes of a.jpg",)}
    *_, gone = list_sources(tmp_path / "list.txt")
    assert getattr(try_cutout(gone.read, Geometry()), "status", None) == "missing"
    with pytest.raises(CatalogueError, match=r"s.tar holds many images; copy it here"):
        list_sources("memory://survey/s.tar")


def test_an_address_that_needs_a_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    (picture,) = list_sources("s3://bucket/a.jpg")
    with pytest.raises(CatalogueError, match=r"s3://bucket/a.jpg cannot be read yet.*galvote\[remote\]"):
        picture.read()


# --- Parquet ---------------------------------------------------------------------------------------------


def test_parquet_with_bytes_paths_and_nothing(tmp_path: Path) -> None:
    put(tmp_path / "p", "x.jpg")
    images = [
        {"bytes": b"inside", "path": "ignored.jpg"},
        {"bytes": None, "path": "p/x.jpg"},
        None,
        {"path": "gone.jpg"},
        {"path": "a\0b.jpg"},
        {"path": "x" * 5000},
    ]
    sources = list_sources(write_shard(tmp_path / "s.parquet", list(range(10, 16)), images))
    assert sources.ids == ("10", "11", "12", "13", "14", "15")
    inside, beside, nothing, gone, *impossible = sources
    assert inside.read() == (b"inside",)
    assert beside.read() == (b"bytes of x.jpg",)
    with pytest.raises(OSError, match=r"s.parquet has neither bytes nor a path"):
        nothing.read()
    with pytest.raises(OSError, match=r"gone.jpg"):
        gone.read()
    for source in impossible:
        assert getattr(try_cutout(source.read, Geometry()), "status", None) == "missing"


@pytest.mark.parametrize("rows_per_group", [1, 7, 100, 1000])
def test_selection_across_shards_and_row_groups(tmp_path: Path, rows_per_group: int) -> None:
    for shard in range(2):
        ids = [f"{shard}-{row}" for row in range(150)]
        images = [{"bytes": id_.encode(), "path": None} for id_ in ids]
        write_shard(tmp_path / f"images-{shard}.parquet", ids, images, rows_per_group)
    sources = list_sources(tmp_path)
    everything = [f"{shard}-{row}" for shard in range(2) for row in range(150)]
    assert sources.ids == tuple(everything)
    assert contents(sources) == {id_: (id_,) for id_ in everything}
    wanted = sorted(np.random.default_rng(0).choice(everything, 40, replace=False).tolist(), reverse=True)
    some = sources.select([*wanted, "unknown"])
    assert list(some.ids) == [id_ for id_ in everything if id_ in wanted]
    for _ in range(2):  # may be gone through again
        assert contents(some) == {id_: (id_,) for id_ in some.ids}
    assert contents(some.select(["0-0", wanted[0]])) == {
        id_: (id_,) for id_ in some.ids if id_ in ("0-0", wanted[0])
    }
    assert len(sources.select([])) == 0


def test_places_of_all_kinds_together_and_to_other_processes(tmp_path: Path) -> None:
    put(tmp_path / "p", "x.jpg")
    shard = write_shard(tmp_path / "s.parquet", ["y"], [{"bytes": b"inside y", "path": None}])
    sources = list_sources([shard, tmp_path / "p"])
    assert contents(sources) == {"x": ("bytes of x.jpg",), "y": ("inside y",)}
    for source in sources:  # workers of another process read
        assert pickle.loads(pickle.dumps(source)).read() == source.read()


def test_parquet_of_hugging_face_without_ids_has_those_of_its_paths(tmp_path: Path) -> None:
    cells = [{"bytes": b"1", "path": "train/100008.jpg"}, {"bytes": b"2", "path": "100023.jpg"}]
    pq.write_table(pa.table({"image": pa.array(cells, IMAGE), "label": [0, 1]}), tmp_path / "s.parquet")
    sources = list_sources(tmp_path)
    assert contents(sources) == {"100008": ("1",), "100023": ("2",)}
    assert sources.describe() == "2 galaxies; ids from `image.path`"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_image_folder_of_hugging_face(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "p", "x.jpg", "y.jpg")
    lines = {
        "csv": "file_name,label\np/x.jpg,3\np/y.jpg,4\n",
        "jsonl": '{"file_name": "p/x.jpg", "id": "7"}\n{"file_name": "p/y.jpg", "id": "8"}\n',
    }
    put(tmp_path, "z.jpg")
    (tmp_path / f"metadata.{ending}").write_text(lines[ending])
    expected = {"csv": ("p/x", "p/y"), "jsonl": ("7", "8")}[ending]
    for recursive in (False, True):
        assert list_sources(tmp_path, recursive=recursive).ids == expected
    (tmp_path / "metadata.csv").write_text("label\n3\n")
    (tmp_path / "metadata.jsonl").unlink(missing_ok=True)
    assert list_sources(tmp_path).ids == ("z",)  # of something else


def picture(side: int, kind: str) -> bytes:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.repeat(np.tile(ramp, (side, 1))[:, :, None], 3, axis=2)).save(buffer, kind, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("columns", "side", "kind", "compact"),
    [
        ({}, 128, "WebP", True),
        ({}, 128, "JPEG", True),
        ({}, 127, "WebP", False),
        ({"class": ["spiral"]}, 128, "WebP", False),
    ],
)
def test_the_compact_form_is_parquet_of_ids_and_pictures_alone(
    tmp_path: Path, columns: dict[str, object], side: int, kind: str, compact: bool
) -> None:
    cell = pa.array([{"bytes": picture(side, kind), "path": None}], IMAGE)
    pq.write_table(pa.table({"GalaxyID": ["1"], "image": cell, **columns}), tmp_path / "s.parquet")
    sources = list_sources(tmp_path)
    (source,) = pickle.loads(pickle.dumps(sources))
    ends = [
        try_cutout(source.read, Geometry(), width)[64, [0, -1], 0].astype(int).tolist()
        for width in (None, 8.48, 5.12)
    ]
    assert ("GZ2's compact form, 5.12 r90 wide" in sources.describe()) == compact
    assert ends[0] == ends[2 if compact else 1]
    assert ends[1] == pytest.approx([51, 203], abs=3) and ends[2] == pytest.approx([0, 255], abs=3)


def test_real_parquet_folder(real_galaxies: Path) -> None:
    sources = list_sources(real_galaxies / "galaxyzoo" / "compact")
    assert len(sources) == 32_520
    some = sources.select(sources.ids[::5000])
    for source in some:
        (data,) = source.read()
        assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    assert [source.id for source in some] == list(sources.ids[::5000])


# --- tar -------------------------------------------------------------------------------------------------


def write_tar(path: Path, *members: tuple[bytes, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(os.fsdecode(name))
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    return path


def test_tar_with_samples_and_other_members(tmp_path: Path) -> None:
    members = [("d/é.jpg", b"e"), ("d/é.json", b"{}"), ("d/é.mask.png", b"mask"), ("b.webp", b"b")]
    tar = write_tar(tmp_path / "s.tar", *((name.encode(), data) for name, data in members))
    assert contents(list_sources(tar)) == {"é": ("e",), "b": ("b",)}


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["1.image.jpg", "1.labels.json", "2.image.jpg", "2.labels.json"], "12"),
        (["1.image.jpg", "1.mask.png", "2.image.jpg", "2.mask.png"], "12"),
        (["d/1.picture.png", "d/1.votes.json"], "1"),
        (["J1.25.jpg", "J1.25.json", "J1.75.jpg", "J1.75.json"], ["J1.25", "J1.75"]),
        (["J1.25.jpg", "J1.75.jpg", "J1.75.json"], ["J1.25", "J1.75"]),
        (["1.jpg", "._1.jpg", "1.txt"], "1"),
    ],
)
@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_the_key_that_members_share_is_the_id(
    tmp_path: Path, names: list[str], ids: Sequence[str], ending: str
) -> None:
    path = tmp_path / f"s{ending}"
    if ending == ".tar":
        write_tar(path, *((name.encode(), name.encode()) for name in names))
    else:
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, name)
    found = pickle.loads(pickle.dumps(list_sources(path)))
    assert found.ids == tuple(ids)
    assert all(source.id in source.read()[0].decode() for source in found)
    passed = len(names) - len(ids)
    assert (f" of {path.name} passed over" in found.describe()) == (passed > 0)


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "s.tar", (b"a.jpg", b"a"))
    tar.write_bytes(gzip.compress(tar.read_bytes()))
    with pytest.raises(CatalogueError, match=r"s.tar is compressed.*run `gunzip`"):
        list_sources(tar)
    with ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("a.jpg", b"bytes of a")
        archive.writestr("b.jpg", b"bytes of b")
    data = (tmp_path / "s.zip").read_bytes()
    (tmp_path / "s.zip").write_bytes(data.replace(b"bytes of a", b"bytes_of_a", 1))
    first, second = list_sources(tmp_path / "s.zip")
    assert wrong(first)[0] == "truncated" and "does not give a.jpg: Bad CRC-32" in wrong(first)[1]
    assert second.read() == (b"bytes of b",)
    (tmp_path / "s.zip").write_bytes(data[:-9])
    for name in ("s.zip", "html.tar"):
        (tmp_path / "html.tar").write_text("<html></html>")
        with pytest.raises(CatalogueError, match=rf"{name} cannot be read as a (zip archive|tar file)"):
            list_sources(tmp_path / name)


def test_names_in_a_tar_that_are_not_utf8_are_refused_as_in_a_folder(tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "s.tar", (b"gal\xe9.jpg", b"1"), (b"gal\xe8.jpg", b"2"), (b"note\xe9.txt", b"3")
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / os.fsdecode(b"gal\xe9.jpg")).write_bytes(b"1")
    for place in (tar, folder):
        with pytest.raises(CatalogueError, match=rf"A name in {place} .*no UTF-8: 'gal\\udce9.jpg'; rename"):
            list_sources(place)


def test_a_name_that_a_tar_holds_twice_is_named(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "s.tar", (b"a.jpg", b"1"), (b"b.jpg", b"2"), (b"a.jpg", b"3"))
    with pytest.raises(CatalogueError, match=rf"1 ids have more .*\n  a: {tar} a.jpg, {tar} a.jpg\nKeep one"):
        list_sources(tar)


# --- arrays ----------------------------------------------------------------------------------------------

RGB = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, *arrays.values())
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


@pytest.mark.parametrize(
    ("name", "arrays", "ids"),
    [
        ("Galaxy10.h5", {"images": RGB, "ans": np.arange(70)}, range(70)),
        ("a.hdf5", {"cutouts/rgb": RGB, "objid": np.arange(70) + 5, "redshift": np.zeros(70)}, range(5, 75)),
        (
            "a.npz",
            {"pictures": RGB, "id": np.array([f"g{n}" for n in range(70)])},
            [f"g{n}" for n in range(70)],
        ),
        ("a.npy", {"": RGB}, range(70)),
        ("one.npy", {"": RGB[0]}, ["one"]),
    ],
)
def test_arrays_of_pictures(
    tmp_path: Path, name: str, arrays: dict[str, np.ndarray], ids: Sequence[object]
) -> None:
    sources = list_sources(write_arrays(tmp_path / name, arrays))
    assert sources.ids == tuple(map(str, ids))
    for source, expected in zip(pickle.loads(pickle.dumps(sources[-3:])), RGB[: len(ids)][-3:], strict=True):
        np.testing.assert_array_equal(source.read(), expected)


def test_one_of_several_arrays(tmp_path: Path) -> None:
    grey = RGB[:2, :, :, 0]
    arrays = {
        "g/a": RGB,
        "g/b": grey[:, None].repeat(3, axis=1).astype(np.float32),
        "g/c": RGB[:5],
        "d": grey,
    }
    path = write_arrays(tmp_path / "a.h5", arrays)
    with pytest.raises(CatalogueError, match=r"several datasets .* --dataset: d \(2, 8, 8\) uint8, g/a"):
        list_sources(path)
    with pytest.raises(CatalogueError, match="has no dataset e: it has d"):
        list_sources(path, dataset="e")
    assert len(list_sources(path, dataset="/g/c")) == 5
    np.testing.assert_array_equal(next(iter(list_sources(path, dataset="d"))).read()[..., 2], grey[0])
    (planes,) = next(iter(list_sources(path, dataset="g/b"))).read()
    np.testing.assert_array_equal(fits.getdata(BytesIO(planes))[1], grey[0])


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("a.npy", RGB / 255, r"no images that can be shown.*float64.*np.uint8\(255 \* array\)"),
        ("a.npz", RGB.transpose(0, 3, 1, 2), "no images that can be shown.*np.moveaxis"),
        ("a.npy", np.array([{}]), "Python objects, which are never loaded"),
        ("a.h5", None, "a.h5 cannot be read as arrays"),
        ("a.npz", None, "a.npz cannot be read as arrays"),
        ("a.npy", None, "a.npy cannot be read as arrays"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, name: str, array: np.ndarray | None, said: str) -> None:
    path = write_arrays(tmp_path / name, {"images": RGB if array is None else array})
    if array is None:
        cut(path, 0.5)
    with pytest.raises(CatalogueError, match=said):
        list_sources(path)


# --- FITS tables -----------------------------------------------------------------------------------------


def test_pictures_in_a_later_table(tmp_path: Path) -> None:
    planes = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    about = {"setting": ["a"], "value": [1.0]}
    path = write_fits(tmp_path / "s.fits", about, {"id": [7, 8], "cutout": planes}, primary=np.zeros(5))
    sources = list_sources(path)
    assert sources.ids == ("7", "8")
    for source, expected in zip(sources, planes, strict=True):
        (data,) = source.read()
        assert isinstance(data, bytes)
        np.testing.assert_array_equal(fits.getdata(BytesIO(data)), expected)
    named = {"id": [9], "image": planes[:1]}
    other = {"id": [1], "covariance": np.zeros((1, 2, 2))}
    assert list_sources(write_fits(tmp_path / "named.fits", other, named)).ids == ("9",)
    with pytest.raises(
        CatalogueError, match=r"several columns .* image \(HDU 1\), image \(HDU 2\); name the"
    ):
        list_sources(write_fits(tmp_path / "two.fits", named, named))


def test_fits_tables_without_a_column_of_pictures(tmp_path: Path) -> None:
    flat = {"id": ["a"], "flux": np.zeros((1, 48), np.float32)}
    path = write_fits(put(tmp_path / "t") / "s.fits", flat)
    said = r"no column of images: it has id .*, flux float32 \(48,\)\. .*\(3, y, x\) or \(y, x\)"
    for place in (path, path.parent):
        with pytest.raises(CatalogueError, match=said):
            list_sources(place)
    lengths = fits.Column("image", "PE()", array=np.array([np.zeros(3), np.zeros(4)], object))
    ids = fits.Column("id", "J", array=np.array([1, 2]))
    fits.BinTableHDU.from_columns([ids, lengths]).writeto(tmp_path / "v.fits")
    with pytest.raises(CatalogueError, match=r"it has id int32, image of variable length"):
        list_sources(tmp_path / "v.fits")
    # A table among pictures, or before a picture in the same file, is no reason to refuse them.
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(path.parent / "t.fits")
    assert list_sources(path.parent).ids == ("s", "t")
    units = [fits.PrimaryHDU(), fits.table_to_hdu(Table(flat)), fits.ImageHDU(np.zeros((4, 4)))]
    fits.HDUList(units).writeto(tmp_path / "later.fits")
    assert list_sources(tmp_path / "later.fits").ids == ("later",)


# --- packed stores ---------------------------------------------------------------------------------------


def test_a_packed_store_has_cutouts_their_field_of_view_and_what_failed(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (2, 424, 424, 3), dtype=np.uint8)
    sources = [Source(str(n), "", partial(np.array, image)) for n, image in enumerate(rgb)]
    sources.insert(1, Source("bad", "", lambda: (b"no image",)))
    store = pack(sources, tmp_path / "store", Geometry(field_of_view=5.12, pixels=64))
    listed = list_sources(tmp_path / "store")
    assert listed.ids == ("0", "bad", "1")
    first, bad, last = pickle.loads(pickle.dumps(listed))
    assert wrong(bad)[0] == "not-an-image" and bad.origin == f"{tmp_path}/store without a cutout"
    for source, cutout in zip((first, last), store.cutouts, strict=True):
        again = try_cutout(source.read, store.geometry, source.field_of_view)
        np.testing.assert_array_equal(again, cutout)
    assert [source.id for source in listed.select(["1"])] == ["1"] and last.origin == f"{tmp_path}/store 1"


# --- formats of others -----------------------------------------------------------------------------------


@pytest.fixture
def zipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zip files of images are a format that somebody else registers."""
    monkeypatch.setattr("galvote.io.readers.registry._FORMATS", list(registry._FORMATS))

    @register(".zip")
    def list_zip(path: Path, id_column: str | None = None) -> Listing:
        names = pa.array(ZipFile(path).namelist(), pa.large_string())
        return Listing(names, names, Members(path))


@dataclass(frozen=True)
class Members:
    path: Path

    def reads(self, locations: pa.Array) -> Iterator[Read]:
        for name in locations.to_pylist():
            yield partial(lambda name: (ZipFile(self.path).read(name),), name)

    def origins(self, locations: pa.Array) -> pa.Array:
        return locations


@pytest.mark.usefixtures("zipped")
def test_a_format_that_is_registered_from_outside_is_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with ZipFile(tmp_path / "folder" / "images.zip", "w") as file:
        file.writestr("a", b"bytes of a")
        file.writestr("b", b"bytes of b")
    for place in (tmp_path / "folder", tmp_path / "folder" / "images.zip"):
        assert contents(list_sources(place)) == {"a": ("bytes of a",), "b": ("bytes of b",)}
    put(tmp_path / "folder", "x.jpg")
    with pytest.raises(CatalogueError, match=r"as x.jpg, and also files that hold images, as images.zip"):
        list_sources(tmp_path / "folder")


# --- damaged among others --------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_parquet_file_cut_short_is_a_row_among_others(tmp_path: Path, damaged: int) -> None:
    paths = [write_shard(tmp_path / f"{n}.parquet", [n], [{"bytes": b"%d" % n}]) for n in range(3)]
    cut(paths[damaged], 0.7)
    sources = list_sources(tmp_path)
    assert sources.ids == tuple(str(paths[n]) if n == damaged else str(n) for n in range(3))
    row = list(sources)[damaged]
    assert wrong(row)[0] == "truncated" and "cannot be read as Parquet" in wrong(row)[1]
    assert row.origin == str(paths[damaged])
    with pytest.raises(CatalogueError, match=rf"{damaged}.parquet cannot be read as Parquet"):
        list_sources(paths[damaged])


def test_a_parquet_file_with_damaged_ids_is_a_row_among_others(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.parquet", ["0"], [{"bytes": b"0"}])
    path = write_shard(tmp_path / "1.parquet", ["1"], [{"bytes": b"1"}])
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 40 + data[44:])
    assert list_sources(tmp_path).ids == ("0", str(path))
    with pytest.raises(CatalogueError, match=r"1.parquet cannot be read as Parquet"):
        list_sources(path)


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_fits_table_cut_short_is_a_row_among_others(tmp_path: Path, damaged: int) -> None:
    table = {"image": np.zeros((5, 3, 20, 20), np.float32)}
    ids = [[f"{n}-{row}" for row in range(5)] for n in range(3)]
    paths = [write_fits(tmp_path / f"{n}.fits", {"id": ids[n], **table}) for n in range(3)]
    cut(paths[damaged], 0.7)
    sources = list_sources(tmp_path)
    ids[damaged] = [str(paths[damaged])]
    assert sources.ids == tuple(id_ for of_one in ids for id_ in of_one)
    (row,) = sources.select(ids[damaged])
    assert wrong(row)[0] == "truncated" and "cannot be read as a FITS table" in wrong(row)[1]
    with pytest.raises(CatalogueError, match=rf"{damaged}.fits cannot be read as a FITS table"):
        list_sources(paths[damaged])
    # In its header it cannot be told from a damaged picture, which is a row, too.
    cut(paths[damaged], 3000 / paths[damaged].stat().st_size)
    assert list_sources(tmp_path).select(ids[(damaged + 1) % 3]).ids == tuple(ids[(damaged + 1) % 3])


# --- what is refused -------------------------------------------------------------------------------------


def test_places_that_are_not_there_or_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"no file or folder .*nowhere; check"):
        list_sources(tmp_path / "nowhere")
    with pytest.raises(CatalogueError, match=r"folder .* has no images \(.jpg .*\) and no Parquet"):
        list_sources(put(tmp_path / "empty", "notes.md"))
    put(tmp_path / "outer" / "images_training", "a.jpg")
    with pytest.raises(CatalogueError, match=r"It has the folders images_training: give one of these"):
        list_sources(tmp_path / "outer")
    write_shard(tmp_path / "none.parquet", [], [])
    with pytest.raises(CatalogueError, match=r"no images in .*none.parquet"):
        list_sources(tmp_path / "none.parquet")
    with pytest.raises(CatalogueError, match="No images were given"):
        list_sources([])


def test_a_folder_of_pictures_and_of_files_that_hold_pictures(tmp_path: Path) -> None:
    put(tmp_path, "x.jpg")
    write_table(pa.table({"id": ["x"], "source": ["x.jpg"]}), tmp_path / "catalogue.csv")
    write_table(pa.table({"id": ["x"], "source": ["x.jpg"]}), tmp_path / "catalogue.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    assert list_sources(tmp_path).ids == ("x",)
    shard = write_shard(tmp_path / "s.parquet", ["y"], [{"bytes": b"y"}])
    with pytest.raises(CatalogueError, match=r"holds images, as x.jpg, and also .*, as s.parquet\. Move one"):
        list_sources(tmp_path)
    assert list_sources([tmp_path / "x.jpg", shard]).ids == ("x", "y")
    shard.unlink()
    write_tar(tmp_path / "s.tar", (b"z.jpg", b"z"))
    with pytest.raises(CatalogueError, match=r"holds images, as x.jpg, and also .*, as s.tar\. Move one"):
        list_sources(tmp_path)


def test_ids_with_two_pictures_are_named_with_both(tmp_path: Path) -> None:
    put(tmp_path / "p", "1.jpg", "1.png", "2.jpg", "3.jpg")
    shard = write_shard(tmp_path / "s.parquet", [3, 4, 4], [None] * 3)
    with pytest.raises(CatalogueError) as error:
        list_sources([tmp_path / "p", shard])
    message = str(error.value)
    assert "3 ids have more than one image" in message
    assert f"\n  1: {tmp_path}/p/1.jpg, {tmp_path}/p/1.png" in message
    assert f"\n  3: {tmp_path}/p/3.jpg, {shard} row 0" in message
    assert f"\n  4: {shard} row 1, {shard} row 2" in message
    assert "  2:" not in message and "Keep one image" in message


def test_tables_without_the_columns(tmp_path: Path) -> None:
    write_table(pa.table({"id": ["a"], "file": ["a.jpg"]}), tmp_path / "list.csv")
    with pytest.raises(CatalogueError, match=r"no column `source`.*it has id, file"):
        list_sources(tmp_path / "list.csv")
    pq.write_table(pa.table({"name": ["a"], "image": pa.array([None], IMAGE)}), tmp_path / "no-ids.parquet")
    with pytest.raises(CatalogueError, match=r"no column of ids: it has name, image"):
        list_sources(tmp_path / "no-ids.parquet")
    pq.write_table(pa.table({"id": ["a"], "image": [b"x"]}), tmp_path / "bare.parquet")
    with pytest.raises(
        CatalogueError, match=r"`image` must be a struct of `bytes` and `path`.* it is binary"
    ):
        list_sources(tmp_path / "bare.parquet")
    pq.write_table(pa.table({"id": ["a"], "image": [{"path": 7}]}), tmp_path / "numbers.parquet")
    with pytest.raises(CatalogueError, match=r"`image` must be a struct .* it is struct<path: int64>"):
        list_sources(tmp_path / "numbers.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogueError, match=r"damaged.parquet cannot be read as Parquet"):
        list_sources(tmp_path / "damaged.parquet")


# --- matching --------------------------------------------------------------------------------------------


def test_match_counts_and_leaves_out_both_ways(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg", "9.jpg")
    fractions = np.arange(5)[:, None] * np.ones(len(GZ2))
    match = match_ids(Votes(GZ2, ("3", "5", "1", "6", "7"), fractions), list_sources(tmp_path))
    assert match.sources.ids == match.votes.ids == ("1", "3")
    assert match.votes.fractions[:, 0].tolist() == [2, 0]
    assert (match.votes_without_image, match.images_without_votes) == (3, 2)
    assert match.describe() == (
        "2 galaxies with votes and an image; left out: 3 with votes but no image, "
        "2 with an image but no votes."
    )


def test_nothing_matches(tmp_path: Path) -> None:
    put(tmp_path, "galaxy_1.jpg")
    votes = Votes(GZ2, ("1", "2"), np.zeros((2, len(GZ2))))
    with pytest.raises(
        CatalogueError, match=r"votes' ids are 1, 2; the images' are galaxy_1.*must be the ids"
    ):
        match_ids(votes, list_sources(tmp_path))


def test_real_pictures_match_real_votes(real_galaxies: Path) -> None:
    from galvote.labels import read_votes

    votes = read_votes(real_galaxies / "galaxyzoo" / "training_solutions.csv")
    match = match_ids(votes, list_sources(real_galaxies / "galaxyzoo" / "images_training"))
    assert (len(match.votes), match.votes_without_image, match.images_without_votes) == (1500, 6371, 0)
