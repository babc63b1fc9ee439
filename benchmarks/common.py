"""What benchmarks share: options, the machine, galaxies of the validation split, timing, tables.

Run each from the repository's root, as ``python -m benchmarks.speed.survey --help``.
"""

import argparse
import os
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

import galvote
from galvote.images import PackedStore
from galvote.labels import read_labels, read_votes
from galvote.metrics import column_means, squared_errors

GALVOTE = (sys.executable, "-m", "galvote")
COLOURS = ("#0b5394", "#d9822b", "#2a9d8f", "#b23a6e", "#7a5cc0", "#6b7280")
FIRST_SHARD, SHARDS = "shard-000000.parquet", "shard-*.parquet"
DRAWS = 2000

_OPTIONS: dict[str, dict[str, Any]] = {
    "--data": {"type": Path, "required": True, "help": "folder with the challenge's tables and images"},
    "--rings": {"type": Path, "required": True, "help": "folder with images and labels.csv: rings of DECaLS"},
    "--gz1": {"type": Path, "required": True, "help": "the same of Galaxy Zoo 1"},
    "--frames": {"type": Path, "metavar": "DATA", "help": "use its images_training/; else simulate some"},
    "--store": {"type": Path, "required": True, "help": "packed store of all galaxies"},
    "--runs": {"type": Path, "required": True, "help": "where runs are kept"},
    "--seeds": {"type": int, "nargs": "+", "default": [0]},
    "--model": {"default": "galvote-base", "help": "name of a shipped model, or a folder"},
    "--models": {"nargs": "+", "default": ["galvote-small", "galvote-base"], "help": "names or folders"},
    "--rounds": {"type": int, "default": 5},
    "--figure": {"type": Path, "metavar": "PNG", "help": "draw it here, in place of what is there"},
}


def parser(text: str | None, *options: str) -> argparse.ArgumentParser:
    """Return a parser that has some of the options that benchmarks share."""
    # In the background of a script it ignores Ctrl-C, and so would the commands that it stops with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in options:
        made.add_argument(option, **_OPTIONS[option])
    return made


def print_heading(*remarks: str) -> None:
    """Print the command, the machine and the date."""
    command = shlex.join(["python", *sys.orig_argv[1:]])
    print(f"`{command}`: {'; '.join([*remarks, describe_machine(), str(date.today())])}", flush=True)


class Table:
    """A table in Markdown, each row printed when it is known."""

    def __init__(self, columns: str) -> None:
        print(f"\n| {columns} |\n|{'---|' * (1 + columns.count('|'))}", flush=True)

    def row(self, *cells: object) -> None:
        """Print a row."""
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def describe_machine() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores()} cores"


# Timing and memory.


