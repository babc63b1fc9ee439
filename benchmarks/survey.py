"""A survey end to end: galaxies a second, beside what else one could do; memory; how soon a long run starts.

    python benchmarks/survey.py [--data ../shared/galaxyzoo]

Pictures are JPEGs of 424 × 424 pixels, simulated, or those of a Galaxy Zoo folder. They are linked under as
many names as are wanted. Three tables are printed, in Markdown:

- galaxies a second of each model from files to parts on the disk; of its network alone, on decoded cutouts;
  of a plain PyTorch loop with the same network; of a network of ConvNeXt-Nano's size in such a loop; of
  decoding alone. All take turns, `--rounds` times. Files to parts cannot be faster than decoding to cutouts
  and the network one after the other on each core: the second column of the last table.
- peak memory of the real command for few and for many pictures.
- how long the real command takes, over a million pictures and over one part, until the first part is there;
  and how long it takes to stop when it is told to.

Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

# Nothing heavy is imported here: the kernel counts what a process held before it became the command.
if TYPE_CHECKING:
    from torch import nn

    from galvote import Predictor

GALVOTE = (sys.executable, "-m", "galvote")
FRAMES = 300
BATCH = 256  # of the plain loops

Task = Callable[[], int]
"""Does something with pictures and returns with how many."""


def main() -> None:
    # In the background of a script it ignores Ctrl-C, and so would the commands that it stops with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with images_training/")
    parser.add_argument("--models", nargs="+", default=["galvote-small", "galvote-base"])
    parser.add_argument("--backends", nargs="+", default=["torch"], help="of the speeds")
    parser.add_argument("--galaxies", type=int, default=8192, help="predicted in each round")
    parser.add_argument("--plain", type=int, default=1024, help="predicted by the plain loop in each round")
    parser.add_argument("--convnext", type=int, default=128, help="predicted by ConvNeXt in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--listed", type=int, default=1_000_000)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = find_frames(options.data) if options.data else simulate_frames(folder)
        started = [measure_start(options.models[0], frames, n, folder) for n in (4096, options.listed)]
        peaks = [measure_memory(model, frames, options.memory, folder) for model in options.models]
        report_speed(options, frames, folder)
    if options.memory:
        report_memory(options, peaks)
    print("\n| pictures listed | first part after | peak memory until then | stopped within |")
    print("|---|---|---|---|")
    for start in started:
        print(start)


def report_memory(options: argparse.Namespace, peaks: Sequence[Sequence[float]]) -> None:
    """Print the table of peak memory."""
    print("\n| model | " + " | ".join(f"{n:,} pictures" for n in options.memory) + " | largest / smallest |")
    print("|---|" + "---|" * (len(options.memory) + 1))
    for model, found in zip(options.models, peaks, strict=True):
        said = " | ".join(f"{peak:.0f} MiB" for peak in found)
        print(f"| `{model}` | {said} | {max(found) / min(found):.3f} |")


def find_frames(data: Path) -> list[Path]:
    """Return some of a folder's pictures."""
    return sorted((data / "images_training").glob("*.jpg"))[:FRAMES]


def simulate_frames(folder: Path) -> list[Path]:
    """Draw pictures."""
    out = folder / "simulated"
    subprocess.run([*GALVOTE, "simulate", f"--count={FRAMES}", "--pixels=424", "--out", out], check=True)
    return sorted(out.rglob("*.jpg"))


def link(frames: Sequence[Path], count: int, folder: Path) -> Path:
    """Link pictures under this many names in a new folder."""
    folder.mkdir()
    for number, frame in enumerate(islice(cycle(frames), count)):
        os.link(frame, folder / f"{1_000_000 + number}.jpg")
    return folder


