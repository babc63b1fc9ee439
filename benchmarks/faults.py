"""What a prediction in parts loses when it is killed, starved, damaged and contradicted: a table of faults.

    python benchmarks/faults.py [--galaxies 20000] [--model galvote-small]

Each fault happens to runs of the real command over simulated pictures, which are linked under as many names
as are wanted; then the same command runs again until it ends well. Its rows are compared with those of one
run that nothing happened to: rows lost, rows there twice, rows that differ in any digit. The exit status is 1
if there are any, or if something that should be refused is not.

A full disk is a small tmpfs where one can be mounted, which takes root; else a limit on the size of files.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GALVOTE = (sys.executable, "-m", "galvote")


@dataclass
class Survey:
    """Pictures, the command that predicts them, and the rows it ought to give."""

    frames: list[Path]
    folder: Path
    model: str
    galaxies: int
    part_size: int
    seconds: float = 0
    rows: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def listing(self) -> Path:
        """Catalogue of the pictures."""
        return self.folder / "list.csv"

    def write_listing(self, changes: dict[int, Path] | None = None, path: Path | None = None) -> Path:
        """List the pictures, some of them replaced by others."""
        places = dict(enumerate(islice(cycle(self.frames), self.galaxies)))
        lines = (f"g{number},{place}\n" for number, place in (places | (changes or {})).items())
        path = path or self.listing
        path.write_text("id,source\n" + "".join(lines))
        return path

    def start(self, out: Path, *options: str, listing: Path | None = None) -> subprocess.Popen[str]:
        """Start the command."""
        arguments = ["predict", listing or self.listing, "--model", self.model, "--out", out]
        arguments += ["--part-size", str(self.part_size), *options]
        return subprocess.Popen([*GALVOTE, *map(str, arguments)], stderr=subprocess.PIPE, text=True)

    def run(self, out: Path, *options: str, listing: Path | None = None) -> tuple[int, str]:
        """Run the command to its end; return its status and what it said."""
        process = self.start(out, *options, listing=listing)
        said = process.communicate()[1]
        return process.returncode, said

    def finish(self, out: Path, *options: str, listing: Path | None = None) -> None:
        """Run the command, which must end well."""
        status, said = self.run(out, *options, listing=listing)
        if status:
            sys.exit(f"galvote predict ended with status {status}: {said}")


@dataclass
class Outcome:
    """What came of a fault."""

    fault: str
    times: int
    lost: int = 0
    twice: int = 0
    differing: int = 0
    remark: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost, doubled or changed."""
        return not (self.lost or self.twice or self.differing)


def read_rows(out: Path) -> list[dict[str, object]]:
    """Return the rows of all parts."""
    tables = [pq.ParquetFile(path).read() for path in sorted(out.glob("part-*.parquet"))]
    return list(pa.concat_tables(tables).to_pylist())


def compare(
    survey: Survey, out: Path, fault: str, times: int, remark: str = "", bad: Sequence[str] = ()
) -> Outcome:
    """Compare what is in a folder with the run that nothing happened to, but for galaxies made bad."""
    rows = read_rows(out)
    found = {row["id"]: row for row in rows}
    leftovers = [path.name for path in out.iterdir() if path.name.endswith(".partial")]
    return Outcome(
        fault,
        times,
        lost=len(survey.rows.keys() - found.keys()),
        twice=len(rows) - len(found),
        differing=sum(
            found[galaxy] != row
            for galaxy, row in survey.rows.items()
            if galaxy in found and galaxy not in bad
        ),
        remark=remark + (f"; {len(leftovers)} leftovers" if leftovers else ""),
    )


def count_parts(out: Path) -> int:
    """Return how many parts there are."""
    return len(list(out.glob("part-*.parquet")))


