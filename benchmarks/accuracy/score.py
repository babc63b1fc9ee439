"""Scores of models on the validation split, and whether one is better than another or only luckier.

    python -m benchmarks.accuracy.score --data DATA --store STORE --models galvote-base runs/base/last
    python -m benchmarks.accuracy.score --data DATA --store STORE --models galvote-base --tta 1 2 4 8 --rotate

RMSE of each model with each `--tta`, and its difference from the first line. All are scored on the same
galaxies, and the interval of a difference draws the same galaxies of both. It does not hold what another seed
would change.

`--rotate` adds galaxies a second, on one thread, and the mean absolute change of a predicted fraction, over
galaxies and columns, when the cutout is rotated about its centre by a random angle before it is predicted:
mean and standard deviation over three draws of the angles, the same for each line. The rotation resamples the
cutout and mirrors it beyond its edge, as test-time augmentation does.

`--originals` adds a line of the 424-pixel JPEGs decoded whole and one of those decoded at a reduced size, as
`galvote predict` does; the second is compared with the first, and its largest and mean change of a fraction.
"""

import numpy as np

import galvote
from benchmarks import common
from galvote.images import View, decode_cutout, decode_image, to_cutout, warp_cutout

DRAWS = 3


def main() -> None:
    options = common.parser(__doc__, "--data", "--store", "--models")
    options.add_argument("--tta", nargs="+", type=int, default=[1])
    options.add_argument("--rotate", action="store_true", help="also speed and change when rotated")
    options.add_argument("--originals", action="store_true", help="also from images_training/")
    chosen = options.parse_args()
    galaxies = common.load_galaxies(chosen.data, chosen.store)
    rotated = [rotate(galaxies.cutouts, np.random.default_rng(seed)) for seed in range(DRAWS * chosen.rotate)]
    common.print_heading(f"{len(galaxies.ids)} galaxies")
    more = " | galaxies/s, one thread | change when rotated" if chosen.rotate else ""
    table = common.Table(f"model | tta | RMSE | 95 % | against the first | 95 %{more}")
    first: np.ndarray | None = None
    for model in chosen.models:
        predictor = galvote.load(model)
        for tta in chosen.tta:
            predicted = predictor.predict_features(galaxies.cutouts, tta)[0]
            errors = galaxies.errors(predicted)
            against = ("", "") if first is None else common.describe_difference(errors, first)
            first = errors if first is None else first
            cells = list[str]()
            if chosen.rotate:
                # A few galaxies take long enough to time when each is predicted often.
                few = galaxies.cutouts[: max(64, len(galaxies.cutouts) // tta)]
                cells.append(f"{common.galaxies_per_second(predictor, few, tta=tta, rounds=3):,.0f}")
                others = [predictor.predict_features(cutouts, tta)[0] for cutouts in rotated]
                cells.append(common.mean_of([float(np.abs(other - predicted).mean()) for other in others]))
            table.row(f"`{model}`", tta, *common.describe_score(errors), *against, *cells)
        if chosen.originals:
            files = [(chosen.data / f"images_training/{name}.jpg").read_bytes() for name in galaxies.ids]
            geometry = predictor.geometry
            whole_cutouts = np.stack([to_cutout(decode_image(file), geometry) for file in files])
            reduced_cutouts = np.stack([decode_cutout(file, geometry) for file in files])
            whole, reduced = (predictor.predict_features(one)[0] for one in (whole_cutouts, reduced_cutouts))
            errors, change = galaxies.errors(reduced), np.abs(reduced - whole)
            against = common.describe_difference(errors, galaxies.errors(whole), digits=5)
            table.row(f"`{model}`, whole", 1, *common.describe_score(galaxies.errors(whole)), "", "")
            table.row(f"`{model}`, reduced", 1, *common.describe_score(errors), *against)
            print(f"Change of a fraction: mean {change.mean():.4f}, largest {change.max():.3f}")


def rotate(cutouts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angles = random.uniform(0, 360, len(cutouts)).tolist()
    pairs = zip(cutouts, angles, strict=True)
    return np.stack([warp_cutout(cutout, View(angle=angle), len(cutout)) for cutout, angle in pairs])


if __name__ == "__main__":
    main()
