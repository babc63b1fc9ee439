"""Write models in 8-bit integers, and say whether they are as good as in float32, and how fast.

    python -m benchmarks.accuracy.quantise --data DATA --store STORE --models galvote-small galvote-base

Ranges are measured on 512 training galaxies; the rest is of the validation split: RMSE may rise by 0.0003,
the intervals' coverage change by 0.005 and a fraction by 0.05. Speed is that from decoded cutouts to
fractions on one thread, in turns, in processor time. The graphs are left where they are, and a model that
fails is named at the end.
"""

import time

import numpy as np

import galvote
from benchmarks import common
from galvote.inference.quantise import quantise
from galvote.metrics import Comparison, score

GALAXIES = 512
RMSE, COVERAGE, CHANGE = 0.0003, 0.005, 0.05
BACKENDS = "onnx-float32", "onnx"


def main() -> None:
    chosen = common.parser(__doc__, "--data", "--store", "--models", "--rounds").parse_args()
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    training = galaxies.draw_training(GALAXIES)
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    columns = "RMSE | coverage | largest change | galaxies per CPU second"
    table, failed = common.Table(f"model | backend | {columns}"), list[str]()
    for name in chosen.models:
        quantise(name, training, overwrite=True)
        models = [galvote.load(name, backend) for backend in BACKENDS]
        tasks = {one.backend.name: common.predicting(one, galaxies.cutouts[:256]) for one in models}
        speeds = common.measure_rates(tasks, chosen.rounds, time.process_time)
        exact = models[0].predict_cutouts(galaxies.cutouts)
        rows = []
        for model in models:
            said = model.predict_cutouts(galaxies.cutouts)
            scores = score(Comparison(model.tree, said.fractions, galaxies.actual, None, said.low, said.high))
            coverage = scores.get("coverage", {"overall": np.nan})["overall"]
            rows.append((scores["rmse"], coverage, np.abs(said.fractions - exact.fractions).max()))
            cells = (f"{number:.{digits}f}" for number, digits in zip(rows[-1], (5, 4, 3), strict=True))
            table.row(f"`{name}`", model.backend.name, *cells, common.spread(speeds[model.backend.name]))
        rise, shift, change = np.subtract(rows[1], rows[0])
        if rise > RMSE or abs(shift) > COVERAGE or change > CHANGE:
            failed.append(name)
    if failed:
        raise SystemExit(f"Not as good as in float32: {', '.join(failed)}; remove network-int8.onnx there.")


if __name__ == "__main__":
    main()