def disturbed(survey: Survey, out: Path, signal_: signal.Signals, times: int) -> Outcome:
    """Send a signal at random moments, as often as asked."""
    sent, slowest = 0, 0.0
    while sent < times:
        process = survey.start(out)
        time.sleep(random.uniform(0.2, survey.seconds))
        if process.poll() is None:
            process.send_signal(signal_)
            sent, told = sent + 1, time.monotonic()
            process.communicate()
            slowest = max(slowest, time.monotonic() - told)
        else:  # it is through: take some parts away, so that the next one has work to be disturbed in
            process.communicate()
            for path in random.sample(sorted(out.glob("part-*.parquet")), count_parts(out) // 2 + 1):
                path.unlink()
    survey.finish(out)
    remark = f"gone within {slowest:.1f} s" if signal_ is not signal.SIGKILL else ""
    return compare(survey, out, f"{signal_.name} at a random moment", sent, remark)


def full_disk(survey: Survey, out: Path) -> Outcome:
    """Let the disk be full about half way, then make room."""
    out.mkdir()
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={200 * survey.galaxies}", "tmpfs", out],
        check=False,
        capture_output=True,
    ).returncode
    try:
        if mounted:
            status, said = survey.run(out)
            before = count_parts(out)
            subprocess.run(["mount", "-o", "remount,size=2g", out], check=True)
        else:
            command = [*GALVOTE, "predict", survey.listing, "--model", survey.model, "--out", out]
            command += ["--part-size", survey.part_size]
            limited = "ulimit -f 8; exec " + " ".join(f"'{word}'" for word in command)
            done = subprocess.run(["bash", "-c", limited], check=False, capture_output=True, text=True)
            status, said, before = done.returncode, done.stderr, count_parts(out)
        told = status == 2 and "Make room" in said and "Traceback" not in said
        survey.finish(out)
        how = (
            f"a tmpfs of {survey.galaxies / 5e3:.1f} MB held {before} parts"
            if mounted
            else "no file beyond 8 kB"
        )
        remark = how + ("" if told else "; NOT TOLD")
        return compare(survey, out, "disk full", 1, remark)
    finally:
        if mounted:
            subprocess.run(["umount", out], check=True)


def bad_images(survey: Survey, out: Path) -> Outcome:
    """Make some pictures bad in every way, one of them while the run goes on."""
    place = survey.folder / "bad"
    place.mkdir()
    good = survey.frames[0].read_bytes()
    kinds: dict[str, Callable[[Path], object]] = {
        "empty": Path.touch,
        "not-an-image": lambda path: path.write_text("not a picture"),
        "truncated": lambda path: path.write_bytes(good[: len(good) // 2]),
        "missing": lambda path: None,
        "folder": Path.mkdir,
        "huge": lambda path: path.write_bytes(announce(good, 60_000, 60_000)),
        "vanished": lambda path: path.write_bytes(good),
    }
    changes = dict[int, Path]()
    for number, (kind, make) in enumerate(kinds.items()):
        for copy in range(3):
            path = place / f"{kind}-{copy}.jpg"
            make(path)
            changes[survey.galaxies - 1 - 40 * (3 * number + copy) % survey.galaxies] = path
    listing = survey.write_listing(changes, survey.folder / "bad.csv")
    process = survey.start(out, listing=listing)
    while not count_parts(out) and process.poll() is None:
        time.sleep(0.005)
    for copy in range(3):
        (place / f"vanished-{copy}.jpg").unlink()
    said = process.communicate()[1]
    if process.returncode:
        sys.exit(f"galvote predict ended with status {process.returncode}: {said}")
    found = Counter(str(row["status"]) for row in read_rows(out))
    del found["ok"]
    remark = "rows say " + ", ".join(f"{n} {status}" for status, n in sorted(found.items()))
    return compare(survey, out, "bad pictures", len(changes), remark, [f"g{number}" for number in changes])


def announce(jpeg: bytes, width: int, height: int) -> bytes:
    """Change what a JPEG's header says of its size."""
    frame = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:frame] + height.to_bytes(2) + width.to_bytes(2) + jpeg[frame + 4 :]


def damaged(survey: Survey, out: Path, times: int) -> Outcome:
    """Damage parts of a finished run: flip a bit anywhere, cut them short, empty them, swap them."""
    survey.finish(out)
    ways: list[Callable[[Path], object]] = [
        flip_a_bit,
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)]),
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
        lambda path: shutil.copyfile(path.with_name("part-000000.parquet"), path),
    ]
    for _ in range(times):
        parts = sorted(out.glob("part-*.parquet"))[1:]
        for path, way in zip(random.sample(parts, min(len(ways), len(parts))), ways, strict=False):
            way(path)
        survey.finish(out)
    return compare(survey, out, "parts damaged", times * len(ways))