def peak_memory(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for a process; return its status and its largest resident set in MiB, as the kernel counts it."""
    _, status, usage = os.wait4(process.pid, 0)  # this child's own usage, not the largest of all children
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def predict(model: str, images: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the real command."""
    arguments = ["predict", str(images), "--model", model, "--out", str(out), "--part-size", "4096"]
    return subprocess.Popen([*GALVOTE, *arguments], stderr=subprocess.DEVNULL)


def measure_memory(model: str, frames: Sequence[Path], counts: Sequence[int], folder: Path) -> list[float]:
    """Return the peak memory of runs over this many pictures, in MiB."""
    peaks = list[float]()
    for count in counts:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            images = link(frames, count, Path(place) / "images")
            status, peak = peak_memory(predict(model, images, Path(place) / "parts"))
            if status:
                sys.exit(f"galvote predict ended with status {status}")
            peaks.append(peak)
    return peaks


def measure_start(model: str, frames: Sequence[Path], count: int, folder: Path) -> str:
    """Return a row: how long until the first of many parts is there, and until the run has stopped."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        images, out = link(frames, count, Path(place) / "images"), Path(place) / "parts"
        began = time.monotonic()
        process = predict(model, images, out)
        while not (out / "part-000000.parquet").exists():
            if process.poll() is not None:
                sys.exit(f"galvote predict ended with status {process.returncode}")
            time.sleep(0.01)
        first = time.monotonic() - began
        process.send_signal(signal.SIGINT)
        told = time.monotonic()
        _, peak = peak_memory(process)
        return f"| {count:,} | {first:.1f} s | {peak:.0f} MiB | {time.monotonic() - told:.1f} s |"


def report_speed(options: argparse.Namespace, frames: Sequence[Path], folder: Path) -> None:
    """Measure speeds in turns and print their table."""
    import torch

    import galvote
    from speed import describe_machine

    backends = list[tuple[str, str]]()
    tasks: dict[str, Task] = {
        "decoding alone, whole frames, one thread": lambda: decode(frames, options.plain, 1),
        "decoding alone, whole frames, all cores": lambda: decode(frames, options.galaxies, os.cpu_count()),
    }
    for name in options.models:
        for backend in options.backends:
            predictor = galvote.Predictor.load(name, backend)
            said = f"`{name}`, {predictor.backend.name}"
            tasks |= {
                f"{said}, files to parts": end_to_end(predictor, frames, options.galaxies, folder),
                f"{said}, network alone": network_alone(predictor, frames, options.galaxies),
            }
            backends.append((name, said))
        tasks |= {
            f"`{name}`, decoding to cutouts": cutouts_alone(predictor, frames, options.galaxies),
            f"`{name}`, plain loop": plain_loop(name, frames, options.plain),
        }
    tasks["ConvNeXt-Nano's size, plain loop"] = convnext_loop(frames, options.convnext)

    rates: dict[str, list[float]] = {what: [] for what in tasks}
    for _ in range(options.rounds):
        for what, task in tasks.items():
            began = time.perf_counter()
            done = task()
            rates[what].append(done / (time.perf_counter() - began))
    command = " ".join(["python", "benchmarks/survey.py", *sys.argv[1:]])
    print(f"`{command}`: {describe_machine()}, torch on {torch.get_num_threads()} threads\n")
    print("| what | galaxies/s: median (lowest to highest) |")
    print("|---|---|")
    for what, found in rates.items():
        print(f"| {what} | {statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f}) |")
    median = {what: statistics.median(found) for what, found in rates.items()}
    convnext = median["ConvNeXt-Nano's size, plain loop"]
    print(
        "\n| model | at most, with decoding | files to parts, of the network alone | × plain loop "
        "| × ConvNeXt-Nano's size |"
    )
    print("|---|---|---|---|---|")
    for name, said in backends:
        whole, network = (median[f"{said}, {what}"] for what in ("files to parts", "network alone"))
        most = 1 / (1 / network + 1 / median[f"`{name}`, decoding to cutouts"])
        print(
            f"| {said} | {most / network:.0%} | {whole / network:.0%} "
            f"| {whole / median[f'`{name}`, plain loop']:.1f} | {whole / convnext:.1f} |"
        )


def end_to_end(predictor: Predictor, frames: Sequence[Path], count: int, folder: Path) -> Task:
    """Return the whole way from files to parts on the disk."""
    from galvote.inference import PART_SIZE, Parts, Settings, make_parts, make_plan
    from galvote.io import list_sources

    images = folder / f"linked-{count}"
    if not images.exists():
        link(frames, count, images)
    sources = list_sources(images)
    plan = make_plan(predictor, sources, Settings(), PART_SIZE)

    def task() -> int:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            made = make_parts(predictor, sources, Parts.begin(Path(out), plan), Settings())
        return made.statuses["ok"]

    return task


def network_alone(predictor: Predictor, frames: Sequence[Path], count: int) -> Task:
    """Return the pipeline over cutouts that are in memory: nothing is decoded, no rows are made."""
    import numpy as np

    from galvote.images import decode_image, to_cutout
    from galvote.inference.pipeline import in_batches, run_ahead

    cutouts = [to_cutout(decode_image(frame.read_bytes()), predictor.geometry) for frame in frames]

    def task() -> int:
        batches = in_batches(islice(cycle(cutouts), count), 64)
        predicted = run_ahead(
            batches,
            lambda cutout: cutout,
            lambda batch: predictor.predict_features(np.stack(batch))[0],
            prefetch=1024,
        )
        return sum(map(len, predicted))

    return task


def cutouts_alone(predictor: Predictor, frames: Sequence[Path], count: int) -> Task:
    """Return what the pipeline decodes, files to cutouts, on all cores."""
    from galvote.images import decode_cutout
    from galvote.inference.pipeline import in_batches

    def some(paths: Sequence[Path]) -> int:
        return sum(len(decode_cutout(path.read_bytes(), predictor.geometry)) > 0 for path in paths)

    def task() -> int:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return sum(pool.map(some, in_batches(islice(cycle(frames), count), 64)))

    return task


def decode(frames: Sequence[Path], count: int, threads: int | None) -> int:
    """Decode whole frames with simplejpeg."""
    import simplejpeg

    def one(path: Path) -> int:
        return len(simplejpeg.decode_jpeg(path.read_bytes(), "RGB")) > 0

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, islice(cycle(frames), count)))


def plain_loop(model: str, frames: Sequence[Path], count: int) -> Task:
    """Return the same network as a notebook has it: Pillow, float32, one batch after the other."""
    from galvote.models import load_model

    network, _ = load_model(model)
    spec = network.spec
    margin = (424 - spec.field_of_view) / 2
    box = (margin, margin, margin + spec.field_of_view, margin + spec.field_of_view)
    return loop(network, frames, count, spec.pixels, box, scaled=False)


def convnext_loop(frames: Sequence[Path], count: int) -> Task:
    """Return a network of the size of Zoobot's default encoder in the same loop, at its 224 pixels."""
    return loop(convnext_nano(), frames, count, 224, (0, 0, 424, 424), scaled=True)


def loop(
    network: nn.Module,
    frames: Sequence[Path],
    count: int,
    pixels: int,
    box: tuple[float, float, float, float],
    *,
    scaled: bool,
) -> Task:
    """Return the plain loop; `scaled` if the network wants floats in channels-first order."""
    import numpy as np
    import torch
    from PIL import Image

    network.eval()

    @torch.no_grad()
    def task() -> int:
        done = 0
        paths = list(islice(cycle(frames), count))
        for start in range(0, count, BATCH):
            images = []
            for path in paths[start : start + BATCH]:
                image = Image.open(path).convert("RGB")
                images.append(np.array(image.resize((pixels, pixels), Image.Resampling.BILINEAR, box=box)))
            batch = torch.from_numpy(np.stack(images))
            done += len(network(batch.permute(0, 3, 1, 2).float() / 255 if scaled else batch))
        return done

    return task


def convnext_nano() -> nn.Module:
    """Return a ConvNeXt (Liu et al. 2022, arXiv:2201.03545) of Nano's size, with random weights."""
    import torch
    from torch import Tensor, nn

    class LastNorm(nn.LayerNorm):
        """Normalise channels that come first."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.spread = nn.Conv2d(width, width, 7, padding=3, groups=width)
            self.mix = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
            self.scale = nn.Parameter(torch.full((width,), 1e-6))

        def forward(self, x: Tensor) -> Tensor:
            mixed = self.mix(self.spread(x).permute(0, 2, 3, 1)) * self.scale
            out: Tensor = x + mixed.permute(0, 3, 1, 2)
            return out

    widths, depths = (80, 160, 320, 640), (2, 2, 8, 2)
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4), LastNorm(widths[0])]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            layers += [LastNorm(widths[stage - 1]), nn.Conv2d(widths[stage - 1], width, 2, stride=2)]
        layers += [Block(width) for _ in range(depth)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(widths[-1]), nn.Linear(widths[-1], 37)]
    return nn.Sequential(*layers)


if __name__ == "__main__":
    main()
