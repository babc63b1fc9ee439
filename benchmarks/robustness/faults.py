"""What a prediction in shards loses when it is killed, starved, damaged and contradicted: a table of faults.

    python -m benchmarks.robustness.faults --galaxies 6000 --times 5

Each fault happens to runs of the real command over simulated images, which are linked under as many names as
are wanted; then the same command runs again until it ends well. Its rows are compared with those of one run
that nothing happened to: rows lost, rows there twice, rows that differ in any digit. The exit status is 1 if
there are any, or if something that should be refused is not.

A full disk is a small tmpfs where one can be mounted, which takes root; else a limit on the size of files.
"""

import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from benchmarks import common

SHARD_SIZE = 512


class Outcome(NamedTuple):
    """How often a fault happened, a remark, and the galaxies whose rows may differ."""

    times: int
    remark: str = ""
    spoiled: frozenset[str] = frozenset()


class Survey:
    """Images, and the command that predicts them."""

    def __init__(self, folder: Path, frames: list[Path], galaxies: int) -> None:
        self.folder, self.frames, self.galaxies, self.seconds = folder, frames, galaxies, 0.0
        self.list_images()

    def list_images(self, name: str = "list.csv", changes: dict[int, Path] | None = None) -> list[str]:
        """Write a catalogue of the images, some of them replaced by others; return its lines."""
        paths = dict(enumerate(islice(cycle(self.frames), self.galaxies))) | (changes or {})
        lines = ["id,source\n", *(f"g{number},{image}\n" for number, image in paths.items())]
        (self.folder / name).write_text("".join(lines))
        return lines

    def command(self, out: Path, *options: str, listing: str = "list.csv") -> list[str]:
        """Return the command; of an option that is given twice the last counts."""
        own = ["--model=galvote-small", f"--out={out}", f"--shard-size={SHARD_SIZE}"]
        return [*common.GALVOTE, "predict", str(self.folder / listing), *own, *options]

    def start(self, out: Path, *options: str, listing: str = "list.csv") -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(self.command(out, *options, listing=listing), stderr=-1, text=True)

    def finish(self, out: Path, *options: str, process: subprocess.Popen[str] | None = None) -> None:
        """Run the command, or go on with it; it must end well."""
        process = process or self.start(out, *options)
        printed = process.communicate()[1]
        if process.returncode:
            sys.exit(f"galvote predict ended with status {process.returncode}: {printed}")


def shards_of(out: Path) -> list[Path]:
    return sorted(out.glob(common.SHARDS))


def read_rows(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(shards_of(out)).to_pylist())


def wait_for_shards(process: subprocess.Popen[str], out: Path, number: int) -> None:
    while len(shards_of(out)) < number and process.poll() is None:
        time.sleep(0.005)


def send(how: signal.Signals, survey: Survey, out: Path, times: int) -> Outcome:
    """Send a signal at random moments."""
    sent, slowest = 0, 0.0
    while sent < times:
        process = survey.start(out)
        time.sleep(random.uniform(0.2, survey.seconds))
        if process.poll() is None:
            process.send_signal(how)
            sent, began = sent + 1, time.monotonic()
            process.communicate()
            slowest = max(slowest, time.monotonic() - began)
        else:  # it is through: take some shards away, so that the next one has work to be disturbed in
            process.communicate()
            shards = shards_of(out)
            for path in random.sample(shards, len(shards) // 2 + 1):
                path.unlink()
    survey.finish(out)
    remark = f"gone within {slowest:.1f} s" if how is not signal.SIGKILL else ""
    return Outcome(sent, remark)


def fill_disk(survey: Survey, out: Path, _: int) -> Outcome:
    """Let the disk be full about half way, then make room."""
    out.mkdir()
    size = 200 * survey.galaxies
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(out)]
    mounted = not subprocess.run(mount, check=False, capture_output=True).returncode
    limit = "" if mounted else "ulimit -f 8; "
    command = ["bash", "-c", f"{limit}exec {shlex.join(survey.command(out))}"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    remark = "files of 8 kB"
    if mounted:
        remark = f"a tmpfs of {size / 1e6:.1f} MB held {len(shards_of(out))} shards"
        subprocess.run(["mount", "-o", "remount,size=2g", out], check=True)
    survey.finish(out)
    told = ended.returncode == 2 and "Make room" in ended.stderr and "Traceback" not in ended.stderr
    return Outcome(1, remark + ("" if told else "; NOT TOLD"))


def spoil_images(survey: Survey, out: Path, _: int) -> Outcome:
    """Make some images bad in every way, one of them while the run goes on."""
    place = survey.folder / "bad"
    place.mkdir()
    good = survey.frames[0].read_bytes()
    size = good.index(b"\xff\xc0") + 5
    huge = good[:size] + (60_000).to_bytes(2) * 2 + good[size + 4 :]
    kinds: dict[str, Callable[[Path], object]] = {
        "empty": Path.touch,
        "not-an-image": lambda path: path.write_text("not a picture"),
        "truncated": lambda path: path.write_bytes(good[: len(good) // 2]),
        "missing": lambda path: None,
        "folder": Path.mkdir,
        "huge": lambda path: path.write_bytes(huge),
        "vanished": lambda path: path.write_bytes(good),
    }
    changes = dict[int, Path]()
    for number, (kind, copy) in enumerate(product(kinds, range(3))):
        path = changes[survey.galaxies - 1 - 40 * number % survey.galaxies] = place / f"{kind}-{copy}.jpg"
        kinds[kind](path)
    survey.list_images("bad.csv", changes)
    process = survey.start(out, listing="bad.csv")
    wait_for_shards(process, out, 1)
    for path in place.glob("vanished-*"):
        path.unlink()
    survey.finish(out, process=process)
    statuses = Counter(row["status"] for row in read_rows(out))
    told = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()) if status != "ok")
    return Outcome(len(changes), f"rows say {told}", frozenset(f"g{n}" for n in changes))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def damage(survey: Survey, out: Path, times: int) -> Outcome:
    """Damage shards of a finished run: flip a bit anywhere, cut them short, empty them, swap them."""
    ways: list[Callable[[Path], object]] = [
        flip_a_bit,
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)]),
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
        lambda path: shutil.copyfile(path.with_name(common.FIRST_SHARD), path),
    ]
    survey.finish(out)
    for _ in range(times):
        for path, way in zip(random.sample(shards_of(out)[1:], len(ways)), ways, strict=True):
            way(path)
        survey.finish(out)
    return Outcome(times * len(ways))


