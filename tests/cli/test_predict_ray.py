"""`galvote predict --engine ray`, on this machine and on a cluster of two nodes of which some is killed."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from galvote.errors import ClusterError
from galvote.inference.ray_engine import share_out

pytest.importorskip("ray")
pytestmark = pytest.mark.usefixtures("one_thread")

MANY, SIZE = 6000, 64
PATIENCE = 300.0

Start = Callable[..., subprocess.Popen[str]]


def write_listing(simulated: Path, folder: Path, count: int) -> Path:
    """List this many pictures, by relative paths; one is empty and one is not there."""
    images = sorted((simulated / "images_training").glob("*.jpg"))
    for image in images:
        (folder / image.name).symlink_to(image)
    (folder / "empty.jpg").touch()
    places = [images[number % len(images)].name for number in range(count)]
    places[5], places[70] = "empty.jpg", "gone.jpg"
    rows = (f"g{number},{place}\n" for number, place in enumerate(places))
    (folder / "list.csv").write_text("id,source\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def few(simulated, tmp_path_factory) -> Path:
    return write_listing(simulated, tmp_path_factory.mktemp("few"), 300)


@pytest.fixture(scope="module")
def many(simulated, tmp_path_factory) -> Path:
    return write_listing(simulated, tmp_path_factory.mktemp("many"), MANY)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module", autouse=True)
def _with_a_token_of_their_own(tmp_path_factory) -> Iterator[None]:
    """Let nodes and users of these tests know each other, and touch nothing of Ray's in the home folder."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(secrets.token_hex(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture
def start(trained) -> Iterator[Start]:
    """Start the real command in a folder, in a process of its own."""
    started = list[subprocess.Popen[str]]()

    def run(folder: Path, *options: object, model: Path = trained) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-m", "galvote", "predict", "list.csv", "--model", model, *options]
        process = subprocess.Popen([*map(str, arguments)], cwd=folder, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()  # not killed: what Ray has started ends with it
        process.communicate()


def wait(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said
    return said


def test_the_same_rows_as_without_ray(start, command, own_model, few, tmp_path, monkeypatch):
    """The model has a tree of its own; the other tests with Ray are slow."""
    said = wait(start(few, "--out", tmp_path / "ray.csv", "--engine", "ray", "--workers", 1, model=own_model))
    assert f"300 galaxies in {tmp_path / 'ray.csv'}: 298 ok, 1 empty, 1 missing\n" in said
    monkeypatch.chdir(few)
    ran = command("predict", "list.csv", "--model", own_model, "--out", tmp_path / "here.csv")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert "whirl/rests" in (tmp_path / "here.csv").read_text().partition("\n")[0]


@pytest.mark.parametrize(
    ("nodes", "workers", "shared"),
    [
        ([{"CPU": 8.0}], None, (8, 1, 0)),
        ([{"CPU": 8.0}], 2, (2, 4, 0)),
        ([{"CPU": 8.0}, {"CPU": 8.0}, {"CPU": 8.0}], 4, (4, 4, 0)),
        ([{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 0.0}], None, (2, 1, 0)),
        ([{"CPU": 4.0, "GPU": 1.0}, {"CPU": 64.0}], None, (1, 4, 1)),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 4.0}], None, (6, 4, 1)),
    ],
)
def test_nodes_are_shared_out_among_workers(nodes, workers, shared):
    assert share_out(nodes, workers) == shared


@pytest.mark.parametrize(
    ("nodes", "workers"), [([{"CPU": 2.0}], 3), ([{"CPU": 0.5}], None), ([], 1), ([{"GPU": 1.0}], None)]
)
def test_a_cluster_without_room_says_so(nodes, workers):
    with pytest.raises(ClusterError, match="add nodes, or give fewer --workers"):
        share_out(nodes, workers)


def test_mistakes_are_explained(command, trained, few, tmp_path, monkeypatch):
    monkeypatch.chdir(few)
    arguments = ["predict", "list.csv", "--model", trained, "--out", tmp_path / "survey"]
    ran = command(*arguments, "--workers", 2)
    assert ran.returncode == 2
    assert "add --engine ray" in ran.stderr
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    ran = command(*arguments, "--engine", "ray")
    assert ran.returncode == 2
    assert "pip install 'galvote[ray]'" in ran.stderr
    assert not (tmp_path / "survey").exists()


