"""What the server answers, path by path."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galvote.images import decode_cutout, decode_image
from galvote.simulate import simulate_galaxies
from galvote.trees import load_tree

GZ2 = load_tree("gz2")


def values(galaxy: dict) -> np.ndarray:
    return np.array([galaxy["fractions"][column]["value"] for column in GZ2.columns])


def image_of(url: str, kind: str = "png") -> np.ndarray:
    told, _, data = url.partition(",")
    assert told == f"data:image/{kind};base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_health_and_readiness(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_models_and_tree(client, predictor):
    models = client.get("/v1/models").json()
    assert models["schema"] == "1"
    assert models["default"] == models["models"][0]["name"] == "tiny"
    assert models["models"][0]["weights_sha256"] == predictor.card.weights_sha256
    assert models["models"][0]["explains"] is True
    tree = models["models"][0]["tree"]
    assert [question["name"] for question in tree["questions"]] == [q.name for q in GZ2.questions]
    assert [a["column"] for q in tree["questions"] for a in q["answers"]] == list(GZ2.columns)
    assert tree["questions"][0]["answers"][1]["leads_to"] == "edge_on"


def test_predictions_are_those_of_the_predictor(client, predictor, spiral):
    answer = client.post("/v1/predict", files=[("files", ("a b.jpg", spiral))], params={"level": 0.8})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["schema"], said["tta"], said["level"]) == ("1", 1, 0.8)
    assert said["model"]["weights_sha256"] == predictor.card.weights_sha256
    (galaxy,) = said["galaxies"]
    assert (galaxy["id"], galaxy["status"], galaxy["reason"]) == ("a b.jpg", "ok", "")
    cutout = decode_cutout(spiral, predictor.geometry)
    (expected,) = predictor.predict_cutouts(cutout[None], level=0.8).to_arrow().to_pylist()
    np.testing.assert_allclose(values(galaxy), [expected[c] for c in GZ2.columns], atol=2e-5)
    assert galaxy["ood"] == expected["ood"]
    assert galaxy["ood_score"] == pytest.approx(expected["ood_score"], abs=0.01)
    for column in GZ2.columns:
        fraction = galaxy["fractions"][column]
        assert 0 <= fraction["low"] <= fraction["value"] <= fraction["high"] <= 1
        assert fraction["low"] == pytest.approx(expected[f"{column}_low"], abs=2e-5)
    assert galaxy["figures"] is None
    kinds = [kind.name for kind in GZ2.kinds]
    assert galaxy["kind"] in [*kinds, "smooth", "featured", "smooth or featured", "unknown"]
    assert galaxy["summary"].startswith(galaxy["path"][0]["text"])
    first = galaxy["path"][0]
    assert first["question"] == "smooth_or_features"
    assert first["fraction"] == pytest.approx(max(values(galaxy)[:3]) / values(galaxy)[:3].sum(), abs=1e-3)


def test_one_answer_has_all_that_a_page_shows(client, spiral):
    files = [("files", ("a.jpg", spiral)), ("files", ("b.txt", b"prose"))]
    good, bad = client.post("/v1/predict", files=files, params={"figures": True}).json()["galaxies"]
    assert bad["figures"] is None
    assert image_of(good["figures"]["cutout"]).shape == (52, 52, 3)  # of 64, what the network sees
    for width in ("wide", "narrow"):
        svg = ElementTree.fromstring(good["figures"][width])
        drawn = {each.get("data-answer") for each in svg.iter() if each.get("data-answer")}
        assert drawn == set(GZ2.columns)


def test_a_bad_file_is_a_row_among_good_ones(client, spiral):
    files = {"x/../one.jpg": spiral, "two.txt": b"prose", "three.jpg": spiral[:500], "four.png": b""}
    answer = client.post("/v1/predict", files=[("files", each) for each in files.items()])
    assert answer.status_code == 200
    rows = answer.json()["galaxies"]
    assert [row["id"] for row in rows] == ["one.jpg", "two.txt", "three.jpg", "four.png"]
    assert [row["status"] for row in rows] == ["ok", "not-an-image", "truncated", "empty"]
    assert all(row["reason"] and row["fractions"] is None and row["path"] == [] for row in rows[1:])


def test_nothing_but_bad_files_is_422_with_rows(client):
    answer = client.post("/v1/predict", files=[("files", ("a.txt", b"prose"))])
    assert answer.status_code == 422
    assert answer.json()["galaxies"][0]["status"] == "not-an-image"


def test_fits_and_bare_bodies(client, spiral):
    (galaxy,) = simulate_galaxies(1, seed=3)
    file = io.BytesIO()
    fits.PrimaryHDU(np.moveaxis(galaxy.image.astype(np.float32), 2, 0)).writeto(file)
    headers = {"Content-Type": "application/fits"}
    answer = client.post("/v1/predict", content=file.getvalue(), headers=headers)
    assert answer.status_code == 200
    assert answer.json()["galaxies"][0]["status"] == "ok"
    bare = client.post("/v1/predict", content=spiral, headers={"Content-Type": "image/jpeg"}).json()
    form = client.post("/v1/predict", files=[("files", ("image", spiral))]).json()
    assert bare == form


def test_bands_and_stretches_of_fits(client, predictor):
    (galaxy,) = simulate_galaxies(1, seed=3)
    planes = np.moveaxis(galaxy.image.astype(np.float32), 2, 0)

    def ask(cube, **query):
        file = io.BytesIO()
        fits.PrimaryHDU(cube).writeto(file)
        headers = {"Content-Type": "application/fits"}
        answer = client.post("/v1/predict", content=file.getvalue(), headers=headers, params=query).json()
        if "galaxies" not in answer:
            return answer["error"]
        (row,) = answer["galaxies"]
        return row["fractions"] or row["reason"]

    assert ask(planes[::-1], bands="i,r,g") == ask(planes) != ask(planes[::-1])
    assert ask(planes[0], stretch="asinh") != ask(planes[0])
    assert ask(planes, bands="g,r")["status"] == "invalid"
    assert "no plane 9" in ask(planes, bands="9")
    assert "or say with bands what each plane is" in ask(planes, bands="g,r,i,z")


@pytest.mark.parametrize("method", ["gradcam", "integrated-gradients"])
def test_explanations(client, spiral, method):
    answer = client.post(
        "/v1/explain",
        files={"file": ("a.jpg", spiral)},
        params={"question": "spiral", "answer": "Class4.1", "method": method},
    )
    said = answer.json()
    assert answer.status_code == 200
    assert (said["question"], said["answer"], said["method"]) == ("spiral", "Class4.1", method)
    heat = np.array(said["heat"])
    assert heat.shape == (32, 32)
    assert heat.min() >= 0 and heat.max() in (0, 1)
    assert image_of(said["overlay"]).shape == (256, 256, 3)


def test_the_likeliest_answer_is_explained_if_none_is_named(client, spiral):
    (galaxy,) = client.post("/v1/predict", files=[("files", ("a", spiral))]).json()["galaxies"]
    said = client.post("/v1/explain", files={"file": ("a", spiral)}).json()
    assert said["answer"] == galaxy["path"][0]["answer"]
    assert said["fraction"] == pytest.approx(galaxy["path"][0]["fraction"], abs=0.02)


def test_rotations(client, spiral):
    said = client.post("/v1/rotate", files={"file": ("a", spiral)}, params={"steps": 8}).json()
    assert said["angles"] == [0, 45, 90, 135, 180, 225, 270, 315]
    fractions = np.array([said["fractions"][column] for column in GZ2.columns])
    assert fractions.shape == (37, 8)
    (galaxy,) = client.post("/v1/predict", files=[("files", ("a", spiral))]).json()["galaxies"]
    np.testing.assert_allclose(fractions[:, 0], values(galaxy), atol=0.01)
    change = np.abs(fractions - fractions.mean(axis=1, keepdims=True)).mean()
    assert said["change"] == pytest.approx(change, abs=1e-4)


def test_fields(client):
    galaxies = list(simulate_galaxies(2, seed=7, pixels=424, start=6))
    field = np.hstack([galaxy.image for galaxy in galaxies])
    file = io.BytesIO()
    Image.fromarray(field).save(file, "PNG")
    answer = client.post("/v1/field", files={"file": ("f.png", file.getvalue())}, params={"limit": 2})
    said = answer.json()
    assert answer.status_code == 200
    assert (said["width"], said["height"], len(said["galaxies"])) == (848, 424, 2)
    assert said["image"] is None
    query = {"image": True, "figures": True}
    asked = client.post("/v1/field", files={"file": ("f.png", file.getvalue())}, params=query)
    assert np.abs(image_of(asked.json()["image"], "jpeg").astype(float) - field).mean() < 3
    for galaxy in asked.json()["galaxies"]:
        left, top, right, bottom = galaxy["box"]
        assert left < galaxy["x"] < right and top < galaxy["y"] < bottom
        assert galaxy["status"] == "ok"
        assert image_of(galaxy["figures"]["cutout"]).shape == (52, 52, 3)


def test_examples_are_galaxies_that_can_be_predicted(client):
    examples = client.get("/v1/examples").json()
    assert len(examples) >= 6
    for example in examples:
        image = client.get(example["url"])
        assert image.headers["content-type"] == "image/jpeg"
        assert decode_image(image.content).shape == (424, 424, 3)
    assert client.get("/v1/examples/quasar.jpg").status_code == 404


def test_openapi_has_answers_of_this_very_model(client, predictor):
    api = client.get("/openapi.json").json()
    shown = api["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    assert shown["model"]["weights_sha256"] == predictor.card.weights_sha256
    assert [galaxy["status"] for galaxy in shown["galaxies"]] == ["ok", "not-an-image"]
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text  # nothing from elsewhere
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.get(address).status_code == 200


def test_metrics_count_requests_pictures_and_batches(serving, spiral):
    client = serving()
    client.post("/v1/predict", files=[("files", ("a", spiral)), ("files", ("b", b"prose"))])
    lines = client.get("/metrics").text.splitlines()
    assert 'galvote_images_total{status="ok"} 1.0' in lines
    assert 'galvote_images_total{status="not-an-image"} 1.0' in lines
    assert 'galvote_requests_total{code="200",method="POST",route="/v1/predict"} 1.0' in lines
    assert "galvote_queue_places 0.0" in lines
