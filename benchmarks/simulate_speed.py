"""How many simulated galaxies a second one core draws, votes included, JPEG and tables written.

Run with `python benchmarks/simulate_speed.py`.
"""

import os
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2

from galvote.images.simulate import simulate_galaxies, write_galaxies


def galaxies_per_second(count: int, pixels: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_galaxies(Path(folder), simulate_galaxies(count, pixels=pixels))
        return count / (time.perf_counter() - start)


def main() -> None:
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for count, pixels in ((500, 128), (60, 424)):
        galaxies_per_second(5, pixels)
        speeds = sorted(galaxies_per_second(count, pixels) for _ in range(5))
        print(
            f"{pixels} px: {speeds[2]:.0f} galaxies/s on one core "
            f"(median of 5 runs of {count}; {speeds[0]:.0f} to {speeds[-1]:.0f})"
        )


if __name__ == "__main__":
    main()