def measure_rates(
    tasks: Mapping[str, Callable[[], int]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Run each task once a round, in turns; return how many of what it counts it did a second of a clock."""
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            began = clock()
            rates[name].append(task() / (clock() - began))
    return rates


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return ``median (lowest to highest)``."""
    middle, low, high = (f"{of(values):,.{digits}f}" for of in (statistics.median, min, max))
    return f"{middle} ({low} to {high})"


def mean_of(scores: Sequence[float]) -> str:
    """Return ``mean ± standard deviation``; of one number, that."""
    beside = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.4f}{beside}"


def predicting(predictor: galvote.Predictor, cutouts: np.ndarray, tta: int = 1) -> Callable[[], int]:
    """Return a task, as `measure_rates` takes them: cutouts to vote fractions."""
    return lambda: len(predictor.predict_features(cutouts, tta)[0])


def fastest(task: Callable[[], int], rounds: int) -> float:
    """Return a task's rate in the fastest round, since other work can only slow one down."""
    return max(measure_rates({"": task}, rounds)[""])


def galaxies_per_second(
    predictor: galvote.Predictor, cutouts: np.ndarray, *, tta: int = 1, threads: int = 1, rounds: int = 5
) -> float:
    """Time cutouts to vote fractions."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    predicting(predictor, cutouts[:64], tta)()
    found = fastest(predicting(predictor, cutouts, tta), rounds)
    torch.set_num_threads(before)
    return found


def memory(process: int, kind: str = "VmRSS") -> float:
    """Return the resident memory of a process in MiB: ``VmRSS`` now, ``VmHWM`` at its most so far."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition(kind + ":")[2].split()[0]) / 1024


def peak_memory(process: subprocess.Popen[Any]) -> float:
    """Wait for a process; return its largest resident memory in MiB, but for its last moment's."""
    peak = 0.0
    while process.poll() is None:
        with suppress(OSError, IndexError):
            peak = memory(process.pid, "VmHWM")
        time.sleep(0.01)
    return peak


def mark_sizes(axes: Axes, sizes: Sequence[int]) -> None:
    """Give numbers of galaxies a logarithmic axis."""
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()


# Images.


@contextmanager
def some_frames(data: Path | None, count: int = 300) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder that is removed afterwards, and 424-pixel JPEGs of the challenge, or simulated there."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if data is None:
            data = folder / "simulated"
            subprocess.run(
                [*GALVOTE, "simulate", f"--count={count}", "--pixels=424", "--out", data], check=True
            )
        yield folder, sorted((data / "images_training").glob("*.jpg"))[:count]


def frames_of(data: Path, split: str, count: int, splits: Path | None = None) -> list[Path]:
    """Return the first 424-pixel JPEGs of a split."""
    split_of = read_labels(splits or data / "splits.csv", "split")
    files = sorted((data / "images_training").glob("*.jpg"))
    return [file for file in files if split_of.get(file.stem) == split][:count]


def link(frames: Iterable[Path], count: int, folder: Path) -> Path:
    """Link images under this many names in a new folder."""
    folder.mkdir()
    for number, frame in enumerate(islice(cycle(frames), count)):
        (folder / f"{1_000_000 + number}.jpg").symlink_to(frame.resolve())
    return folder


# Galaxies of the validation split, and how much of a score, or of a difference between two, is luck.


@dataclass(frozen=True)
class Galaxies:
    """Galaxies of the split ``validation`` that have votes in every column.

    Parameters
    ----------
    cutouts
        uint8, (galaxy, y, x, RGB), of one geometry.
    actual
        The volunteers' cumulative fractions, (galaxy, answer).
    mean
        Mean votes of the training galaxies: what the mean predictor says.
    store, training
        Where all cutouts are, and the rows of training galaxies there.
    """

    ids: tuple[str, ...]
    cutouts: np.ndarray
    actual: np.ndarray
    mean: np.ndarray
    store: PackedStore
    training: list[int]

    def errors(self, predicted: np.ndarray) -> np.ndarray:
        """Return each galaxy's mean squared error, (galaxy,)."""
        return np.asarray(squared_errors(predicted, self.actual).mean(axis=1))

    def errors_of(self, model: str | Path, tta: int = 1) -> np.ndarray:
        """Return the errors of a model's predictions."""
        return self.errors(galvote.load(model).predict_features(self.cutouts, tta)[0])

    def draw_training(self, count: int) -> np.ndarray:
        """Return cutouts of some training galaxies."""
        rows = np.random.default_rng(0).choice(self.training, min(count, len(self.training)), replace=False)
        return np.asarray(self.store.cutouts[np.sort(rows)])

    @property
    def mean_errors(self) -> np.ndarray:
        """The mean predictor's errors."""
        return self.errors(np.broadcast_to(self.mean, self.actual.shape))


def load_galaxies(data: Path, store: Path, splits: Path | None = None) -> Galaxies:
    """Read galaxies and votes, by the challenge's own splits if no others are given."""
    packed, votes = PackedStore.open(store), read_votes(data / "training_solutions.csv")
    split_of = read_labels(splits or data / "splits.csv", "split")
    if shown := {*packed.ids} & {path.stem for path in galvote.example_images()}:
        raise SystemExit(f"{store} holds {len(shown)} of the example galaxies; pack it without them.")
    split = np.array([split_of.get(galaxy) for galaxy in votes.ids])
    known = votes.select((split == "validation") & votes.complete & np.isin(votes.ids, packed.ids))
    row_of = {galaxy: row for row, galaxy in enumerate(packed.ids)}
    return Galaxies(
        known.ids,
        np.asarray(packed.cutouts[[row_of[galaxy] for galaxy in known.ids]]),
        known.fractions.astype(np.float64),
        column_means(votes.fractions[split == "train"]),
        packed,
        [row for galaxy, row in row_of.items() if split_of.get(galaxy) == "train"],
    )


def rmse(errors: np.ndarray) -> float:
    """Return the RMSE of one prediction, (galaxy,), or the mean RMSE of several, (prediction, galaxy)."""
    return float(np.sqrt(errors.mean(axis=-1)).mean())


def interval(errors: np.ndarray, reference: np.ndarray | None = None) -> tuple[float, float]:
    """Return the central 95 % of `rmse`, or of its difference from a reference, over galaxies drawn again.

    Each draw takes the same galaxies of both, so that what makes a galaxy hard for both does not count.
    """
    galaxies = errors.shape[-1]
    random = np.random.default_rng(0)
    times = random.multinomial(galaxies, np.full(galaxies, 1 / galaxies), size=DRAWS).T / galaxies
    drawn = np.sqrt(np.atleast_2d(errors) @ times).mean(axis=0)
    if reference is not None:
        drawn = drawn - np.sqrt(np.atleast_2d(reference) @ times).mean(axis=0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def describe_score(errors: np.ndarray) -> tuple[str, str]:
    """Return RMSE and interval in words."""
    low, high = interval(errors)
    return f"{rmse(errors):.4f}", f"{low:.4f} to {high:.4f}"


def describe_difference(errors: np.ndarray, reference: np.ndarray, digits: int = 4) -> tuple[str, str]:
    """Return how much higher an RMSE is than another of the same galaxies, and the interval of that."""
    low, high = interval(errors, reference)
    difference = rmse(errors) - rmse(reference)
    return f"{difference:+.{digits}f}", f"{low:+.{digits}f} to {high:+.{digits}f}"
