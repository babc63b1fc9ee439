"""Whether one model is better than another on the validation split, or only luckier.

    python benchmarks/paired.py --data ../shared/galaxyzoo --store store --models runs/base/last galvote-base

RMSE of each model, and its difference from the last one that is named. All are scored on the same galaxies,
and the interval of a difference draws the same galaxies of both, so that what makes a galaxy hard for both
does not count. It is over galaxies drawn again, and does not hold what another seed would change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import galvote
from validation import galaxy_errors, interval, load_galaxies, rmse


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--store", type=Path, required=True, help="packed store of all galaxies")
    parser.add_argument("--models", nargs="+", required=True, help="names or folders, the reference last")
    parser.add_argument("--tta", type=int, default=1, help="averaged for each galaxy")
    chosen = parser.parse_args()

    galaxies = load_galaxies(chosen.store, chosen.data / "training_solutions.csv", chosen.data / "splits.csv")
    errors = {
        name: galaxy_errors(
            galvote.load(name).predict_cutouts(galaxies.cutouts, tta=chosen.views).fractions, galaxies.actual
        )
        for name in chosen.models
    }
    reference = chosen.models[-1]
    print(f"{len(galaxies.ids)} galaxies of the validation split, views: {chosen.views}")
    print(f"| model | RMSE | 95 % | against `{reference}` | 95 % |")
    print("|---|---|---|---|---|")
    for name, own in errors.items():
        low, high = interval(own)
        against = "| | |"
        if name != reference:
            less, more = interval(own, errors[reference])
            against = f"| {rmse(own) - rmse(errors[reference]):+.4f} | {less:+.4f} to {more:+.4f} |"
        print(f"| `{name}` | {rmse(own):.4f} | {low:.4f} to {high:.4f} {against}")


if __name__ == "__main__":
    main()
