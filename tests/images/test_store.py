"""Pictures are packed once; a run that is killed goes on without loss or repetition."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from galvote.errors import CatalogueError, OutputError
from galvote.images import (
    COMPACT,
    Geometry,
    PackedStore,
    View,
    decode_cutout,
    decode_image,
    pack,
    to_cutout,
    warp_cutout,
)
from galvote.io import Source, list_sources

SMALL = Geometry(field_of_view=5.12, pixels=32)


def as_source(id_: str, read: Callable[[], tuple[bytes, ...]]) -> Source:
    return Source(id_, id_, read)


def jpeg(seed: int, side: int = 106) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), dtype=np.uint8)
    image = np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1)[:side, :side])
    return simplejpeg.encode_jpeg(image, quality=90)


def images(count: int, first: int = 0) -> list[Source]:
    def reader(seed: int) -> Callable[[], tuple[bytes, ...]]:
        return lambda: (jpeg(seed),)

    return [as_source(str(100 + seed), reader(seed)) for seed in range(first, first + count)]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_without_room_it_says_so_and_goes_on_later(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # bytes, of six cutouts
    try:
        with pytest.raises(OutputError, match=r"store cannot be written \(.*too large.*Make room"):
            pack(images(20), tmp_path / "store", SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert np.array_equal(
        pack(images(20), tmp_path / "store", SMALL).cutouts, pack(images(20), tmp_path / "b", SMALL).cutouts
    )


def test_pack_keeps_order_and_pixels(tmp_path: Path) -> None:
    store = pack(images(20), tmp_path / "store", SMALL, workers=3)

    assert store.ids == tuple(str(100 + seed) for seed in range(20))
    assert len(store) == 20
    assert store.geometry == SMALL
    assert store.failures == ()
    for cutout, image in zip(store.cutouts, images(20), strict=True):
        assert np.array_equal(cutout, decode_cutout(image.read(), SMALL))


def test_store_is_opened_read_only_and_mapped(tmp_path: Path) -> None:
    pack(images(3), tmp_path, SMALL)
    store = PackedStore.open(tmp_path)

    assert isinstance(store.cutouts, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.cutouts[0] = 0


def test_bad_pictures_are_recorded_and_do_not_end_the_run(tmp_path: Path) -> None:
    def missing() -> tuple[bytes, ...]:
        raise FileNotFoundError("no such file: 7.jpg")

    bad = [as_source("7", missing), as_source("8", lambda: (b"",)), as_source("9", lambda: (b"text",))]
    bad += [as_source("10", lambda: (jpeg(0)[:500],))]
    seen = list[tuple[int, int]]()

    store = pack(
        [*bad[:2], *images(2), *bad[2:]], tmp_path, SMALL, on_progress=lambda *counts: seen.append(counts)
    )

    assert store.ids == ("100", "101")
    assert [(galaxy, status) for galaxy, status, _ in store.failures] == [
        ("7", "missing"), ("8", "empty"), ("9", "not-an-image"), ("10", "truncated")
    ]  # fmt: skip
    assert "7.jpg" in store.failures[0][2]
    assert seen == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 4)]


def test_a_store_of_failures_only_can_be_opened(tmp_path: Path) -> None:
    store = pack([as_source("1", lambda: (b"",))], tmp_path, SMALL)

    assert store.cutouts.shape == (0, 32, 32, 3)
    assert len(PackedStore.open(tmp_path).failures) == 1


def test_a_finished_store_is_kept_unless_overwritten(tmp_path: Path) -> None:
    pack(images(3), tmp_path, SMALL)

    with pytest.raises(OutputError, match="--overwrite"):
        pack(images(5), tmp_path, SMALL)

    assert len(PackedStore.open(tmp_path)) == 3
    assert len(pack(images(5), tmp_path, SMALL, overwrite=True)) == 5


def stopped(directory: Path, count: int, after: int) -> None:
    """Leave a store of which some sources are done, as an interruption does."""

    def interrupt() -> tuple[bytes, ...]:
        raise KeyboardInterrupt

    sources = images(count)
    sources[after] = as_source(sources[after].id, interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack(sources, directory, SMALL, workers=2)


def test_an_unfinished_store_is_not_opened_and_says_what_to_do(tmp_path: Path) -> None:
    stopped(tmp_path, 400, after=300)

    with pytest.raises(CatalogueError, match="run the same `galvote pack` again"):
        PackedStore.open(tmp_path)
    with pytest.raises(CatalogueError, match="no packed store"):
        PackedStore.open(tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a store of 400 pictures that was stopped, and one that was not."""
    folder = tmp_path_factory.mktemp("packed")
    stopped(folder / "stopped", 400, after=300)
    pack(images(400), folder / "whole", SMALL)
    return folder / "stopped", folder / "whole"


