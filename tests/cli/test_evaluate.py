"""`galvote evaluate`, run as a user runs it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from galvote.cli import main
from galvote.io import write_table
from galvote.trees import load_tree, to_cumulative

GZ2 = load_tree("gz2")


class Ran(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def evaluate(monkeypatch, capfd) -> Callable[..., Ran]:
    """Run the command line in this process, which saves the time of importing numpy each time."""

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["galvote", "evaluate", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ran(int(ended.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture
def scores_of(evaluate) -> Callable[..., dict]:
    def read(*arguments: str | Path) -> dict:
        ran = evaluate(*arguments, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return read


def draw_fractions(rng: np.random.Generator, galaxies: int) -> np.ndarray:
    questions = [rng.dirichlet(np.ones(len(question.answers)), size=galaxies) for question in GZ2.questions]
    return to_cumulative(GZ2, np.concatenate(questions, axis=1))


def write(
    path: Path, ids: list[str], fractions: np.ndarray, id_column: str = "GalaxyID", **more: list
) -> Path:
    columns = {name: fractions[:, i] for i, name in enumerate(GZ2.columns) if name not in more}
    write_table(pa.table({id_column: ids, **columns, **more}), path)
    return path


@pytest.fixture
def galaxies(tmp_path):
    """Twelve galaxies with votes, ids 1 to 12; predictions 0.1 away from them."""
    rng = np.random.default_rng(2)
    actual = draw_fractions(rng, 12)
    ids = [str(i) for i in range(1, 13)]
    other = draw_fractions(rng, 12)
    predicted = 0.7 * actual + 0.3 * other
    write(tmp_path / "votes.csv", ids, actual)
    write(tmp_path / "predictions.csv", ids, predicted)
    return tmp_path, ids, predicted, actual


def test_json_has_the_promised_members(scores_of, galaxies):
    folder, _, predicted, actual = galaxies
    found = scores_of("--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv")
    rmse = np.sqrt(np.mean((predicted - actual) ** 2))
    assert found["rmse"] == pytest.approx(rmse)
    assert found["rmse_interval"][0] < rmse < found["rmse_interval"][1]
    assert (found["galaxies"], found["columns_scored"]) == (12, 37)
    assert list(found["questions"]) == [question.name for question in GZ2.questions]
    assert found["questions"]["edge_on"].keys() == {"rmse", "mean_predictor_rmse", "columns"}
    assert found["questions"]["edge_on"]["columns"] == ["Class2.1", "Class2.2"]
    assert tuple(found["columns"]) == GZ2.columns
    assert found["baselines"]["mean_from"] == "scored"
    assert found["baselines"]["zeros"] == pytest.approx(np.sqrt(np.mean(actual**2)))
    assert found["baselines"]["ones"] == pytest.approx(np.sqrt(np.mean((1 - actual) ** 2)))
    assert found["tree_violations"]["galaxies"] == 0
    assert set(found["left_out"].values()) == {0}
    assert "coverage" not in found


@pytest.mark.parametrize(("ending", "id_column"), [(".parquet", "id"), (".fits", "GalaxyId"), (".vot", "id")])
def test_predictions_may_be_in_any_format(scores_of, galaxies, ending, id_column):
    folder, ids, predicted, actual = galaxies
    predictions = write(folder / f"other{ending}", ids[::-1], predicted[::-1], id_column)
    found = scores_of("--predictions", predictions, "--votes", folder / "votes.csv")
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - actual) ** 2)))


def test_the_installed_command_prints_nothing_but_json(galaxies):
    folder, *_ = galaxies
    arguments = ["--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv", "--json"]
    ran = subprocess.run(
        [Path(sys.executable).with_name("galvote"), "evaluate", *arguments], capture_output=True, check=True
    )
    assert json.loads(ran.stdout)["galaxies"] == 12


def test_table_for_people(evaluate, galaxies):
    folder, _, predicted, actual = galaxies
    ran = evaluate("--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv")
    assert ran.returncode == 0, ran.stderr
    assert f"{np.sqrt(np.mean((predicted - actual) ** 2)):.4f}" in ran.stdout
    for said in (
        "mean votes of the scored galaxies",
        "roundness",
        "cigar-shaped",
        "Class11.6",
        "predictions.csv",
    ):
        assert said in ran.stdout


def test_every_galaxy_is_scored_or_counted(evaluate, scores_of, galaxies):
    folder, ids, predicted, actual = galaxies
    predicted = predicted.copy()
    predicted[3, 5] = np.nan
    statuses = ["ok"] * 12
    statuses[4] = "truncated"
    # Galaxy 1 is not predicted, galaxy 99 has no votes.
    predictions = write(folder / "some.parquet", [*ids[1:], "99"], predicted[[*range(1, 12), 0]], "id",
                        status=[*statuses[1:], "ok"])  # fmt: skip
    found = scores_of("--predictions", predictions, "--votes", folder / "votes.csv")
    assert found["galaxies"] == 9
    assert found["left_out"] == {
        "votes_without_prediction": 1,
        "failed_predictions": 1,
        "predictions_not_finite": 1,
        "predictions_without_votes": 1,
        "predictions_with_unknown_votes": 0,
        "predictions_of_other_splits": 0,
    }
    kept = [1, 2, *range(5, 12)]
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - actual)[kept] ** 2)))
    ran = evaluate("--predictions", predictions, "--votes", folder / "votes.csv")
    assert "failed predictions (1)" in ran.stdout


def test_a_split_is_scored_against_the_training_mean(evaluate, scores_of, galaxies):
    folder, ids, predicted, actual = galaxies
    write_table(
        pa.table({"GalaxyID": ids, "split": ["train"] * 8 + ["validation"] * 4}), folder / "splits.csv"
    )
    found = scores_of(
        "--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv",
        "--splits", folder / "splits.csv", "--split", "validation",
    )  # fmt: skip
    assert found["galaxies"] == 4
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - actual)[8:] ** 2)))
    assert found["baselines"]["mean_from"] == "training"
    assert found["baselines"]["mean"] == pytest.approx(
        np.sqrt(np.mean((actual[:8].mean(0) - actual[8:]) ** 2))
    )
    assert found["left_out"]["predictions_of_other_splits"] == 8

    ran = evaluate(
        "--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv",
        "--splits", folder / "splits.csv", "--split", "test",
    )  # fmt: skip
    assert ran.returncode == 2
    assert "train (8), validation (4)" in ran.stderr


def test_columns_that_a_table_of_votes_lacks_are_masked(scores_of, galaxies):
    folder, ids, predicted, actual = galaxies
    wanted = [*GZ2.columns[:3], *GZ2.columns[13:15]]
    places = [GZ2.columns.index(name) for name in wanted]
    rest = {name: actual[6:, place] for name, place in zip(wanted, places, strict=True)}
    write(folder / "full.csv", ids[:6], actual[:6])
    write_table(pa.table({"GalaxyID": ids[6:], **rest}), folder / "partial.csv")
    found = scores_of(
        "--predictions",
        folder / "predictions.csv",
        "--votes",
        folder / "full.csv",
        "--votes",
        folder / "partial.csv",
    )
    squared = (predicted - actual) ** 2
    total = squared[:6].sum() + squared[6:, places].sum()
    assert found["galaxies"] == 12
    assert found["rmse"] == pytest.approx(np.sqrt(total / (6 * 37 + 6 * 5)))
    alone = scores_of("--predictions", folder / "predictions.csv", "--votes", folder / "partial.csv")
    assert list(alone["columns"]) == wanted
    assert alone["questions"]["bar"] == {"rmse": None, "mean_predictor_rmse": None, "columns": []}


def test_coverage_where_intervals_are_predicted(evaluate, scores_of, galaxies):
    folder, ids, predicted, actual = galaxies
    ends = {f"{name}_low": actual[:, i] - 0.1 for i, name in enumerate(GZ2.columns)}
    ends |= {f"{name}_high": actual[:, i] + 0.1 for i, name in enumerate(GZ2.columns)}
    ends["Class6.1_high"] = actual[:, GZ2.columns.index("Class6.1")] - 0.05
    predictions = write(folder / "intervals.parquet", ids, predicted, "id", **ends)
    coverage = scores_of("--predictions", predictions, "--votes", folder / "votes.csv")["coverage"]
    assert coverage["overall"] == pytest.approx(36 / 37)
    assert coverage["questions"]["odd"] == 0.5
    assert coverage["questions"]["bar"] == 1
    assert coverage["level"] is None  # a table does not say
    ran = evaluate("--predictions", predictions, "--votes", folder / "votes.csv")
    assert "in interval" in ran.stdout


def test_report_has_the_pictures(evaluate, galaxies):
    folder, ids, *_ = galaxies
    (folder / "images").mkdir()
    for name in ids[:-1]:
        Image.new("RGB", (128, 128), (int(name) * 9, 40, 90)).save(folder / "images" / f"{name}.png")
    (folder / "images" / f"{ids[-1]}.png").write_bytes(b"no picture")
    arguments = (
        "--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv",
        "--images", folder / "images", "--report", folder / "report", "--json",
    )  # fmt: skip
    ran = evaluate(*arguments)
    assert ran.returncode == 0, ran.stderr
    json.loads(ran.stdout)
    html = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 11
    assert "predictions.csv" in html

    again = evaluate(*arguments)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert again.stdout == ""
    assert evaluate(*arguments, "--overwrite").returncode == 0


def test_no_common_galaxy_shows_ids_of_both_sides(evaluate, galaxies):
    folder, _, predicted, _ = galaxies
    predictions = write(folder / "strangers.csv", [f"J{i}" for i in range(12)], predicted)
    ran = evaluate("--predictions", predictions, "--votes", folder / "votes.csv", "--json")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "1, 2, 3" in ran.stderr and "J0, J1, J2" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_predictions_that_repeat_a_galaxy_are_refused(evaluate, galaxies):
    folder, ids, predicted, _ = galaxies
    predictions = write(folder / "twice.csv", [*ids[:-1], ids[0]], predicted)
    ran = evaluate("--predictions", predictions, "--votes", folder / "votes.csv")
    assert ran.returncode == 2
    assert "more than once" in ran.stderr


def test_predictions_without_a_column_are_refused(evaluate, galaxies):
    folder, ids, predicted, _ = galaxies
    table = pa.table({"id": ids, **{name: predicted[:, i] for i, name in enumerate(GZ2.columns[:36])}})
    write_table(table, folder / "short.csv")
    ran = evaluate("--predictions", folder / "short.csv", "--votes", folder / "votes.csv")
    assert ran.returncode == 2
    assert "Class11.6" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either --predictions"),
        (("--predictions", "p.csv", "--model", "small"), "either --predictions"),
        (("--model", "small"), "needs --images"),
        (("--predictions", "p.csv", "--split", "train"), "go together"),
    ],
)
def test_options_that_do_not_go_together(evaluate, arguments, said):
    ran = evaluate("--votes", "votes.csv", *arguments)
    assert ran.returncode == 2
    assert said in " ".join(ran.stderr.replace("│", " ").split())
