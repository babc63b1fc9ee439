"""Scores of predictions and of models: `galvote evaluate`, and `galvote.evaluate` behind it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

import galvote
from galvote.errors import CatalogueError, GalvoteError, TreeError
from galvote.io import write_table
from galvote.labels import read_votes
from galvote.metrics import METRICS, Comparison, register_metric
from galvote.models import GalaxyNetwork, load_card, save_model
from galvote.report import plot_curves
from galvote.trees import load_tree, to_cumulative

GZ2 = load_tree("gz2")
DUST = """
name = "dust"
[[questions]]
name = "dusty"
text = "Is there dust?"
answers = [{ name = "dusty", leads_to = "lanes" }, { name = "clean" }]
[[questions]]
name = "lanes"
text = "How many lanes?"
answers = [{ name = "one_lane" }, { name = "more_lanes" }]
"""


def draw_fractions(rng: np.random.Generator, galaxies: int) -> np.ndarray:
    questions = [rng.dirichlet(np.ones(len(question.answers)), size=galaxies) for question in GZ2.questions]
    return to_cumulative(GZ2, np.concatenate(questions, axis=1))


def write(
    path: Path, ids: list[str], fractions: np.ndarray, id_column: str = "GalaxyID", tree=GZ2, **more: list
) -> Path:
    columns = {name: fractions[:, i] for i, name in enumerate(tree.columns) if name not in more}
    write_table(pa.table({id_column: ids, **columns, **more}), path)
    return path


def dust_tree(folder: Path):
    (folder / "dust.toml").write_text(DUST, encoding="utf-8")
    return load_tree(folder / "dust.toml")


def rmse(predicted: np.ndarray, actual: np.ndarray) -> object:
    return pytest.approx(np.sqrt(np.mean((predicted - actual) ** 2)), rel=1e-5)


@pytest.fixture
def galaxies(tmp_path):
    """Twelve galaxies with votes, ids 1 to 12; predictions 0.1 away from them."""
    rng = np.random.default_rng(2)
    actual = draw_fractions(rng, 12)
    ids = [str(i) for i in range(1, 13)]
    predicted = 0.7 * actual + 0.3 * draw_fractions(rng, 12)
    write(tmp_path / "votes.csv", ids, actual)
    write(tmp_path / "predictions.csv", ids, predicted)
    return tmp_path, ids, predicted, actual


@pytest.fixture
def arguments(galaxies):
    folder, *_ = galaxies
    return "evaluate", "--predictions", folder / "predictions.csv", "--votes", folder / "votes.csv"


def test_json_has_the_promised_members(command, arguments, galaxies, monkeypatch):
    monkeypatch.setattr("galvote.metrics.registry.METRICS", METRICS.copy())

    @register_metric("largest_error")  # one from outside
    def largest_error(compared: Comparison) -> float:
        return float(np.nanmax(np.abs(compared.predicted - compared.actual)))

    _, _, predicted, actual = galaxies
    ran = command(*arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    assert "the tree gz2" in ran.stderr
    found = json.loads(ran.stdout)
    assert found["rmse"] == rmse(predicted, actual)
    assert found["rmse_interval"][0] < found["rmse"] < found["rmse_interval"][1]
    assert (found["galaxies"], found["columns_scored"]) == (12, 37)
    assert list(found["questions"]) == [question.name for question in GZ2.questions]
    assert found["questions"]["edge_on"].keys() == {"rmse", "mean_predictor_rmse", "columns"}
    assert tuple(found["columns"]) == GZ2.columns
    assert found["baselines"]["mean_from"] == "scored"
    assert found["baselines"]["zeros"] == rmse(actual, np.zeros_like(actual))
    assert found["tree_violations"]["galaxies"] == 0
    assert set(found["left_out"].values()) == {0}
    assert found["largest_error"] == pytest.approx(np.abs(predicted - actual).max(), rel=1e-5)
    assert found["remarks"] == [] and "coverage" not in found


def test_table_for_people(command, arguments, galaxies):
    _, _, predicted, actual = galaxies
    ran = command(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert f"{np.sqrt(np.mean((predicted - actual) ** 2)):.4f}" in ran.stdout
    words = "mean votes of the scored galaxies", "roundness", "cigar-shaped", "Class11.6", "predictions.csv"
    assert all(said in ran.stdout for said in words)


@pytest.mark.parametrize(
    ("ending", "id_column"), [(".parquet", "id"), (".fits", "GalaxyId"), (".vot", "name")]
)
def test_predictions_may_be_in_any_format(galaxies, ending, id_column):
    folder, ids, predicted, actual = galaxies
    predictions = write(folder / f"other{ending}", ids[::-1], predicted[::-1], id_column)
    read = galvote.evaluate(read_votes(folder / "votes.csv"), predictions=predictions, id_column=id_column)
    assert read.scores["rmse"] == rmse(predicted, actual)


def test_votes_without_ids_are_matched_by_position(galaxies):
    folder, ids, predicted, actual = galaxies
    ra = np.linspace(10, 11, 12)
    predictions = write(folder / "sky.csv", ids, predicted, ra=ra, dec=ra - 20)
    values = {name: actual[:, i] for i, name in enumerate(GZ2.columns)}
    write_table(pa.table({"ra": ra + 1e-5, "dec": ra - 20, **values}), folder / "sky.fits")
    scores = galvote.evaluate(folder / "sky.fits", predictions=predictions).scores
    assert (scores["galaxies"], scores["rmse"]) == (12, rmse(predicted, actual))


def test_every_galaxy_is_scored_or_counted(galaxies):
    folder, ids, predicted, actual = galaxies
    predicted = predicted.copy()
    predicted[3, 5] = np.nan
    statuses = ["ok"] * 12
    statuses[4] = "truncated"
    # Galaxy 1 is not predicted, galaxy 99 has no votes.
    predictions = write(folder / "some.parquet", [*ids[1:], "99"], predicted[[*range(1, 12), 0]], "id",
                        status=[*statuses[1:], "ok"])  # fmt: skip
    evaluation = galvote.evaluate(folder / "votes.csv", predictions=predictions)
    assert evaluation.scores["galaxies"] == 9
    assert evaluation.left_out == {
        "votes_without_prediction": 1,
        "failed_predictions": 1,
        "predictions_not_finite": 1,
        "predictions_without_votes": 1,
        "predictions_with_unknown_votes": 0,
        "predictions_of_other_splits": 0,
    }
    kept = [1, 2, *range(5, 12)]
    assert evaluation.ids == tuple(ids[row] for row in kept)
    assert evaluation.scores["rmse"] == rmse(predicted[kept], actual[kept])


def test_a_split_is_scored_against_the_training_mean(galaxies):
    folder, ids, predicted, actual = galaxies
    splits = folder / "splits.csv"
    write_table(pa.table({"GalaxyID": ids, "split": ["train"] * 8 + ["validation"] * 4}), splits)
    chosen = {"predictions": folder / "predictions.csv", "splits": splits}
    evaluation = galvote.evaluate(folder / "votes.csv", **chosen, split="validation")
    scores = evaluation.scores
    assert scores["galaxies"] == 4
    assert scores["rmse"] == rmse(predicted[8:], actual[8:])
    assert scores["baselines"]["mean_from"] == "training"
    assert scores["baselines"]["mean"] == rmse(actual[:8].mean(0), actual[8:])
    assert evaluation.left_out["predictions_of_other_splits"] == 8
    with pytest.raises(CatalogueError, match=r"train \(8\), validation \(4\)"):
        galvote.evaluate(folder / "votes.csv", **chosen, split="test")


def test_columns_that_a_table_of_votes_lacks_are_masked(galaxies):
    folder, ids, predicted, actual = galaxies
    wanted = [*GZ2.columns[:3], *GZ2.columns[13:15]]
    places = [GZ2.columns.index(name) for name in wanted]
    rest = {name: actual[6:, place] for name, place in zip(wanted, places, strict=True)}
    full = write(folder / "full.csv", ids[:6], actual[:6])
    partial = folder / "partial.csv"
    write_table(pa.table({"GalaxyID": ids[6:], **rest}), partial)
    scores = galvote.evaluate([full, partial], predictions=folder / "predictions.csv").scores
    squared = (predicted - actual) ** 2
    total = squared[:6].sum() + squared[6:, places].sum()
    assert scores["galaxies"] == 12
    assert scores["rmse"] == pytest.approx(np.sqrt(total / (6 * 37 + 6 * 5)), rel=1e-5)
    alone = galvote.evaluate(partial, predictions=folder / "predictions.csv").scores
    assert list(alone["columns"]) == wanted
    assert alone["questions"]["bar"] == {"rmse": None, "mean_predictor_rmse": None, "columns": []}


def test_coverage_where_intervals_are_predicted(command, galaxies):
    folder, ids, predicted, actual = galaxies
    ends = {f"{name}_low": actual[:, i] - 0.1 for i, name in enumerate(GZ2.columns)}
    ends |= {f"{name}_high": actual[:, i] + 0.1 for i, name in enumerate(GZ2.columns)}
    ends["Class6.1_high"] = actual[:, GZ2.columns.index("Class6.1")] - 0.05
    predictions = write(folder / "intervals.parquet", ids, predicted, "id", **ends)
    coverage = galvote.evaluate(folder / "votes.csv", predictions=predictions).scores["coverage"]
    assert coverage["overall"] == pytest.approx(36 / 37)
    assert coverage["questions"]["odd"] == 0.5
    assert coverage["questions"]["bar"] == 1
    assert coverage["level"] is None  # a table does not say
    ran = command("evaluate", "--predictions", predictions, "--votes", folder / "votes.csv")
    assert "in interval" in ran.stdout


def test_report_has_the_images(command, arguments, galaxies):
    folder, ids, *_ = galaxies
    (folder / "images").mkdir()
    for name in ids[:-1]:
        Image.new("RGB", (128, 128), (int(name) * 9, 40, 90)).save(folder / "images" / f"{name}.png")
    (folder / "images" / f"{ids[-1]}.png").write_bytes(b"no image")
    arguments = (*arguments, "--images", folder / "images", "--report", folder / "report", "--json")
    ran = command(*arguments)
    assert ran.returncode == 0, ran.stderr
    json.loads(ran.stdout)
    html = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 11
    assert "predictions.csv" in html

    again = command(*arguments)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert again.stdout == ""


def test_report_shows_a_models_curves_and_says_why_sigmoids_break_the_tree(
    trained, simulated, packed, tmp_path
):
    torch.manual_seed(0)
    card = load_card(trained / "last")
    card = card.model_copy(update={"network": card.network.model_copy(update={"head": "sigmoid"})})
    sigmoids = save_model(GalaxyNetwork(card.network, GZ2), card, tmp_path / "sigmoids")
    votes = read_votes(simulated / "training_solutions.csv").select(np.arange(12))
    run, pages = shutil.copytree(trained, tmp_path / "run"), []
    plot_curves([{"epoch": 1, "validation_rmse": 0.2}], run)
    for name, model in (("curves", run), ("sigmoids", sigmoids)):
        evaluation = galvote.evaluate(votes, model=model, images=packed)
        pages.append(evaluation.write_report(tmp_path / name).read_text(encoding="utf-8"))
    curves, broken = pages
    assert curves.count("data:image/png;base64,") == 2 and "sigmoids" not in curves
    assert "data:image/png" not in broken
    assert "12 of 12 galaxies break the decision tree, in 11 questions" in broken
    assert "independent sigmoids break the tree by design" in broken


def test_a_model_is_scored_and_says_that_it_was_calibrated_on_these_galaxies(
    calibrated, simulated, packed, tmp_path
):
    votes = read_votes(simulated / "training_solutions.csv")
    done = list[tuple[int, int]]()
    chosen = {"model": calibrated, "images": packed, "level": 0.5}
    evaluation = galvote.evaluate(votes, **chosen, on_progress=lambda *counts: done.append(counts))
    assert done[-1] == (60, 60)
    assert evaluation.scores["coverage"]["level"] == 0.5
    assert evaluation.remarks == () and evaluation.left_out["images_without_votes"] == 0

    card = json.loads((calibrated / "card.json").read_text(encoding="utf-8"))
    card["calibration"]["galaxies_sha256"] = votes.select(np.arange(60)[::-1]).digest()
    same = tmp_path / "same"
    same.mkdir()
    for path in calibrated.iterdir():
        (same / path.name).symlink_to(path)
    (same / "card.json").unlink()
    (same / "card.json").write_text(json.dumps(card), encoding="utf-8")
    (remark,) = galvote.evaluate(votes, model=same, images=packed).to_dict()["remarks"]
    assert "calibrated the model's intervals" in remark


def test_a_tree_of_ones_own_is_named(command, tmp_path):
    tree = dust_tree(tmp_path)
    fractions = np.array([[0.5, 0.5, 0.25, 0.25], [1.0, 0.0, 0.0, 1.0]])
    table = write(tmp_path / "dust.parquet", ["a", "b"], fractions, tree=tree)
    arguments = "evaluate", "--predictions", table, "--votes", table
    assert "--tree" in command(*arguments).stderr
    ran = command(*arguments, "--tree", tmp_path / "dust.toml", "--report", tmp_path / "report")
    assert ran.returncode == 0, ran.stderr
    assert "dusty" in ran.stdout and "one_lane" in ran.stdout
    assert "How many lanes?" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_votes_of_another_tree_are_refused(calibrated, packed, galaxies, tmp_path):
    folder, ids, *_ = galaxies
    dust = dust_tree(tmp_path)
    table = write(tmp_path / "dust.csv", ids, np.tile([0.5, 0.5, 0.25, 0.25], (12, 1)), tree=dust)
    of_dust = read_votes(table, dust)
    for given in ({"predictions": folder / "predictions.csv"}, {"model": calibrated, "images": packed}):
        with pytest.raises(TreeError, match="'dust', is not that of the predictions, 'gz2'"):
            galvote.evaluate(of_dust, **given)
    with pytest.raises(TreeError, match="that was named"):
        galvote.evaluate(folder / "votes.csv", model=calibrated, images=packed, tree=dust)
    with pytest.raises(TreeError, match="The tree of the votes, 'gz2'"):
        galvote.evaluate(folder / "votes.csv", predictions=table, tree=dust)
    with pytest.raises(CatalogueError, match="predictions of the tree 'gz1'"):
        galvote.evaluate(folder / "votes.csv", predictions=table, tree="gz1")


def test_no_common_galaxy_shows_ids_of_both_sides(command, galaxies):
    folder, _, predicted, _ = galaxies
    predictions = write(folder / "strangers.csv", [f"J{i}" for i in range(12)], predicted)
    ran = command("evaluate", "--predictions", predictions, "--votes", folder / "votes.csv", "--json")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "1, 2, 3" in ran.stderr and "J0, J1, J2" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_tables_that_cannot_be_scored_are_refused(galaxies):
    folder, ids, predicted, _ = galaxies
    twice = write(folder / "twice.csv", [*ids[:-1], ids[0]], predicted)
    with pytest.raises(CatalogueError, match="1 id more than once"):
        galvote.evaluate(folder / "votes.csv", predictions=twice)
    names = write(folder / "names.csv", ids, predicted, **{"Class3.1": ["bar"] * 12})
    with pytest.raises(CatalogueError, match=r"row 1 of the column `Class3.1` is no number: 'bar'"):
        galvote.evaluate(folder / "votes.csv", predictions=names)
    table = pa.table({"id": ids, **{name: predicted[:, i] for i, name in enumerate(GZ2.columns[:36])}})
    write_table(table, folder / "short.csv")
    with pytest.raises(CatalogueError, match=r"Class11\.6"):
        galvote.evaluate(folder / "votes.csv", predictions=folder / "short.csv")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either --predictions"),
        ({"predictions": "p.csv", "model": "small"}, "either --predictions"),
        ({"model": "small"}, "needs --images"),
        ({"predictions": "p.csv", "split": "train"}, "go together"),
        ({"predictions": "p.csv", "level": 0.5}, "needs a model"),
    ],
)
def test_options_that_do_not_go_together(given, said):
    with pytest.raises(GalvoteError, match=said):
        galvote.evaluate("votes.csv", **given)
