"""Where the time goes from JPEGs of 424 × 424 pixels to rows in a Parquet file, on one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.stages --frames DATA [--models NAME] [--backend onnx]

Each stage is what `galvote predict` calls, done for a batch of 64 galaxies after the stage before it; its
processor time is that of a galaxy in the median batch. Written are 4,096 rows at once, as in a shard.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import galvote
from benchmarks import common
from galvote.images import View, decode_image, network_input, to_cutout
from galvote.images.geometry import FRAME_WIDTH
from galvote.images.scale import measure
from galvote.inference import SHARD_SIZE
from galvote.inference.pipeline import BATCH, in_batches
from galvote.inference.prediction import make_prediction
from galvote.io import write_table

MEASURE = "measure r90, with `--scale auto`"


def main() -> None:
    options = common.parser(__doc__, "--frames", "--models", "--rounds")
    options.add_argument("--backend", default="onnx")
    chosen = options.parse_args()
    predictors = [galvote.load(name, chosen.backend) for name in chosen.models]
    with common.some_frames(chosen.frames, 4 * BATCH) as (folder, frames):
        found = [time_stages(one, frames, chosen.rounds, folder) for one in predictors]
    common.print_heading(f"{len(frames)} galaxies", *(one.computed_by for one in predictors))
    table = common.Table(f"µs a galaxy | {' | '.join(f'`{name}`' for name in chosen.models)}")
    for stage in found[0]:
        table.row(stage, *(f"{spent[stage]:,.0f}" for spent in found))
    table.row("all, without measuring", *(f"{sum(s.values()) - s[MEASURE]:,.0f}" for s in found))


def time_stages(
    predictor: galvote.Predictor, frames: Sequence[Path], rounds: int, folder: Path
) -> dict[str, float]:
    """Return the microseconds that a galaxy takes in each stage."""
    spent: dict[str, list[float]] = {}
    geometry, seen = predictor.geometry, predictor.card.network.geometry
    side = decode_image(frames[0].read_bytes()).shape[0]
    reduced = partial(decode_image, reduction=geometry.field_of_view / FRAME_WIDTH * side / geometry.pixels)

    def timed(stage: str, run: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        made = run(*arguments)
        spent.setdefault(stage, []).append((time.process_time() - began) / BATCH * 1e6)
        return made

    def each(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]

    for _ in range(1 + rounds):
        for batch in in_batches(frames, BATCH):
            files = timed("read", each, Path.read_bytes, batch)
            whole = timed("decode", each, reduced, files)
            timed(MEASURE, measure, whole)
            cutouts = np.stack(timed("cut out", each, partial(to_cutout, geometry=geometry), whole))
            images = timed("warp", network_input, cutouts, [View()] * len(cutouts), geometry, seen)
            fractions, features = timed("network", predictor.backend.compute, images)
            known = predictor.tree, predictor.calibration, cutouts
            prediction = timed("calibration", make_prediction, *known, fractions, features)
            rows = timed("rows", prediction.to_arrow)
        rows = pa.concat_tables([rows] * (SHARD_SIZE // BATCH))
        timed("write", partial(write_table, overwrite=True), rows, folder / "rows.parquet")
        spent["write"][-1] *= BATCH / SHARD_SIZE
    # The first round warms up.
    return {stage: statistics.median(times[len(times) // (1 + rounds) :]) for stage, times in spent.items()}


if __name__ == "__main__":
    main()
