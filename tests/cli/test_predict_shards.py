"""`galvote predict --out FOLDER/` and `galvote shards`, run, stopped, killed and run again as users do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galvote.inference import Shards
from galvote.io import read_table

pytestmark = pytest.mark.usefixtures("one_thread")

MANY, SIZE = 1000, 64
PATIENCE = 600


@pytest.fixture(scope="module")
def listing(simulated, tmp_path_factory) -> Path:
    """Return a list of 100 pictures, of which one is empty and one is not there."""
    return write_listing(simulated, tmp_path_factory.mktemp("listing") / "list.csv", 100)


def write_listing(simulated: Path, path: Path, count: int) -> Path:
    (path.parent / "empty.jpg").touch()
    images = sorted((simulated / "images_training").glob("*.jpg"))
    rows = [f"g{number},{images[number % len(images)]}\n" for number in range(count)]
    rows[5], rows[70] = "g5,empty.jpg\n", "g70,gone.jpg\n"
    path.write_text("id,source\n" + "".join(rows))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def names() -> list[str]:
    return ["manifest.json", *(f"shard-{number:06}.parquet" for number in range(4))]


@pytest.mark.parametrize("given", ["new", "new/", "dr7.v2/", "there.parquet"])
def test_a_folder_gets_numbered_shards(command, trained, listing, tmp_path, names, given):
    (tmp_path / "there.parquet").mkdir()
    out = f"{tmp_path}/{given}"
    ran = command("predict", listing, "--model", trained, "--out", out, "--shard-size", 30)
    assert ran.returncode == 0, ran.stderr
    assert f"100 galaxies in {Path(out)}: 98 ok, 1 empty, 1 missing; to ask again" in ran.stderr
    assert sorted(files(Path(out))) == names
    table = pa.concat_tables([pq.read_table(path) for path in sorted(Path(out).glob("*.parquet"))])
    assert table["id"].to_pylist() == [f"g{number}" for number in range(100)]
    whole = tmp_path / "whole.parquet"
    assert command("predict", listing, "--model", trained, "--out", whole).returncode == 0
    assert read_table(whole).column_names == table.column_names
    assert read_table(whole)["status"].to_pylist() == table["status"].to_pylist()


def test_again_nothing_is_left_to_do(command, trained, listing, tmp_path):
    arguments = ["predict", listing, "--model", trained, "--out", f"{tmp_path}/survey/", "--shard-size", 30]
    assert command(*arguments).returncode == 0
    before = files(tmp_path / "survey")
    again = command(*arguments)
    assert again.returncode == 0
    assert "100 galaxies in" in again.stderr and "all of them were there" in again.stderr
    assert files(tmp_path / "survey") == before
    (tmp_path / "survey" / "shard-000002.parquet").write_bytes(before["shard-000002.parquet"][:-1])
    mended = command(*arguments)
    assert mended.returncode == 0
    assert "made again: 1 damaged shard" in mended.stderr
    assert files(tmp_path / "survey") == before


def test_what_was_missing_is_asked_for_again(command, trained, simulated, tmp_path):
    listing, out = write_listing(simulated, tmp_path / "list.csv", 100), tmp_path / "survey"
    arguments = ["predict", listing, "--model", trained, "--out", out, "--shard-size", 30]
    first = command(*arguments)
    assert "98 ok, 1 empty, 1 missing; to ask again for what was missing or unavailable, add --retry" in (
        first.stderr
    )
    before = files(out)
    (tmp_path / "gone.jpg").write_bytes(next((simulated / "images_training").glob("*.jpg")).read_bytes())
    assert command(*arguments).returncode == 0
    assert files(out) == before  # whoever does not ask gets what is there
    again = command(*arguments, "--retry")
    assert again.returncode == 0, again.stderr
    assert "99 ok, 1 empty; made again: 1 shard whose images were not there" in again.stderr
    changed = {name for name, data in files(out).items() if data != before[name]}
    assert changed == {"shard-000002.parquet", "manifest.json"}
    assert pq.read_table(out / "shard-000002.parquet")["status"].to_pylist() == ["ok"] * 30
    said = command("shards", out)
    assert "99 ok\n" in said.stdout and "missing" not in said.stdout


def test_how_much_is_there(command, trained, listing, tmp_path):
    folder = tmp_path / "survey"
    arguments = ["predict", listing, "--model", trained, "--out", folder, "--shard-size", 30]
    ran = command(*arguments, "--task", "2/3")
    assert ran.returncode == 0, ran.stderr
    assert f"30 galaxies in {folder}: 30 ok; 3 of 4 shards, of other tasks, are not there yet" in ran.stderr
    said = command("shards", folder)
    assert said.returncode == 1
    assert "1 of 4 shards, 30 of 100 galaxies:" in said.stdout
    assert "Not there yet: 0, 2, 3" in said.stdout
    assert command(*arguments).returncode == 0
    said = command("shards", folder)
    assert said.returncode == 0
    assert "4 of 4 shards, 100 of 100 galaxies:\n  98 ok\n" in said.stdout
    assert "Not there yet" not in said.stdout
    assert command("shards", tmp_path / "none").returncode == 2


def test_what_changed_is_refused_and_overwritten_if_asked(command, trained, calibrated, listing, tmp_path):
    folder = tmp_path / "survey"
    arguments = ["predict", listing, "--out", folder, "--shard-size", 30]
    assert command(*arguments, "--model", trained).returncode == 0
    before = files(folder)
    for changed, key in (
        (["--model", trained, "--tta", 2], "tta 1, now 2"),
        (["--model", calibrated], "calibration_sha256"),
        (["--model", trained, "--shard-size", 31], "shard_size 30, now 31"),
        (["--model", trained, listing.with_name("empty.jpg")], "sources_sha256"),
    ):
        ran = command(*arguments, *changed)
        assert ran.returncode == 2
        assert "holds a prediction of something else" in ran.stderr and key in ran.stderr
        assert "--overwrite" in ran.stderr
        assert files(folder) == before
    ran = command(*arguments, "--model", calibrated, "--level", 0.8, "--overwrite")
    assert ran.returncode == 0, ran.stderr
    assert "Class1.1_low" in pq.read_schema(folder / "shard-000000.parquet").names
    assert command(*arguments, "--model", calibrated, "--level", 0.9).returncode == 2
    assert command(*arguments, "--model", calibrated, "--level", 0.8).returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "survey/", "--task", "0/3"], "is no task"),
        (["--out", "survey/", "--task", "4/3"], "is no task"),
        (["--out", "survey/", "--task", "third"], "is no task"),
        (["--out", "survey/", "--task", "1/3", "--overwrite"], "remove the others' shards"),
        (["--out", "survey/", "--format", "challenge"], "name a file"),
        (["--out", "survey/", "--ids", "list.csv"], "name a file"),
        (["--out", "votes.csv", "--task", "1/3"], "are for a folder, as in --out votes/"),
        (["--out", "votes.csv", "--shard-size", "9"], "are for a folder, as in --out votes/"),
        (["--out", "votes.csv", "--features"], "votes.csv cannot hold --features"),
        (["--out", "votes.fits", "--features"], "votes.fits cannot hold --features"),
        (["--out", "votes.vot", "--features"], "votes.vot cannot hold --features"),
        (["--out", "votes.v2"], "none of the endings"),
        (["--out", "survey/", "--prefetch", "63"], "greater than or equal to 64"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(command, listing, monkeypatch, options, said):
    monkeypatch.chdir(listing.parent)
    ran = command("predict", listing, *options)
    assert ran.returncode == 2
    assert said in " ".join(ran.stderr.replace("│", " ").split())
    assert not Path("survey").exists()


@pytest.mark.parametrize("out", ["votes.parquet", "survey"])
def test_features_in_parquet(command, trained, listing, tmp_path, out):
    ran = command("predict", listing, "--model", trained, "--out", tmp_path / out, "--features")
    assert ran.returncode == 0, ran.stderr
    path = tmp_path / out
    table = read_table(path if path.is_file() else path / "shard-000000.parquet")
    assert pa.types.is_fixed_size_list(table.schema.field("features").type)
    assert table.schema.field("features").type.value_type == pa.float16()
    assert table["features"].null_count == 2


@pytest.fixture
def start(trained, simulated, tmp_path):
    """Start the real command over many galaxies."""
    processes = list[subprocess.Popen[str]]()
    listing = write_listing(simulated, tmp_path / "many.csv", MANY)
    environment = os.environ | {"OMP_NUM_THREADS": "2"}  # in this process it is 1: rows are to be the same

    def run(out: Path, *options: str) -> subprocess.Popen[str]:
        arguments = [
            "predict",
            listing,
            "--model",
            trained,
            "--out",
            out,
            "--shard-size",
            str(SIZE),
            *options,
        ]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "galvote", *map(str, arguments)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def shards_in(folder: Path) -> int:
    return len(list(folder.glob("shard-*.parquet"))) if folder.exists() else 0


def wait_for_shards(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while shards_in(folder) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no shard in time"
        time.sleep(0.002)


def test_killed_and_stopped_runs_end_like_one_that_was_not(start, command, trained, tmp_path, monkeypatch):
    out, whole = tmp_path / "survey", tmp_path / "whole"
    arguments = ["predict", tmp_path / "many.csv", "--model", trained, "--shard-size", SIZE, "--out"]

    process = start(out, "--prefetch", "64")
    wait_for_shards(process, out, 2)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 2 <= (killed := shards_in(out)) < MANY // SIZE - 1

    def write_and_stop(shards: Shards, *shard) -> None:
        write(shards, *shard)
        raise KeyboardInterrupt  # as Ctrl-C does; a signal might end the process of the tests, too

    write = Shards.write
    with monkeypatch.context() as context:
        context.setattr(Shards, "write", write_and_stop)
        ran = command(*arguments, out)
    assert ran.returncode == 130
    assert f"shards in {out}. The same command goes on from there." in ran.stderr
    assert "Traceback" not in ran.stderr
    assert shards_in(out) == killed + 1

    ran = command(*arguments, out)
    assert ran.returncode == 0, ran.stderr
    assert f"{MANY:,} galaxies in {out}: {MANY - 2} ok" in ran.stderr
    assert command(*arguments, whole).returncode == 0
    assert files(out) == files(whole)


def test_a_file_is_not_taken_for_a_folder_of_shards(command, listing, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("mine")
    for run in (("predict", listing, "--model", "galvote-small", "--out", plain), ("shards", plain)):
        refused = command(*run)
        assert refused.returncode == 2
        assert f"{plain} is a file and not a folder" in " ".join(refused.stderr.split())
    assert plain.read_text() == "mine"