@pytest.mark.slow
def test_a_cluster_that_is_not_there(start, few, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(few, "--out", tmp_path / "v.csv", "--engine", "ray", "--address", f"127.0.0.1:{port}")
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2
    assert f"There is no Ray cluster at 127.0.0.1:{port}" in said and "Traceback" not in said


OTHER_MODEL = """
import sys
from functools import partial
from pathlib import Path
import galvote
from galvote.io import list_sources
from galvote.inference import Manifest, Settings, Shards
from galvote.inference.ray_engine import RayEngine

here, there, out = sys.argv[1:]
sources, settings = list_sources("list.csv"), Settings()
shards = Shards.begin(Path(out), Manifest.of(galvote.load(here), sources, settings, 100))
with RayEngine(workers=1) as engine:
    try:
        engine.fill_shards(partial(galvote.load, there), sources, shards, settings)
    except galvote.GalvoteError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_worker_with_another_model_makes_no_shard(trained, calibrated, few, tmp_path):
    arguments = [sys.executable, "-c", OTHER_MODEL, trained, calibrated, tmp_path / "survey"]
    ran = subprocess.run([*map(str, arguments)], cwd=few, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("ClusterError For the worker on ")
    assert "it is another prediction: " in ran.stdout and "calibration_sha256" in ran.stdout
    assert [path.name for path in (tmp_path / "survey").iterdir()] == ["manifest.json"]


class Cluster:
    """Nodes of a Ray cluster on this machine, with one core each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.nodes = [self._start("--head", f"--port={self.address.partition(':')[2]}")]

    def add_node(self) -> None:
        self.nodes.append(self._start(f"--address={self.address}"))

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        common = ["--num-cpus=1", f"--object-store-memory={100 * 2**20}", "--disable-usage-stats", "--block"]
        if "--head" in options:
            common += ["--include-dashboard=false", f"--temp-dir={self.folder}"]
        ray = Path(sys.executable).with_name("ray")
        process = subprocess.Popen(
            [ray, "start", *options, *common],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait(process)
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        host, port = self.address.split(":")
        while not find_below(process.pid, "raylet"):
            assert process.poll() is None, "the node has ended"
            assert time.monotonic() < deadline, "no node in time"
            time.sleep(0.05)
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()

    def workers(self, node: int) -> list[int]:
        """Return the processes that predict on a node."""
        return find_below(self.nodes[node].pid, "ray::MapWorker")

    def lose_node(self, node: int) -> None:
        process = self.nodes.pop(node)
        for pid in find_below(process.pid, ""):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()

    def stop(self) -> None:
        while self.nodes:
            self.lose_node(-1)


def find_below(parent: int, title: str) -> list[int]:
    """Return the processes that descend from another and bear this in their titles."""
    found = list[int]()
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return found
    for child in map(int, children):
        found += find_below(child, title)
        try:
            if title in Path(f"/proc/{child}/cmdline").read_text():
                found.append(child)
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # the names of sockets have to be short
    made = Cluster(folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def whole(many, trained, tmp_path_factory) -> dict[str, bytes]:
    """Return the shards that one process makes without Ray."""
    out = tmp_path_factory.mktemp("whole") / "survey"
    arguments = ["list.csv", "--model", trained, "--out", out, "--shard-size", SIZE]
    subprocess.run(
        [sys.executable, "-m", "galvote", "predict", *map(str, arguments)],
        cwd=many,
        check=True,
        capture_output=True,
    )
    return files(out)


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


def shards_in(folder: Path) -> int:
    return len(list(folder.glob("shard-*.parquet"))) if folder.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["nothing", "a worker", "a node"])
def test_two_nodes_lose_nothing(start, cluster, many, whole, tmp_path, lost):
    out = tmp_path / "survey"
    if len(cluster.nodes) < 2:
        cluster.add_node()
    options = ["--out", out, "--shard-size", SIZE, "--engine", "ray", "--address", cluster.address]
    process = start(many, *options, "--workers", 2)
    wait_until(lambda: shards_in(out) >= 4 and cluster.workers(0) and cluster.workers(1), process)
    if lost == "a worker":
        for pid in cluster.workers(1):
            os.kill(pid, signal.SIGKILL)
    elif lost == "a node":
        cluster.lose_node(1)
    assert shards_in(out) < len(whole) - 1, "it was in mid-run"
    said = wait(process)
    assert f"{MANY:,} galaxies in {out}: {MANY - 2} ok, 1 empty, 1 missing;" in said
    assert files(out) == whole
