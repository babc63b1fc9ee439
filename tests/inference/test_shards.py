"""Prediction in numbered shards: each galaxy once, whatever happens to the shards and whoever makes them."""

import json
import resource
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import galvote
from galvote.errors import CatalogueError, OutputError
from galvote.inference import Manifest, Predictor, Settings, Shards
from galvote.inference.predict_shards import fill_shards
from galvote.io import Sources, list_sources

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 16  # of 64 galaxies
ONCE = Settings()
Make = Callable[..., Shards]


@pytest.fixture(scope="module")
def predictor(trained) -> Predictor:
    return galvote.load(trained)


@pytest.fixture(scope="module")
def sources(simulated, tmp_path_factory) -> Sources:
    """Return 60 galaxies and four that cannot be read, among them."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "empty.jpg").touch()
    (folder / "prose.jpg").write_text("not a picture")
    paths = sorted((simulated / "images_training").glob("*.jpg"))
    (folder / "short.jpg").write_bytes(paths[0].read_bytes()[:700])
    places = [str(path) for path in paths]
    for place, bad in ((3, "empty.jpg"), (20, "prose.jpg"), (21, "short.jpg"), (50, "gone.jpg")):
        places.insert(place, bad)
    rows = (f"g{number},{place}\n" for number, place in enumerate(places))
    (folder / "list.csv").write_text("id,source\n" + "".join(rows))
    return list_sources(folder / "list.csv")


@pytest.fixture(scope="module")
def make(predictor, sources) -> Make:
    def make(folder: Path, settings: Settings = ONCE, *, overwrite: bool = False, **how) -> Shards:
        shards = Shards.begin(folder, Manifest.of(predictor, sources, settings, SIZE), overwrite)
        fill_shards(predictor, sources, shards, settings, **how)
        shards.finish()
        return shards

    return make


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory) -> Path:
    """Return a folder that was made in one go."""
    folder = tmp_path_factory.mktemp("whole")
    make(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_galaxy_has_the_row_it_has_alone(whole, predictor, sources):
    names = sorted(files(whole))
    assert names == ["manifest.json", *(f"shard-00000{number}.parquet" for number in range(4))]
    for number, name in enumerate(names[1:]):
        table = pq.read_table(whole / name)
        assert table == predictor.predict(sources[number * SIZE : (number + 1) * SIZE]).to_arrow()
        assert table["id"].to_pylist() == [f"g{row}" for row in range(number * SIZE, (number + 1) * SIZE)]


def test_the_manifest_says_of_what_it_is(whole, predictor, sources):
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest.pop("statuses") == {"empty": 1, "missing": 1, "not-an-image": 1, "ok": 60, "truncated": 1}
    assert manifest == {
        "format": 2,
        "galvote": galvote.__version__,
        "model": predictor.card.name,
        "weights_sha256": predictor.card.weights_sha256,
        "calibration_sha256": "",
        "backend": manifest["backend"],
        "tta": 1,
        "level": None,
        "field_of_view": None,
        "scale": None,
        "features": False,
        "conditional": False,
        "bands": None,
        "stretch": "lupton",
        "sources_sha256": sources.digest(),
        "galaxies": 64,
        "shard_size": SIZE,
    }


def flip_a_byte(path: Path) -> None:
    """Damage the last byte of a column's data; what the checksums do not cover may be without consequence."""
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(20)
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 0x10
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "changed in its data": flip_a_byte,
    "another shard": lambda path: path.write_bytes(path.with_name("shard-000000.parquet").read_bytes()),
    "no Parquet": lambda path: path.write_text("not a table"),
    "another table": lambda path: pq.write_table(pa.table({"id": ["g16"]}), path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_shard_is_made_again_and_no_other(make, whole, tmp_path, damage):
    for name, data in files(whole).items():
        (tmp_path / name).write_bytes(data)
    kept = tmp_path / "shard-000001.parquet"
    before = kept.stat()
    damage(tmp_path / "shard-000002.parquet")
    make(tmp_path)
    assert files(tmp_path) == files(whole)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_is_there_and_what_is_not(make, whole, tmp_path):
    (tmp_path / "survey").mkdir()
    for name in ("manifest.json", "shard-000000.parquet", "shard-000003.parquet"):
        (tmp_path / "survey" / name).write_bytes((whole / name).read_bytes())
    shards = Shards.open(tmp_path / "survey")
    assert shards.present() == [0, 3]
    missing, statuses = shards.count()
    assert missing == [1, 2]
    assert statuses == Counter(ok=30, empty=1, missing=1)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (Settings(tta=2), "tta"),
        (Settings(field_of_view=6.0), "field_of_view"),
        (Settings(features=True), "features"),
    ],
)
def test_another_setting_is_refused(make, whole, settings, key):
    before = files(whole)
    with pytest.raises(CatalogueError, match=rf"something else: {key} .*, now .*--overwrite"):
        make(whole, settings)
    assert files(whole) == before


