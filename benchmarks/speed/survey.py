"""A survey end to end: galaxies a second, beside what else one could do.

    python -m benchmarks.speed.survey [--frames DATA]

Images are JPEGs of 424 × 424 pixels, simulated, or those of the challenge, linked under as many names as are
wanted. Measured are, in turns, each model from files to shards on the disk; its network alone, on decoded
cutouts; decoding alone; a plain PyTorch loop with the same network; ConvNeXt-Nano in such a loop, where timm
is installed; and simulating galaxies, votes included. Files to shards cannot be faster than decoding to
cutouts and the network one after the other on each core: the second column of the last table. Let nothing
else run meanwhile.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image

import galvote
from benchmarks import common
from galvote.images import FRAME_WIDTH, Geometry, decode_cutout, decode_image, to_cutout
from galvote.inference import PART_SIZE, Parts, Settings, make_parts, make_plan
from galvote.inference.pipeline import in_batches, run_ahead
from galvote.io import list_sources
from galvote.models import GalaxyNetwork, NetworkSpec, load_model
from galvote.simulate import simulate_galaxies, write_galaxies
from galvote.trees import load_tree

BATCH = 256  # of the plain loops
FRAME = 424
NANO = "ConvNeXt-Nano, plain loop"

Task = Callable[[], int]
"""Does something with images and returns with how many."""


def main() -> None:
    options = common.parser(__doc__, "--frames", "--models", "--rounds")
    options.add_argument("--backends", nargs="+", default=["torch"])
    options.add_argument("--galaxies", type=int, default=8192, help="predicted in each round")
    options.add_argument("--plain", type=int, default=1024, help="predicted by a plain loop in each round")
    options.add_argument("--convnext", type=int, default=128, help="predicted by ConvNeXt in each round")
    options.add_argument("--simulated", type=int, default=60, help="galaxies of 424 pixels")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = common.find_frames(chosen.frames, folder)
        images = common.link(frames, chosen.galaxies, folder / "images")
        rates = common.measure_rates(make_tasks(chosen, frames, images), chosen.rounds)
    common.print_heading(f"torch on {torch.get_num_threads()} threads")
    table = common.Table("what", "galaxies/s: median (lowest to highest)")
    for what, found in rates.items():
        table.row(what, common.spread(found))
    print_ratios({what: statistics.median(found) for what, found in rates.items()})


def make_tasks(chosen: argparse.Namespace, frames: Sequence[Path], images: Path) -> dict[str, Task]:
    count, cores = chosen.galaxies, common.cores()
    tasks: dict[str, Task] = {
        "decoding, whole frames, one thread": decoding(decode_frame, frames, chosen.plain, 1),
        "decoding, whole frames, all cores": decoding(decode_frame, frames, count, cores),
    }
    for name in chosen.models:
        for backend in chosen.backends:
            predictor = galvote.load(name, backend)
            said = f"`{name}`, {predictor.backend.name}"
            tasks[f"{said}, files to shards"] = end_to_end(predictor, images)
            tasks[f"{said}, network alone"] = network_alone(predictor, frames, count)
        geometry = predictor.geometry
        reduced = partial(decode_cutout, geometry=geometry)
        tasks[f"`{name}`, decoding to cutouts"] = decoding(reduced, frames, count, cores)
        tasks[f"`{name}`, decoding to cutouts, one thread"] = decoding(reduced, frames, chosen.plain, 1)
        whole = partial(cut_whole, geometry=geometry)
        tasks[f"`{name}`, the same of whole frames"] = decoding(whole, frames, chosen.plain, 1)
        network, _ = load_model(name)
        tasks[f"`{name}`, plain loop"] = plain_loop(network, frames, chosen.plain)
    if find_spec("timm"):
        spec = {
            "encoder": "timm/convnext_nano",
            "pixels": 224,
            "field_of_view": FRAME_WIDTH,
            "head": "softmax",
        }
        nano = GalaxyNetwork(NetworkSpec.model_validate(spec), load_tree("gz2"))
        tasks[NANO] = plain_loop(nano, frames, chosen.convnext)
    tasks["simulating, 128 pixels, one thread"] = partial(simulate, 8 * chosen.simulated, 128)
    tasks["simulating, 424 pixels, one thread"] = partial(simulate, chosen.simulated, 424)
    return tasks


def print_ratios(median: dict[str, float]) -> None:
    """Print each model's speed from files to shards beside the others'."""
    columns = "at most, with decoding", "files to shards, of the network alone", "× plain loop", f"× {NANO}"
    table = common.Table("model", *columns)
    for what, whole in median.items():
        if what.endswith(", files to shards"):
            said = what.removesuffix(", files to shards")
            name, network = said.partition(",")[0], median[f"{said}, network alone"]
            most = 1 / (1 / network + 1 / median[f"{name}, decoding to cutouts"])
            times = whole / median[f"{name}, plain loop"], whole / median.get(NANO, np.nan)
            table.row(said, f"{most / network:.0%}", f"{whole / network:.0%}", *(f"{n:.1f}" for n in times))


def end_to_end(predictor: galvote.Predictor, images: Path) -> Task:
    """Return the whole way from files to shards on the disk."""
    sources = list_sources(images)
    plan = make_plan(predictor, sources, Settings(), PART_SIZE)

    def task() -> int:
        with tempfile.TemporaryDirectory() as out:
            return make_parts(predictor, sources, Parts.begin(Path(out), plan), Settings()).statuses["ok"]

    return task


def network_alone(predictor: galvote.Predictor, frames: Sequence[Path], count: int) -> Task:
    """Return the pipeline over cutouts that are in memory: nothing is decoded, nothing is written."""
    cutouts = [decode_cutout(frame.read_bytes(), predictor.geometry) for frame in frames]

    def predict(batch: Sequence[np.ndarray]) -> int:
        return len(predictor.predict_features(np.stack(batch))[0])

    def task() -> int:
        batches = in_batches(islice(cycle(cutouts), count), 64)
        return sum(run_ahead(batches, lambda cutout: cutout, predict, prefetch=1024))

    return task


def decode_frame(data: bytes) -> np.ndarray:
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))


def cut_whole(data: bytes, geometry: Geometry) -> np.ndarray:
    return to_cutout(decode_image(data), geometry)


def decoding(decode: Callable[[bytes], object], frames: Sequence[Path], count: int, threads: int) -> Task:
    """Return the decoding of files, 64 of them at a time in each thread."""

    def some(paths: Sequence[Path]) -> int:
        return len([decode(path.read_bytes()) for path in paths])

    def task() -> int:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(some, in_batches(islice(cycle(frames), count), 64)))

    return task


def plain_loop(network: GalaxyNetwork, frames: Sequence[Path], count: int) -> Task:
    """Return a network as a notebook has it: Pillow, float32, one batch after the other."""
    network.eval()
    pixels, shown = network.spec.pixels, FRAME * network.spec.field_of_view / FRAME_WIDTH
    box = ((FRAME - shown) / 2, (FRAME - shown) / 2, (FRAME + shown) / 2, (FRAME + shown) / 2)

    def read(path: Path) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        return np.array(image.resize((pixels, pixels), Image.Resampling.BILINEAR, box=box))

    @torch.no_grad()
    def task() -> int:
        batches = in_batches(islice(cycle(frames), count), BATCH)
        return sum(len(network(torch.from_numpy(np.stack([*map(read, paths)])))) for paths in batches)

    return task


def simulate(count: int, pixels: int) -> int:
    """Draw galaxies, JPEG and tables written."""
    with tempfile.TemporaryDirectory() as folder:
        write_galaxies(Path(folder), simulate_galaxies(count, pixels=pixels))
    return count


if __name__ == "__main__":
    main()
