"""What a recipe's first line says of its score is what the table of scores says."""

import csv
import statistics
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def scores_in_one_view() -> dict[str, list[float]]:
    scores = defaultdict(list)
    with (ROOT / "benchmarks" / "accuracy" / "scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["tta"] == "1":
                scores[row["recipe"]].append(float(row["rmse"]))
    return dict(scores)


@pytest.mark.parametrize(("recipe", "scores"), scores_in_one_view().items())
def test_a_recipe_begins_with_its_score(recipe: str, scores: list[float]):
    text = (files("galvote.recipes") / f"{recipe}.toml").read_text()
    head = text.partition("description =")[0]
    spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
    assert head.startswith(f"# RMSE {statistics.mean(scores):.4f}{spread} on the validation split")
    assert f"({len(scores)} seed{'s' if spread else ''}" in head
