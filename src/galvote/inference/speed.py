"""Which backend is the fastest on this machine: measured once, and kept in the user's cache folder."""

import hashlib
import json
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from galvote.errors import OutputError
from galvote.inference.backends import Backend, installed_backends
from galvote.inference.cores import one_core_each
from galvote.inference.folders import open_folder
from galvote.io.atomic import write_whole
from galvote.models import find_model

_IMAGES, _RUNS = 32, 3


def measure_speeds(*, anew: bool = False) -> dict[str, float]:
    """Return how many galaxies a second each installed backend computes on one core, of galvote-small.

    They are measured once, or `anew`.
    """
    names = installed_backends()
    path = user_cache_path("galvote") / f"speed-{_describe_machine(names)}.json"
    if not anew:
        with suppress(OSError, ValueError, TypeError):
            known = {str(name): float(speed) for name, speed in json.loads(path.read_bytes()).items()}
            if known.keys() == set(names):
                return known
    speeds = {name: _measure(name) for name in names}
    with suppress(OutputError):  # a home that cannot be written to
        write_whole(path, json.dumps(speeds, indent=1) + "\n", unique=True)
    return speeds


def fastest_backend(without: tuple[str, ...] = ()) -> str:
    """Return the fastest installed backend; nothing is measured where there is only one."""
    names = [name for name in installed_backends() if name not in without]
    if len(names) < 2:
        return (names or ["onnx"])[0]
    speeds = measure_speeds()
    best = max(names, key=lambda name: speeds[name])
    # ONNX Runtime starts the soonest, so another has to be clearly faster.
    return "onnx" if "onnx" in names and speeds[best] < 1.15 * speeds["onnx"] else best


def _measure(name: str) -> float:
    opened = open_folder(find_model("galvote-small"), name)
    side = opened.card.network.pixels
    images = np.random.default_rng(0).integers(0, 256, (_IMAGES, side, side, 3), np.uint8)
    return _IMAGES / min(_time(opened.backend, images) for _ in range(_RUNS + 1))


def _time(backend: Backend, images: np.ndarray) -> float:
    with one_core_each() as begin:
        begin()
        began = time.perf_counter()
        backend.compute(images)
        return time.perf_counter() - began


def _describe_machine(backends: list[str]) -> str:
    """Return a digest of the processor and of what computes on it."""
    versions = dict[str, str]()
    for package in ("galvote", "onnxruntime", "openvino", "torch"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    try:
        processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    except OSError:
        processor = [platform.processor()]
    text = json.dumps([platform.machine(), processor[:1], versions, backends])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
