"""How many simulated galaxies a second one core draws, votes included, JPEG and tables written.

Everything runs in one thread. Galaxies per second of processor time say what a free core would do; those per
second of the clock say what this machine did beside its other work. Run with
`python benchmarks/simulate_speed.py`.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import cv2

from galvote.simulate import simulate_galaxies, write_galaxies


def galaxies_per_second(count: int, pixels: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        clock, processor = time.perf_counter(), time.process_time()
        write_galaxies(Path(folder), simulate_galaxies(count, pixels=pixels))
        return count / (time.process_time() - processor), count / (time.perf_counter() - clock)


def main() -> None:
    cv2.setNumThreads(1)
    for count, pixels in ((500, 128), (60, 424)):
        galaxies_per_second(5, pixels)
        processor, clock = zip(*(galaxies_per_second(count, pixels) for _ in range(5)), strict=True)
        print(
            f"{pixels} px: {median(processor):.0f} galaxies per second of processor time, "
            f"{median(clock):.0f} by the clock (median of 5 runs of {count} galaxies)"
        )


if __name__ == "__main__":
    main()
