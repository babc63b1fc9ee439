"""Write models in 8-bit integers, and say whether they are as good as in float32, and how fast.

    python -m benchmarks.accuracy.quantise --data DATA --store STORE --models galvote-small galvote-base

Ranges are measured on 512 training galaxies; the rest is of the validation split: RMSE may rise by 0.0003,
the intervals' coverage change by 0.005 and a fraction by 0.05. Speed is that from decoded cutouts to
fractions on one thread, in turns, in processor time. The graphs are left where they are, and a model that
fails is named at the end.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

import galvote
from benchmarks import common
from galvote.inference.quantise import quantise

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
        models = {backend: galvote.load(name, backend) for backend in BACKENDS}
        said = {backend: model.predict_cutouts(galaxies.cutouts) for backend, model in models.items()}
        tasks: dict[str, Callable[[], int]] = {
            backend: partial(predict, model, galaxies.cutouts[:256]) for backend, model in models.items()
        }
        speeds = common.measure_rates(tasks, chosen.rounds, time.process_time)
        scores = {}
        for backend, one in said.items():
            held = np.nan
            if one.low is not None and one.high is not None:
                held = ((one.low <= galaxies.actual) & (galaxies.actual <= one.high)).mean()
            change = np.abs(one.fractions - said[BACKENDS[0]].fractions).max()
            scores[backend] = np.array([common.rmse(galaxies.errors(one.fractions)), held, change])
            rmse, held, change = scores[backend]
            table.row(
                f"`{name}`", models[backend].backend.name, f"{rmse:.5f}", f"{held:.4f}", f"{change:.3f}",
                common.spread(speeds[backend]),
            )  # fmt: skip
        rise, shift, change = scores[BACKENDS[1]] - scores[BACKENDS[0]]
        if rise > RMSE or abs(shift) > COVERAGE or change > CHANGE:
            failed.append(name)
    if failed:
        raise SystemExit(f"Not as good as in float32: {', '.join(failed)}; remove network-int8.onnx there.")


def predict(model: galvote.Predictor, cutouts: np.ndarray) -> int:
    return len(model.predict_features(cutouts)[0])


if __name__ == "__main__":
    main()