def run_together(survey: Survey, out: Path, _: int) -> Outcome:
    """Run three tasks at once, each of them twice."""
    processes = [survey.start(out, f"--task={task}/3") for task in (1, 2, 3) for _ in range(2)]
    for process in processes:
        survey.finish(out, process=process)
    return Outcome(len(processes), "all ended well")


def lose_task(survey: Survey, out: Path, _: int) -> Outcome:
    """Lose one of three tasks for good, and let a run without tasks make the rest."""
    survey.finish(out, "--task=1/3")
    process = survey.start(out, "--task=2/3")
    wait_for_shards(process, out, len(shards_of(out)) + 1)
    process.kill()
    process.communicate()
    survey.finish(out)
    return Outcome(1)


def contradict(survey: Survey, out: Path, _: int) -> Outcome:
    """Change what is asked; it must be refused and nothing must be touched."""
    survey.finish(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (survey.folder / "fewer.csv").write_text("".join(survey.list_images()[:-1]))
    survey.list_images("moved.csv", {3: survey.frames[7]})
    options = "--tta=2", "--field-of-view=8", "--features", "--shard-size=33", "--model=galvote-base"
    processes = [survey.start(out, option) for option in options]
    processes += [survey.start(out, listing=listing) for listing in ("fewer.csv", "moved.csv")]
    refused = [
        "something else" in process.communicate()[1] and process.returncode == 2 for process in processes
    ]
    touched = {path.name: path.read_bytes() for path in out.iterdir()} != before
    remark = "all refused" if all(refused) and not touched else f"{refused.count(False)} NOT REFUSED"
    return Outcome(len(processes), remark)


FAULTS: dict[str, Callable[[Survey, Path, int], Outcome]] = {
    "SIGKILL at a random moment": partial(send, signal.SIGKILL),
    "SIGTERM at a random moment": partial(send, signal.SIGTERM),
    "SIGINT at a random moment": partial(send, signal.SIGINT),
    "disk full": fill_disk,
    "bad images": spoil_images,
    "shards damaged": damage,
    "three tasks at once, each twice": run_together,
    "a task killed, another never started": lose_task,
    "model, settings or images changed": contradict,
}


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--galaxies", type=int, default=20_000)
    options.add_argument("--times", type=int, default=10, help="how often to send a signal and to damage")
    chosen = options.parse_args()
    random.seed(0)
    well = True
    with common.some_frames(None) as (folder, frames):
        survey, whole = Survey(folder, frames, chosen.galaxies), folder / "whole"
        began = time.monotonic()
        survey.finish(whole)
        survey.seconds = time.monotonic() - began
        expected = {row["id"]: row for row in read_rows(whole)}
        common.print_heading(f"{chosen.galaxies:,} galaxies in shards of {SHARD_SIZE}")
        table = common.Table("fault | times | rows lost | rows twice | rows differing | ")
        for number, (fault, happen) in enumerate(FAULTS.items()):
            out = folder / f"fault-{number}"
            done, rows, leftovers = (
                happen(survey, out, chosen.times),
                read_rows(out),
                [*out.glob("*.partial")],
            )
            found = {row["id"]: row for row in rows}
            lost, twice = len(expected.keys() - found.keys()), len(rows) - len(found)
            differing = sum(found[name] != expected[name] for name in found.keys() - done.spoiled)
            remark = done.remark + (f"; {len(leftovers)} leftovers" if leftovers else "")
            table.row(fault, done.times, lost, twice, differing, remark)
            well &= not (lost or twice or differing or "NOT" in remark)
            subprocess.run(["umount", out], check=False, capture_output=True)  # a full disk's
    sys.exit(not well)


if __name__ == "__main__":
    main()
