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
    options.add_argument("--predict", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    options.add_argument("--pack", type=int, nargs="*", default=[5_000, 30_000])
    options.add_argument("--listed", type=int, nargs="*", default=[4096, 1_000_000])
    chosen = options.parse_args()
    common.print_heading()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = common.find_frames(chosen.frames, folder)
        commands = {f"predict --model {model}": chosen.predict for model in chosen.models}
        table = common.Table("command", "peak memory", "largest / smallest", "images/s")
        for command, counts in {**commands, "pack": chosen.pack}.items():
            peaks, speed = measure_memory(command, frames, counts, folder)
            said = ", ".join(f"{n:,} images {peak:.0f} MiB" for n, peak in zip(counts, peaks, strict=True))
            ratio = max(peaks) / min(peaks) if peaks else 1
            table.row(f"`galvote {command}`", said, f"{ratio:.3f}", f"{speed:,.0f}")
        table = common.Table("images listed", "first shard after", "peak memory until then", "stopped within")
        for count in chosen.listed:
            table.row(f"{count:,}", *measure_start(chosen.models[0], frames, count, folder))


def measure_memory(
    command: str, frames: Sequence[Path], counts: Sequence[int], folder: Path
) -> tuple[list[float], float]:
    """Return the peak memory of runs over this many images, in MiB, and images a second of the last."""
    peaks, speed = list[float](), 0.0
    for count in counts:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            images = common.link(frames, count, Path(place) / "images")
            began = time.perf_counter()
            process = start(command, images, Path(place) / "out")
            peaks.append(common.peak_memory(process))
            speed = count / (time.perf_counter() - began)
            if process.returncode:
                sys.exit(f"galvote {command} ended with status {process.returncode}")
    return peaks, speed


def measure_start(model: str, frames: Sequence[Path], count: int, folder: Path) -> tuple[str, str, str]:
    """Return how long until the first of many shards is there, peak memory, and how long stopping takes."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        images, out = common.link(frames, count, Path(place) / "images"), Path(place) / "out"
        began = time.monotonic()
        process = start(f"predict --model {model}", images, out)
        while not (out / "part-000000.parquet").exists():
            if process.poll() is not None:
                sys.exit(f"galvote predict ended with status {process.returncode}")
            time.sleep(0.01)
        first, told = time.monotonic() - began, time.monotonic()
        peak = common.memory(process.pid, "VmHWM")
        process.send_signal(signal.SIGINT)
        process.wait()
        return f"{first:.1f} s", f"{peak:.0f} MiB", f"{time.monotonic() - told:.1f} s"


def start(command: str, images: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the real command."""
    words = [*common.GALVOTE, *command.split(), str(images), "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
