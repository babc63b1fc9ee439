"""Peak memory of real commands over few and many images, and how soon a long run starts and stops.

    python -m benchmarks.speed.memory [--frames DATA]

Images are JPEGs of 424 × 424 pixels, simulated, or those of the challenge, linked under as many names as are
wanted. How long until the first of many shards is there, and until the run has stopped when it is told to,
is measured over one shard and over a million images.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common


def main() -> None:
    options = common.parser(__doc__, "--frames", "--models")
    options.add_argument("--predict", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--pack", type=int, nargs="+", default=[5_000, 30_000])
    options.add_argument("--listed", type=int, nargs="+", default=[4096, 1_000_000])
    chosen = options.parse_args()
    common.print_heading()
    with common.some_frames(chosen.frames) as (folder, frames):
        commands = {f"predict --model {model}": chosen.predict for model in chosen.models}
        table = common.Table("command | peak memory | largest / smallest | images/s")
        for command, counts in {**commands, "pack": chosen.pack}.items():
            peaks = dict[int, float]()
            for count in counts:
                peaks[count], speed = measure_memory(command, frames, count, folder)
            said = ", ".join(f"{count:,} images {peak:.0f} MiB" for count, peak in peaks.items())
            ratio = max(peaks.values()) / min(peaks.values())
            table.row(f"`galvote {command}`", said, f"{ratio:.3f}", f"{speed:,.0f}")
        table = common.Table("images listed | first shard after | peak memory until then | stopped within")
        for count in chosen.listed:
            table.row(f"{count:,}", *measure_start(chosen.models[0], frames, count, folder))


def measure_memory(command: str, frames: Sequence[Path], count: int, folder: Path) -> tuple[float, float]:
    """Return the peak memory of a run over this many images, in MiB, and images a second."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        process, _, began = start(command, frames, count, Path(place))
        peak = common.peak_memory(process)
        if process.returncode:
            sys.exit(f"galvote {command} ended with status {process.returncode}")
        return peak, count / (time.monotonic() - began)


def measure_start(model: str, frames: Sequence[Path], count: int, folder: Path) -> tuple[str, str, str]:
    """Return how long until the first of many shards is there, peak memory, and how long stopping takes."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        process, out, began = start(f"predict --model {model}", frames, count, Path(place))
        while not (out / common.FIRST_SHARD).exists():
            if process.poll() is not None:
                sys.exit(f"galvote predict ended with status {process.returncode}")
            time.sleep(0.01)
        first, told = time.monotonic() - began, time.monotonic()
        peak = common.memory(process.pid, "VmHWM")
        process.send_signal(signal.SIGINT)
        process.wait()
        return f"{first:.1f} s", f"{peak:.0f} MiB", f"{time.monotonic() - told:.1f} s"


def start(
    command: str, frames: Sequence[Path], count: int, place: Path
) -> tuple[subprocess.Popen[bytes], Path, float]:
    """Start the real command; return it, the folder that it writes, and when it began."""
    images, out = common.link(frames, count, place / "images"), place / "out"
    words = [*common.GALVOTE, *command.split(), str(images), "--out", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return process, out, time.monotonic()


if __name__ == "__main__":
    main()
