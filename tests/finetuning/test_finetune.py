"""A user's own labels become a model like those that ship, with numbers that hold."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

import galvote
from galvote.errors import CatalogueError
from galvote.io.tables import read_table, write_table
from galvote.models import CARD, load_card


@pytest.fixture(scope="module")
def learned(parent, simulated, labels, tmp_path_factory):
    said = list[str]()
    out = tmp_path_factory.mktemp("learned") / "look"
    images = simulated / "images_training"
    return galvote.finetune(parent, images, labels, out, views=2, scale="gz2", report=said.append), said


def test_scores_are_those_of_galaxies_that_were_left_out(learned):
    found, said = learned
    assert "60 galaxies with labels and an image" in " ".join(said)
    assert "A head alone is learned; a --budget" in " ".join(said)
    given, predicted = found.actual[:, 1], found.out_of_fold[:, 1]
    known = {
        "roc_auc": roc_auc_score(given, predicted),
        "average_precision": np.mean(
            [average_precision_score(found.actual[:, i], found.out_of_fold[:, i]) for i in (0, 1)]
        ),
        "log_loss": log_loss(given, predicted),
        "brier": brier_score_loss(given, predicted),
        "accuracy": np.mean(given == (predicted > 0.5)),
    }
    assert {name: found.scores[name].value for name in known} == pytest.approx(known)
    for score in found.scores.values():
        assert score.low <= score.value <= score.high
    frequent, nearest = found.baselines.values()
    assert frequent["roc_auc"] == pytest.approx((0.5, 0.5, 0.5)), "a constant ranks by chance"
    assert nearest["roc_auc"].value > 0.5
    assert found.confusion.sum() == len(found.ids) == 60
    sets = json.loads((found.folder / "scores.json").read_text())["sets"]
    assert sets["level"] == 0.9 and sets["held"] >= 0.8 and 1 <= sets["classes"] <= 2
    assert [point.labels for point in found.curve] == [24, 48]
    assert "labels" in found.advice


def test_model_is_like_those_that_ship(learned, simulated, labels):
    found, _ = learned
    card = load_card(found.folder)
    assert card.data["pretrained"]["name"] == "tiny" and len(card.data["labels_sha256"]) == 64
    images = simulated / "images_training"
    prediction = galvote.predict(images, found.folder, scale="gz2", backend="onnx")
    assert prediction.tree.columns == found.tree.columns
    assert prediction.ood is not None and prediction.low is not None
    other = galvote.predict(images, found.folder, scale="gz2", backend="torch-float32")
    np.testing.assert_allclose(other.fractions, prediction.fractions, atol=1e-5)
    scores = galvote.evaluate(labels, model=found.folder, images=images, scale="gz2").scores
    assert scores["galaxies"] == 60
    predicted = galvote.evaluate(labels, predictions=_written(prediction, found.folder)).scores
    assert predicted["rmse"] == pytest.approx(scores["rmse"], rel=0.05), "labels say what its columns mean"
    plain = json.loads((found.folder / "scores.json").read_text())
    assert plain["out_of_fold"]["roc_auc"][0] == pytest.approx(found.scores["roc_auc"].value, abs=1e-4)
    table = read_table(found.folder / "out_of_fold.csv")
    assert table["id"].to_pylist() == list(found.ids)


def _written(prediction, folder):
    write_table(prediction.to_arrow(), path := folder.parent / "predicted.csv")
    return path


@pytest.fixture
def refused(parent, simulated, tmp_path):
    def run(text: str, error: type[Exception] = CatalogueError, **more: object) -> str:
        table, out = tmp_path / "labels.csv", tmp_path / "out"
        table.write_text(text)
        with pytest.raises(error) as raised:
            galvote.finetune(parent, simulated / "images_training", table, out, scale="gz2", **more)
        assert not out.exists()
        return str(raised.value)

    return run


def test_labels_that_nothing_can_be_learned_from(refused, labels):
    header, *rows = labels.read_text().splitlines()
    few = [row for row in rows if "smooth" in row][:9] + [row for row in rows if "disc" in row]
    assert "9 of 'smooth'" in refused("\n".join([header, *few]))
    assert "column 'look' has 1" in refused(
        "\n".join([header, *rows]).replace("disc", "smooth"), column="look"
    )
    twice = rows[0].replace("smooth", "x").replace("disc", "smooth").replace("x", "disc")
    assert rows[0].partition(",")[0] in refused("\n".join([header, *rows, twice]))
    assert "No id has both" in refused("id,look\n" + "".join(f"x{i},{'ab'[i % 2]}\n" for i in range(40)))


def test_command(command, parent, simulated, labels, tmp_path):
    words = ("finetune", parent, "--images", simulated / "images_training", "--labels", labels)
    words += ("--column", "number", "--out", tmp_path / "own", "--scale", "gz2", "--views", 1)
    ran = command(*words)
    assert ran.returncode == 0, ran.stderr
    assert "roc auc" in ran.stdout and "most frequent" in ran.stdout
    assert load_card(tmp_path / "own").tree["questions"][0]["answers"][1]["name"] == "1"
    again = command(*words)
    assert again.returncode == 2 and CARD in again.stderr
