"""Several models in one server: each answers by its own tree, an exported one with all but explanations."""

from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from galvote.inference import Predictor
from galvote.serve import create_app


@pytest.fixture(scope="module")
def client(own_model, exported):
    predictors = [Predictor.load(path) for path in (own_model, exported)]
    with TestClient(create_app(predictors)) as client:
        yield client


def test_each_model_has_its_own_tree(client, own_tree):
    first, second = client.get("/v1/models").json()["models"]
    assert first["tree"]["name"] == own_tree.name
    assert first["tree"]["title"] == own_tree.title
    assert [kind["name"] for kind in first["tree"]["kinds"]] == [kind.name for kind in own_tree.kinds]
    assert second["tree"]["name"] == "gz2"
    assert [first["explains"], second["explains"]] == [True, False]


def test_a_tree_of_two_questions_is_answered_drawn_explained_and_rotated(client, own_tree, spiral):
    answer = client.post("/v1/predict?figures=true", files={"files": ("a.jpg", spiral)}).json()
    (galaxy,) = answer["galaxies"]
    assert list(galaxy["fractions"]) == list(own_tree.columns)
    assert galaxy["kind"] in ("whirl", "plain", "busy <or> full")
    assert galaxy["summary"].split(" → ")[0] in ("plain", "busy <or> full")
    svg = ElementTree.fromstring(galaxy["figures"]["wide"])
    drawn = {each.get("data-answer") for each in svg.iter() if each.get("data-answer")}
    assert drawn == set(own_tree.columns)
    last = own_tree.questions[-1]
    for question in (None, last.name):
        query = {"question": question} if question else {}
        explained = client.post("/v1/explain", files={"file": ("a", spiral)}, params=query).json()
        assert explained["question"] == (question or own_tree.questions[0].name)
    rotated = client.post("/v1/rotate?steps=8", files={"file": ("a", spiral)}).json()
    assert list(rotated["fractions"]) == list(own_tree.columns)


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
