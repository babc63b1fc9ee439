"""Several models in one server: each answers by its own tree, an exported one with all but explanations."""

from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from galvote.inference import Predictor, export_model
from galvote.models import load_calibration, load_model
from galvote.serve import create_app


@pytest.fixture(scope="module")
def client(two_question_model, calibrated, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    exported = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_model(*load_model(calibrated), load_calibration(calibrated), exported)
    predictors = [Predictor.load(path) for path in (two_question_model, exported)]
    with TestClient(create_app(predictors)) as client:
        yield client


def test_each_model_has_its_own_tree(client, two_questions):
    first, second = client.get("/v1/models").json()["models"]
    assert first["tree"]["name"] == two_questions.name
    assert first["tree"]["title"] == two_questions.title
    assert [kind["name"] for kind in first["tree"]["kinds"]] == [kind.name for kind in two_questions.kinds]
    assert second["tree"]["name"] == "gz2"
    assert [first["explains"], second["explains"]] == [True, False]


def test_a_tree_of_two_questions_is_answered_drawn_explained_and_rotated(client, two_questions, spiral):
    answer = client.post("/v1/predict?figures=true", files={"files": ("a.jpg", spiral)}).json()
    (galaxy,) = answer["galaxies"]
    assert list(galaxy["fractions"]) == list(two_questions.columns)
    assert galaxy["kind"] in ("lopsided disc", "disc", "no")
    assert galaxy["summary"].split(",")[0] in ("disc", "no")
    svg = ElementTree.fromstring(galaxy["figures"]["wide"])
    drawn = {each.get("data-answer") for each in svg.iter() if each.get("data-answer")}
    assert drawn == set(two_questions.columns)
    last = two_questions.questions[-1]
    for question in (None, last.name):
        query = {"question": question} if question else {}
        explained = client.post("/v1/explain", files={"file": ("a", spiral)}, params=query).json()
        assert explained["question"] == (question or two_questions.questions[0].name)
    rotated = client.post("/v1/rotate?steps=8", files={"file": ("a", spiral)}).json()
    assert list(rotated["fractions"]) == list(two_questions.columns)


def test_an_exported_model_is_served_and_says_why_it_explains_nothing(client, spiral):
    query = {"model": "tiny", "figures": True}
    answer = client.post("/v1/predict", files={"files": ("a.jpg", spiral)}, params=query).json()
    assert answer["model"]["name"] == "tiny"
    assert answer["galaxies"][0]["figures"]["cutout"].startswith("data:image/png")
    rotated = client.post("/v1/rotate?model=tiny", files={"file": ("a", spiral)})
    assert rotated.status_code == 200
    refused = client.post("/v1/explain?model=tiny", files={"file": ("a", spiral)})
    assert refused.status_code == 501
    assert "serve the model itself" in refused.json()["error"]["message"]
