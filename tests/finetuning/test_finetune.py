"""A user's own labels become a model like those that ship, with numbers that hold."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

import galvote
from galvote.errors import CatalogueError, GalvoteError
from galvote.io.tables import read_table, write_table
from galvote.labels import read_votes
from galvote.models import CARD, load_card


@pytest.fixture(scope="module")
def learned(parent, simulated, labels, tmp_path_factory):
    said = list[str]()
    out = tmp_path_factory.mktemp("learned") / "look"
    images = simulated / "images_training"
    return galvote.finetune(parent, images, labels, out, tta=2, scale="gz2", report=said.append), said


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


def test_classes_that_a_galaxy_may_have_are_in_tables(learned, command, simulated, tmp_path):
    found, _ = learned
    images, sets = simulated / "images_training", dict[str, list[str]]()
    for level in ("0.9", "0.5"):
        words = ("predict", images, "--model", found.folder, "--scale", "gz2", "--level", level)
        ran = command(*words, "--out", tmp_path / f"{level}.csv")
        assert ran.returncode == 0, ran.stderr
        table = read_table(tmp_path / f"{level}.csv")
        sets[level] = table[f"set_{level}"].to_pylist()
        likeliest = np.where(np.array(table["look_disc"]) > np.array(table["look_smooth"]), "disc", "smooth")
        assert all(best in own.split(" | ") for best, own in zip(likeliest, sets[level], strict=True))
    assert set(sets["0.9"]) <= {"disc", "smooth", "disc | smooth"}
    sizes = {level: sum(own.count("|") for own in each) for level, each in sets.items()}
    assert sizes["0.5"] <= sizes["0.9"]
    given = {id_: found.actual[row, 1] for row, id_ in enumerate(found.ids)}
    held = [
        ("disc", "smooth")[int(given[id_])] in own
        for id_, own in zip(table["id"].to_pylist(), sets["0.9"], strict=True)
    ]
    assert np.mean(held) >= 0.85
    whole = galvote.predict(images, found.folder, scale="gz2")
    assert whole.sets().sum(axis=1).tolist() == [own.count("|") + 1 for own in sets["0.9"]]


@pytest.mark.parametrize("form", ["fractions", "counts"])
def test_votes_on_a_tree(form, parent, simulated, two_questions, own_tree, tmp_path, command, quick):
    labels, out = two_questions.votes, tmp_path / "own"
    if form == "fractions":
        votes = read_votes(labels, own_tree)
        labels = tmp_path / "fractions.csv"
        write_table(replace(votes, counts=None).to_arrow(), labels)
    said = list[str]()
    found = galvote.finetune(
        parent,
        two_questions.images,
        labels,
        out,
        tree=own_tree if form == "counts" else two_questions.tree,
        tta=1,
        scale="gz2",
        report=said.append,
    )
    assert found.tree == own_tree and found.confusion is None and found.metric == "rmse"
    apart = found.out_of_fold - found.actual
    assert found.scores["rmse"].value == pytest.approx(np.sqrt(np.nanmean(apart**2)))
    assert found.scores["rmse"].value < found.baselines["mean"]["rmse"].value
    busy = found.out_of_fold[:, 1]
    np.testing.assert_allclose(found.out_of_fold[:, 2:].sum(axis=1), busy, atol=1e-6)
    words = ("predict", two_questions.images, "--model", out, "--scale", "gz2", "--out", tmp_path / "all.csv")
    ran = command(*words)
    assert ran.returncode == 0, ran.stderr
    table = read_table(tmp_path / "all.csv")
    assert "set_0.9" not in table.column_names
    predicted = np.stack([table[name] for name in own_tree.columns], axis=1)
    order = [table["id"].to_pylist().index(id_) for id_ in found.ids]
    assert np.sqrt(np.nanmean((predicted[order] - found.actual) ** 2)) < found.scores["rmse"].value
    low, high = (
        np.stack([table[f"{name}_{end}"] for name in own_tree.columns], axis=1) for end in ("low", "high")
    )
    assert (low <= predicted + 1e-6).all() and (predicted <= high + 1e-6).all()


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
    assert "column 'look' has only one class, 'smooth'" in refused(
        "\n".join([header, *rows]).replace("disc", "smooth"), column="look"
    )
    twice = rows[0].replace("smooth", "x").replace("disc", "smooth").replace("x", "disc")
    assert rows[0].partition(",")[0] in refused("\n".join([header, *rows, twice]))
    assert "No id has both" in refused("id,look\n" + "".join(f"x{i},{'ab'[i % 2]}\n" for i in range(40)))


def test_command(command, parent, simulated, labels, tmp_path):
    words = ("finetune", parent, "--images", simulated / "images_training", "--labels", labels)
    words += ("--column", "number", "--out", tmp_path / "own", "--scale", "gz2", "--tta", 1)
    ran = command(*words)
    assert ran.returncode == 0, ran.stderr
    assert "roc auc" in ran.stdout and "most frequent" in ran.stdout
    assert load_card(tmp_path / "own").tree["questions"][0]["answers"][1]["name"] == "1"
    again = command(*words)
    assert again.returncode == 2 and CARD in again.stderr


def test_few_labels_are_enough_for_what_the_model_answers_already(simulated, tmp_path):
    images = simulated / "images_training"
    before = galvote.predict(images, "galvote-small", backend="onnx")
    merging = before.fractions[:, before.tree.columns.index("Class8.6")]
    labels = merging > np.median(merging)
    few = np.concatenate([np.flatnonzero(labels)[:10], np.flatnonzero(~labels)[:10]])
    rows = (f"{before.ids[row]},{'merger' if labels[row] else 'none'}\n" for row in few)
    (tmp_path / "few.csv").write_text("id,look\n" + "".join(rows))
    galvote.finetune("galvote-small", images, tmp_path / "few.csv", tmp_path / "look", tta=1, backend="onnx")
    after = galvote.predict(images, tmp_path / "look", backend="onnx")
    rest = np.setdiff1d(np.arange(len(labels)), few)
    assert roc_auc_score(labels[rest], after.fractions[rest, 0]) > 0.9, "0.73 by features alone"


def test_question_without_all_answers_teaches_nothing(refused, labels, parent, simulated, tmp_path):
    rows = [row.split(",") for row in labels.read_text().splitlines()[1:]]
    one = "id,Class1.1\n" + "".join(f"{id_},{number}\n" for id_, _, number in rows)
    message = refused(one)
    assert "'smooth_or_features'" in message and "Class1.1" in message and "--column" in message
    own = tmp_path / "labels.csv"
    images, out = simulated / "images_training", tmp_path / "own"
    found = galvote.finetune(parent, images, own, out, column="Class1.1", scale="gz2", tta=1)
    assert len(found.tree) == 2
    votes = "id,Class1.1,Class1.2,Class1.3,Class8.1\n"
    own.write_text(votes + "".join(f"{id_},{number},{1 - int(number)},0,0.1\n" for id_, _, number in rows))
    said = list[str]()
    with np.errstate(all="raise"):
        galvote.finetune(parent, images, own, tmp_path / "b", scale="gz2", tta=1, report=said.append)
    assert any("nothing can be learned: known is only Class8.1" in sentence for sentence in said)
    json.loads((tmp_path / "b" / "scores.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("budget", [0.0, -1.0, np.nan])
def test_budget_is_some_minutes(budget, refused):
    assert "more than 0" in refused("", GalvoteError, budget=budget)
