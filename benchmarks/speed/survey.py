"""A survey end to end: galaxies a second, beside what else one could do.

    python -m benchmarks.speed.survey [--frames DATA] [--earlier SRC] [--zoobot PYTHON]

Images are JPEGs of 424 × 424 pixels, simulated, or those of the challenge, linked under as many names as are
wanted. Measured are, in turns, each model from files to shards on the disk; its network alone, on decoded
cutouts; decoding alone; a plain PyTorch loop with the same network; simulating galaxies, votes included; and
as processes, start included: ``galvote predict`` of this version, of an earlier one whose ``src`` is given,
and Zoobot's `predict_on_catalog` by the Python of its environment. Let nothing else run meanwhile.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image

import galvote
from benchmarks import common
from galvote.images import FRAME_WIDTH, Geometry, decode_cutout, decode_image, to_cutout
from galvote.inference import SHARD_SIZE, Manifest, Settings, Shards
from galvote.inference.pipeline import in_batches, run_ahead
from galvote.inference.predict_shards import fill_shards
from galvote.io import list_sources
from galvote.models import GalaxyNetwork, load_model
from galvote.simulate import simulate_galaxies, write_galaxies

FRAME = 424
BATCH, PLAIN = 256, 1024  # of the plain loop, and how many galaxies it predicts in a round
SIMULATED = 60


def main() -> None:
    options = common.parser(__doc__, "--frames", "--models", "--rounds")
    options.add_argument("--backends", nargs="+", default=["torch"])
    options.add_argument("--galaxies", type=int, default=8192, help="predicted in each round")
    options.add_argument("--earlier", type=Path, help="folder src of an earlier version")
    options.add_argument("--zoobot", type=Path, help="the Python of an environment that has Zoobot")
    chosen = options.parse_args()
    with common.some_frames(chosen.frames) as (folder, frames):
        images = common.link(frames, chosen.galaxies, folder / "images")
        tasks = make_tasks(chosen, frames, images) | make_processes(chosen, frames, images)
        rates = common.measure_rates(tasks, chosen.rounds)
    common.print_heading(f"torch on {torch.get_num_threads()} threads")
    table = common.Table("what | galaxies/s: median (lowest to highest)")
    for what, found in rates.items():
        table.row(what, common.spread(found))


def make_tasks(
    chosen: argparse.Namespace, frames: Sequence[Path], images: Path
) -> dict[str, Callable[[], int]]:
    """Return what is measured, each of which returns how many galaxies it took."""
    few, many = (frames, PLAIN, 1), (frames, chosen.galaxies, common.cores())
    tasks: dict[str, Callable[[], int]] = {
        "decoding, whole frames, one thread": partial(decode, simplejpeg.decode_jpeg, *few),
        "decoding, whole frames, all cores": partial(decode, simplejpeg.decode_jpeg, *many),
    }
    for name in chosen.models:
        for backend in chosen.backends:
            predictor = galvote.load(name, backend)
            said = f"`{name}`, {predictor.backend.name}"
            reduced = partial(decode_cutout, geometry=predictor.geometry)
            cutouts = [reduced(frame.read_bytes()) for frame in frames]
            tasks[f"{said}, files to shards"] = partial(make_shards, predictor, images)
            tasks[f"{said}, network alone"] = partial(predict, predictor, cutouts, chosen.galaxies)
        tasks[f"`{name}`, decoding to cutouts"] = partial(decode, reduced, *many)
        tasks[f"`{name}`, decoding to cutouts, one thread"] = partial(decode, reduced, *few)
        whole = partial(cut_whole, predictor.geometry)
        tasks[f"`{name}`, the same of whole frames"] = partial(decode, whole, *few)
        tasks[f"`{name}`, plain loop"] = partial(run_plainly, load_model(name)[0], frames)
    tasks["simulating, 128 pixels, one thread"] = partial(simulate, 8 * SIMULATED, 128)
    tasks["simulating, 424 pixels, one thread"] = partial(simulate, SIMULATED, 424)
    return tasks


def make_processes(
    chosen: argparse.Namespace, frames: Sequence[Path], images: Path
) -> dict[str, Callable[[], int]]:
    """Return whole commands from JPEGs to a table; Zoobot's has an eighth of the images."""
    out, tasks = images.with_name("out"), dict[str, Callable[[], int]]()
    versions = {"galvote predict": Path(galvote.__file__).parents[1]}
    if chosen.earlier:
        versions["galvote predict, earlier version"] = chosen.earlier
    for (what, source), name in product(versions.items(), chosen.models):
        command = [*common.GALVOTE, "predict", images, "--model", name, "--out", out / "votes.parquet"]
        environment = os.environ | {"PYTHONPATH": str(source.resolve())}
        tasks[f"`{name}`, {what}"] = partial(run, command, environment, out, chosen.galaxies)
    if chosen.zoobot:
        count = max(64, chosen.galaxies // 8)
        few = common.link(frames, count, images.with_name("few"))
        command = [chosen.zoobot, Path(__file__).with_name("zoobot_catalogue.py"), few, out / "votes.csv"]
        tasks["Zoobot, predict_on_catalog"] = partial(run, command, dict(os.environ), out, count)
    return tasks


def run(command: Sequence[Path | str], environment: dict[str, str], out: Path, galaxies: int) -> int:
    """Run a command that writes a table to an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    subprocess.run([*map(str, command)], env=environment, check=True, capture_output=True)
    return galaxies


def make_shards(predictor: galvote.Predictor, images: Path) -> int:
    """Go the whole way from files to shards on the disk."""
    sources, settings = list_sources(images), Settings()
    with tempfile.TemporaryDirectory() as out:
        manifest = Manifest.of(predictor, sources, settings, SHARD_SIZE)
        shards = Shards.begin(Path(out), manifest)
        return fill_shards(predictor, sources, shards, settings).statuses["ok"]


def predict(predictor: galvote.Predictor, cutouts: Sequence[np.ndarray], count: int) -> int:
    """Run the pipeline over cutouts that are in memory: nothing is decoded, nothing is written."""

    def compute(batch: Sequence[np.ndarray]) -> int:
        return len(predictor.predict_features(np.stack(batch))[0])

    batches = in_batches(islice(cycle(cutouts), count), 64)
    return sum(run_ahead(batches, lambda cutout: cutout, compute, prefetch=1024))


def cut_whole(geometry: Geometry, data: bytes) -> np.ndarray:
    return to_cutout(decode_image(data), geometry)


def decode(how: Callable[[bytes], object], frames: Sequence[Path], count: int, threads: int) -> int:
    """Decode files, 64 of them at a time in each thread."""

    def some(paths: Sequence[Path]) -> int:
        return len([how(path.read_bytes()) for path in paths])

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(some, in_batches(islice(cycle(frames), count), 64)))


@torch.no_grad()
def run_plainly(network: GalaxyNetwork, frames: Sequence[Path]) -> int:
    """Run a network as a notebook does: Pillow, float32, one batch after the other."""
    network.eval()
    pixels, margin = network.spec.pixels, FRAME * (1 - network.spec.field_of_view / FRAME_WIDTH) / 2

    def read(path: Path) -> np.ndarray:
        box = (margin, margin, FRAME - margin, FRAME - margin)
        image = Image.open(path).convert("RGB")
        return np.array(image.resize((pixels, pixels), Image.Resampling.BILINEAR, box=box))

    batches = in_batches(islice(cycle(frames), PLAIN), BATCH)
    return sum(len(network(torch.from_numpy(np.stack([*map(read, paths)])))) for paths in batches)


def simulate(count: int, pixels: int) -> int:
    """Draw galaxies, JPEG and tables written."""
    with tempfile.TemporaryDirectory() as folder:
        write_galaxies(Path(folder), simulate_galaxies(count, pixels=pixels))
    return count


if __name__ == "__main__":
    main()