def flip_a_bit(path: Path) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def together(survey: Survey, out: Path) -> Outcome:
    """Run three shards at once, each of them twice."""
    processes = [survey.start(out, "--shard", f"{shard}/3") for shard in (1, 2, 3) for _ in range(2)]
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    failed = [said for said, status in ended if status]
    remark = f"{len(failed)} ended badly: {failed[0]}" if failed else "all ended well"
    return compare(survey, out, "three shards at once, each twice", len(processes), remark)


def lost_worker(survey: Survey, out: Path) -> Outcome:
    """Lose one of three shards for good, and let a run without shards make the rest."""
    survey.finish(out, "--shard", "1/3")
    process = survey.start(out, "--shard", "2/3")
    while count_parts(out) <= -(-survey.galaxies // survey.part_size) // 3 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    survey.finish(out)
    return compare(survey, out, "a shard killed, another never started", 1)


def contradicted(survey: Survey, out: Path) -> Outcome:
    """Change what is asked; it must be refused and nothing must be touched."""
    survey.finish(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    fewer = survey.folder / "fewer.csv"
    fewer.write_text("".join(survey.listing.read_text().splitlines(keepends=True)[:-1]))
    moved = survey.write_listing({3: survey.frames[7]}, survey.folder / "moved.csv")
    attempts: list[tuple[list[str], Path | None]] = [
        (["--tta", "2"], None),
        (["--field-of-view", "8.0"], None),
        (["--features"], None),
        (["--part-size", str(survey.part_size + 1)], None),
        (["--model", "galvote-base" if survey.model == "galvote-small" else "galvote-small"], None),
        ([], fewer),
        ([], moved),
    ]
    accepted = 0
    for options, listing in attempts:
        status, said = survey.run(out, *options, listing=listing)
        accepted += not (status == 2 and "something else" in said)
    touched = {path.name: path.read_bytes() for path in out.iterdir()} != before
    outcome = compare(survey, out, "model, settings or pictures changed", len(attempts))
    outcome.remark = f"{accepted} NOT REFUSED" if accepted else "all refused"
    if touched or accepted:
        outcome.differing += 1
    return outcome


FAULTS: dict[str, Callable[[Survey, Path, int], Outcome]] = {
    "killed": lambda survey, out, times: disturbed(survey, out, signal.SIGKILL, times),
    "terminated": lambda survey, out, times: disturbed(survey, out, signal.SIGTERM, times),
    "interrupted": lambda survey, out, times: disturbed(survey, out, signal.SIGINT, times),
    "full-disk": lambda survey, out, _: full_disk(survey, out),
    "bad-pictures": lambda survey, out, _: bad_images(survey, out),
    "damaged": damaged,
    "together": lambda survey, out, _: together(survey, out),
    "lost-worker": lambda survey, out, _: lost_worker(survey, out),
    "contradicted": lambda survey, out, _: contradicted(survey, out),
}


def main() -> None:
    # In the background of a script it ignores Ctrl-C, and so would the commands that it stops with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--model", default="galvote-small")
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--part-size", type=int, default=512)
    parser.add_argument("--times", type=int, default=10, help="how often to send a signal and to damage")
    parser.add_argument("--frames", type=int, default=300, help="pictures to draw")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        simulated = folder / "simulated"
        subprocess.run(
            [*GALVOTE, "simulate", f"--count={options.frames}", "--pixels=424", "--out", simulated],
            check=True,
        )
        frames = sorted(simulated.rglob("*.jpg"))
        survey = Survey(frames, folder, options.model, options.galaxies, options.part_size)
        survey.write_listing()
        began = time.monotonic()
        survey.finish(folder / "whole")
        survey.seconds = time.monotonic() - began
        survey.rows = {str(row["id"]): row for row in read_rows(folder / "whole")}
        outcomes = [FAULTS[fault](survey, folder / fault, options.times) for fault in options.faults]
    command = " ".join(["python", "benchmarks/faults.py", *sys.argv[1:]])
    print(f"`{command}`: {options.galaxies:,} galaxies in parts of {options.part_size}\n")
    print("| fault | times | rows lost | rows twice | rows differing | |")
    print("|---|---|---|---|---|---|")
    for one in outcomes:
        print(f"| {one.fault} | {one.times} | {one.lost} | {one.twice} | {one.differing} | {one.remark} |")
    sys.exit(not all(one.is_well for one in outcomes))


if __name__ == "__main__":
    main()
