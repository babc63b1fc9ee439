"""Peak memory of `galvote pack` for few and for many pictures, as one row of a Markdown table.

    python benchmarks/pack_memory.py [--few 5000] [--many 30000]

Simulates 300 galaxies at 424 pixels, links them under as many names as are wanted, and runs the real command
on each folder. The peak is the largest resident set of the command's own process, as the kernel counts it.
Exits with status 1 if the two peaks differ by more than 10 %. The stores take 1.5 GB of disk for a moment.
"""

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Nothing heavy is imported here: the kernel counts what a process held before it became the command.
GALVOTE = (sys.executable, "-m", "galvote")
FRAMES = 300
TOLERANCE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--few", type=int, default=5_000)
    parser.add_argument("--many", type=int, default=30_000)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        simulated = Path(place) / "simulated"
        subprocess.run(
            [*GALVOTE, "simulate", f"--count={FRAMES}", "--pixels=424", "--out", simulated], check=True
        )
        frames = sorted(simulated.rglob("*.jpg"))
        few = pack(frames, options.few, Path(place))
        many = pack(frames, options.many, Path(place))

    command = " ".join(["python", "benchmarks/pack_memory.py", *sys.argv[1:]])
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    ratio = many.peak / few.peak
    print("| pictures | peak memory | pictures | peak memory | ratio | speed | command | machine | date |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {options.few:,} | {few.peak:.0f} MiB | {options.many:,} | {many.peak:.0f} MiB | {ratio:.3f} "
        f"| {options.many / many.seconds:.0f} pictures/s | `{command}` | {machine} "
        f"| {datetime.datetime.now(datetime.UTC):%Y-%m-%d} |"
    )
    sys.exit(abs(ratio - 1) > TOLERANCE)


class Run:
    """What one run of the command cost: peak memory in MiB and seconds."""

    def __init__(self, *command: str | Path) -> None:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # this child's own usage, not the largest of all children
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"galvote pack ended with status {process.returncode}")
        self.seconds = time.perf_counter() - started
        self.peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def pack(frames: list[Path], count: int, place: Path) -> Run:
    """Pack this many pictures and throw the store away."""
    images, store = place / "images", place / "store"
    images.mkdir()
    for number in range(count):
        (images / f"{100_000 + number}.jpg").hardlink_to(frames[number % len(frames)])
    run = Run(*GALVOTE, "pack", images, "--out", store)
    shutil.rmtree(images)
    shutil.rmtree(store)
    return run


if __name__ == "__main__":
    main()