def test_another_model_or_listing_or_cut_is_refused(whole, predictor, calibrated, sources):
    wanted = {
        "calibration_sha256": Manifest.of(galvote.load(calibrated), sources, Settings(), SIZE),
        "sources_sha256": Manifest.of(predictor, sources[1:], Settings(), SIZE),
        "shard_size": Manifest.of(predictor, sources, Settings(), 17),
        "weights_sha256": Manifest.of(predictor, sources, Settings(), SIZE).model_copy(
            update={"weights_sha256": "other"}
        ),
    }
    for key, manifest in wanted.items():
        with pytest.raises(CatalogueError, match=f"something else: .*{key}"):
            Shards.begin(whole, manifest)


def test_shards_or_a_manifest_of_unknown_origin_are_left_alone(make, whole, tmp_path):
    orphan = tmp_path / "shard-000000.parquet"
    orphan.write_bytes((whole / orphan.name).read_bytes())
    with pytest.raises(CatalogueError, match=r"shards but no manifest.json.*--overwrite"):
        make(tmp_path)
    for text in ("{", "[]", '{"format": 99}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(CatalogueError, match="cannot be used"):
            make(tmp_path)
    assert orphan.exists()
    with pytest.raises(CatalogueError, match=r"holds no manifest.json.*galvote predict"):
        Shards.open(tmp_path / "nowhere")


def test_overwriting_begins_anew_and_leaves_other_files(make, whole, tmp_path):
    make(tmp_path, Settings(tta=2))
    (tmp_path / "shard-000009.parquet").touch()
    (tmp_path / "notes.txt").write_text("mine")
    make(tmp_path, overwrite=True)
    assert files(tmp_path) == files(whole) | {"notes.txt": b"mine"}


def test_shards_of_an_earlier_manifest_are_made_again(make, whole, tmp_path):
    """As when overwriting was stopped after the new manifest and before the last old shard."""
    make(tmp_path, Settings(tta=2))
    (tmp_path / "manifest.json").write_bytes((whole / "manifest.json").read_bytes())
    make(tmp_path)
    assert files(tmp_path) == files(whole)


def test_tasks_share_the_shards_out(make, whole, tmp_path):
    for task, there in (((3, 3), [2]), ((1, 3), [0, 2, 3])):
        assert make(tmp_path, task=task).present() == there
        assert "statuses" not in json.loads((tmp_path / "manifest.json").read_text())
    make(tmp_path, task=(2, 3))
    assert files(tmp_path) == files(whole)


def test_more_tasks_than_shards_and_the_rest_without_tasks(make, whole, tmp_path):
    assert make(tmp_path, task=(7, 9)).present() == []
    assert make(tmp_path, task=(4, 9)).present() == [3]
    make(tmp_path)
    assert files(tmp_path) == files(whole)


def test_two_at_once_do_no_harm(make, whole, tmp_path):
    both = [threading.Thread(target=make, args=(tmp_path,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert files(tmp_path) == files(whole)


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 4 kB, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_without_room_nothing_is_left_half_written(make, tmp_path, small_files):
    with pytest.raises(OutputError, match=r"cannot be written \(File too large\)\. Make room"):
        make(tmp_path)
    assert list(files(tmp_path)) == ["manifest.json"]


def test_leftovers_of_killed_processes_are_tidied_up(make, whole, tmp_path):
    (tmp_path / "shard-000001.parquet.0123.partial").write_text("half")
    make(tmp_path)
    assert files(tmp_path) == files(whole)


def test_nobody_writes_into_another_prediction_that_was_begun_meanwhile(make, predictor, sources, tmp_path):
    other = Manifest.of(predictor, sources, Settings(tta=4), SIZE)
    with pytest.raises(CatalogueError, match="something else: tta 4, now 1"):
        make(tmp_path, on_galaxies=lambda galaxies: Shards.begin(tmp_path, other, overwrite=True))
    assert list(files(tmp_path)) == ["manifest.json"]
    assert Shards.open(tmp_path).manifest == other


def test_a_bad_picture_changes_no_other_row(predictor, simulated, tmp_path):
    paths = [str(path) for path in sorted((simulated / "images_training").glob("*.jpg"))[:12]]
    all_good = predictor.predict(paths).to_arrow()
    (tmp_path / "empty.jpg").touch()
    one_bad = predictor.predict([*paths[:4], str(tmp_path / "empty.jpg"), *paths[5:]]).to_arrow()
    assert one_bad["status"].to_pylist() == ["ok"] * 4 + ["empty"] + ["ok"] * 7
    assert one_bad.slice(0, 4) == all_good.slice(0, 4)
    assert one_bad.slice(5) == all_good.slice(5)


def test_features_are_those_of_the_encoder(predictor, sources, simulated):
    paths = sorted((simulated / "images_training").glob("*.jpg"))[:5]
    table = predictor.predict(paths, features=True).to_arrow()
    width = table.schema.field("features").type.list_size
    assert table.schema.field("features").type == pa.list_(pa.float16(), width)
    assert table.drop_columns("features") == predictor.predict(paths).to_arrow()
    values = np.array(table["features"].to_pylist())
    assert values.shape == (5, width)
    assert np.isfinite(values).all() and values.std() > 0
    np.testing.assert_array_equal(
        values, np.array(predictor.predict(paths, features=True, tta=4).to_arrow()["features"].to_pylist())
    )
    mixed = predictor.predict(sources[:5], features=True).to_arrow()
    assert mixed["features"].is_null().to_pylist() == [False, False, False, True, False]