@pytest.mark.parametrize("tail", ["nothing", "line", "pixels", "all lines"])
def test_resuming_gives_what_one_run_gives_wherever_it_stopped(
    interrupted: tuple[Path, Path], tmp_path: Path, tail: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(interrupted[0], store)
    if tail == "line":  # killed while a line was written
        with (store / "sources.jsonl").open("a") as lines:
            lines.write('{"id": "35')
    elif tail == "pixels":  # killed between pixels and lines
        with (store / "cutouts.bin").open("ab") as pixels:
            pixels.write(b"\1" * 5000)
    elif tail == "all lines":  # killed before the first line
        (store / "sources.jsonl").write_text('{"format"')
    first_read = list[str]()

    def note(image: Source) -> Source:
        return as_source(image.id, lambda: (first_read.append(image.id), *image.read())[1:])

    pack([note(image) for image in images(400)], store, SMALL, workers=2)

    assert contents(store) == contents(interrupted[1])
    assert len(first_read) == (400 if tail == "all lines" else 400 - 256 + 1 + 1)


def test_resuming_with_another_geometry_or_other_sources_is_refused(
    interrupted: tuple[Path, Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(interrupted[0], store)
    swapped = images(400)
    swapped[2], swapped[3] = swapped[3], swapped[2]
    changed = [as_source(old.id, new.read) for old, new in zip(images(400), images(400, 1), strict=True)]

    with pytest.raises(CatalogueError, match=r"'pixels': 32.*'pixels': 128"):
        pack(images(400), store, COMPACT)
    with pytest.raises(CatalogueError, match=r"with no --field-of-view.*--field-of-view 6"):
        pack(images(400), store, SMALL, field_of_view=6.0)
    with pytest.raises(CatalogueError, match="number 3 is 102, this run's is 103"):
        pack(swapped, store, SMALL)
    with pytest.raises(CatalogueError, match="is missing"):
        pack(images(10), store, SMALL)
    with pytest.raises(CatalogueError, match="has changed"):
        pack(changed, store, SMALL)

    pack(images(400), store, SMALL)
    assert contents(store) == contents(interrupted[1])


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    pack(images(4), tmp_path, SMALL)
    with (tmp_path / "cutouts.bin").open("ab") as file:
        file.truncate(5000)

    with pytest.raises(CatalogueError, match="damaged"):
        PackedStore.open(tmp_path)


def test_a_store_knows_what_it_was_packed_from(tmp_path: Path) -> None:
    for galaxy in (1, 2):
        (tmp_path / f"{galaxy}.jpg").write_bytes(jpeg(galaxy, side=424))
    listed = list_sources([tmp_path / "1.jpg", tmp_path / "2.jpg"])
    pack(listed, tmp_path / "store", SMALL, field_of_view=6.0)
    store = PackedStore.open(tmp_path / "store")

    assert store.field_of_view == 6.0
    assert store.sources_sha256 == listed.digest()
    assert pack(images(2), tmp_path / "plain", SMALL).sources_sha256 is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("store.json", b""),
        ("store.json", b"[]"),
        ("store.json", b"{}"),
        ("sources.jsonl", b"\0" * 300),
        ("sources.jsonl", b'{"format": 1}\n[]\n'),
        ("sources.jsonl", None),
        ("cutouts.bin", None),
    ],
)
def test_a_store_of_which_a_file_is_lost_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    pack(images(4), tmp_path, SMALL)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(CatalogueError, match="is damaged: pack it again with --overwrite"):
        PackedStore.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("sources.jsonl", b"\0\0\n"), ("sources.jsonl", b"[]\n"), ("cutouts.bin", b"\1" * 5000)],
)
def test_an_unfinished_store_that_lost_something_is_not_resumed(
    interrupted: tuple[Path, Path], tmp_path: Path, name: str, content: bytes
) -> None:
    store = tmp_path / "store"
    shutil.copytree(interrupted[0], store)
    (store / name).write_bytes(content)

    with pytest.raises(CatalogueError, match="is damaged: pack it again with --overwrite"):
        pack(images(400), store, SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 1,200 pictures, one of them bad."""
    folder = tmp_path_factory.mktemp("images")
    frames = [jpeg(seed, side=424) for seed in range(20)]
    for galaxy in range(1200):
        (folder / f"{100000 + galaxy}.jpg").write_bytes(frames[galaxy % 20] if galaxy != 400 else b"")
    return folder


def test_a_killed_command_is_resumed_and_equals_an_uninterrupted_one(command, folder: Path, tmp_path: Path):
    done = command("pack", folder, "--out", tmp_path / "whole")
    assert done.returncode == 0
    assert "1,199 cutouts" in done.stdout
    assert "100400: empty" in done.stdout

    broken = ("pack", folder, "--out", tmp_path / "broken", "--workers", 1)
    lines = tmp_path / "broken" / "sources.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "galvote", *map(str, broken)], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (lines.exists() and lines.stat().st_size > 100):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(lines.read_text().splitlines()) - 1 < 1200

    assert command(*broken).returncode == 0
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")

    again = command(*broken)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_the_command_takes_geometry_and_refuses_nonsense(command, folder: Path, tmp_path: Path):
    one = sorted(folder.iterdir())[0]
    shown = ("--cutout-field-of-view", 6.0, "--pixels", 40, "--field-of-view", 8.48)
    assert command("pack", one, "--out", tmp_path / "store", *shown).returncode == 0
    wrong = command("pack", one, "--out", tmp_path / "wrong", "--pixels", 1)

    store = PackedStore.open(tmp_path / "store")
    assert store.ids == ("100000",)
    assert np.array_equal(
        store.cutouts[0], to_cutout(decode_image(one.read_bytes()), Geometry(field_of_view=6.0, pixels=40))
    )
    assert json.loads((tmp_path / "store" / "store.json").read_text())["field_of_view"] == 8.48
    assert wrong.returncode == 2
    assert "--pixels" in wrong.stderr


def test_importing_images_loads_nothing_heavy() -> None:
    listing = "import galvote.images, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"torch", "astropy", "photutils", "matplotlib"} & set(loaded)


def test_views_of_a_packed_cutout(tmp_path: Path) -> None:
    store = pack(images(2), tmp_path, SMALL)

    assert np.array_equal(warp_cutout(store.cutouts[1], View(angle=90.0), 32), np.rot90(store.cutouts[1]))
