"""Labels that are numbers: learned, scored, predicted with their unit and an interval."""

import json

import numpy as np
import pytest
from astropy.table import Table
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import galvote
from galvote.errors import CatalogueError
from galvote.io.tables import read_table


@pytest.fixture(scope="module")
def learned(parent, simulated, numbers, tmp_path_factory, quick):
    said = list[str]()
    out = tmp_path_factory.mktemp("learned") / "bars"
    found = galvote.finetune(
        parent,
        simulated / "images_training",
        numbers,
        out,
        column="bar length",
        unit="kpc",
        tta=1,
        scale="gz2",
        report=said.append,
    )
    return found, said


def test_scores_are_those_of_numbers_that_were_left_out(learned, numbers):
    found, said = learned
    assert "The column 'bar length' holds numbers, from 3" in " ".join(said)
    given = dict(zip(*(column.to_pylist() for column in read_table(numbers).columns), strict=True))
    np.testing.assert_allclose(found.numbers.given, [given[id_] for id_ in found.ids], atol=1e-12)
    pair = found.numbers.given, found.numbers.predicted
    known = {
        "rmse": root_mean_squared_error(*pair),
        "mae": mean_absolute_error(*pair),
        "r2": r2_score(*pair),
        "rank_correlation": spearmanr(*pair).statistic,
    }
    assert {name: score.value for name, score in found.scores.items()} == pytest.approx(known)
    for score in found.scores.values():
        assert score.low <= score.value <= score.high
    mean, nearest = found.baselines.values()
    assert mean["r2"].value == pytest.approx(0, abs=0.1) and mean["rmse"].value > found.scores["rmse"].value
    assert nearest["rmse"].value < mean["rmse"].value
    assert (found.numbers.low <= found.numbers.predicted).all()
    assert (found.numbers.predicted <= found.numbers.high).all()
    plain = json.loads((found.folder / "scores.json").read_text())
    assert plain["numbers"]["held"][0] >= 0.8 and plain["numbers"]["mean_width"] < 5
    assert plain["curve"]["metric"] == found.metric == "rmse"
    page = (found.folder / "index.html").read_text()
    assert "predicted against given, kpc" in page and "RMSE in kpc" in page
    table = read_table(found.folder / "out_of_fold.csv")
    np.testing.assert_allclose(table["bar length"], found.numbers.predicted)


def test_numbers_are_in_tables_with_their_unit(learned, command, simulated, numbers, tmp_path):
    found, _ = learned
    images, out = simulated / "images_training", tmp_path / "catalogue.fits"
    ran = command(
        "predict", images, "--model", found.folder, "--scale", "gz2", "--out", out, "--level", "0.8"
    )
    assert ran.returncode == 0, ran.stderr
    table = Table.read(out)
    assert str(table["bar length"].unit) == str(table["bar length_low"].unit) == "kpc"
    prediction = galvote.predict(images, found.folder, scale="gz2")
    wide = prediction.numbers()["bar length"]
    np.testing.assert_allclose(table["bar length"], wide.value, rtol=1e-5)
    assert (wide.low <= table["bar length_low"] + 1e-5).all() and (wide.low >= 3 - 1e-5).all()
    assert (wide.high >= table["bar length_high"] - 1e-5).all() and (wide.high <= 8 + 1e-5).all()
    scores = galvote.evaluate(numbers, model=found.folder, images=images, scale="gz2").scores["numbers"]
    assert scores["bar length"]["rank_correlation"] > 0.5
    said = f"bar length {wide.value[0]:.3g} kpc"
    assert prediction.headline(0) == prediction.finding(0).label == prediction.finding(0).name == said


def test_numbers_are_in_answers_of_the_server(learned):
    from starlette.testclient import TestClient

    from galvote.serve import create_app
    from galvote.serve.examples import EXAMPLES

    found, _ = learned
    with TestClient(create_app([galvote.load(found.folder)])) as client:
        answer = client.post("/v1/predict", files=[("files", ("a.jpg", EXAMPLES["spiral"].read_bytes()))])
    assert answer.status_code == 200, answer.text
    galaxy = answer.json()["galaxies"][0]
    number = galaxy["numbers"]["bar length"]
    assert number["low"] <= number["value"] <= number["high"] and number["unit"] == "kpc"
    assert galaxy["summary"] == f"bar length {number['value']:.3g} kpc" and galaxy["classes"] is None


@pytest.fixture
def refused(parent, simulated, numbers, tmp_path):
    header, *rows = numbers.read_text().splitlines()

    def run(values, error: type[Exception] = CatalogueError, **more: object) -> str:
        table, out = tmp_path / "numbers.csv", tmp_path / "out"
        ids = (row.partition(",")[0] for row in rows)
        table.write_text("\n".join([header, *map("{},{}".format, ids, values)]))
        more = {"column": "bar length", "scale": "gz2"} | more
        with pytest.raises(error) as raised:
            galvote.finetune(parent, simulated / "images_training", table, out, **more)
        assert not out.exists()
        return str(raised.value)

    return run


def test_numbers_that_nothing_can_be_learned_from(refused):
    some = [1 + i / 7 for i in range(60)]
    assert "are the same: 2.5" in refused([2.5] * 60, unit="")
    assert "12 galaxies have a label" in refused(some[:12])
    assert "--column" in refused(some, column=None, unit="kpc", tree="gz2")


def test_whole_numbers_with_a_unit_and_infinite_ones_left_out(command, parent, simulated, numbers, tmp_path):
    _, *rows = numbers.read_text().splitlines()
    table, out = tmp_path / "t.csv", tmp_path / "t"
    lines = [f"{row.partition(',')[0]},{round(float(row.partition(',')[2]))}" for row in rows]
    table.write_text("\n".join(["id,T", "100000,inf", *lines[1:]]))
    words = ("finetune", parent, "--images", simulated / "images_training", "--labels", table, "--tta", 1)
    ran = command(*words, "--unit", "", "--out", out, "--scale", "gz2", "--skip-invalid")
    assert ran.returncode == 0, ran.stderr
    assert "Left out 1 of 60 rows" in ran.stdout and "59 galaxies" in ran.stdout
    assert "rank correlation" in ran.stdout and "of the labels lie in their 90 % interval" in ran.stdout
    question = galvote.load(out).tree.number
    assert question.values == (3, 4, 5, 6, 7, 8) and question.unit == ""
