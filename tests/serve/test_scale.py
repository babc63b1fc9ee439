"""The scale of what is sent: asked for, measured, or noticed to be wrong."""

import io

import numpy as np
import pytest
from PIL import Image

from galvote.simulate import simulate_galaxies


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def near() -> bytes:
    """Return a galaxy cut so that it looks more than two and a half times as large as in a whole frame."""
    (galaxy,) = simulate_galaxies(1, seed=3, pixels=424)
    return png(galaxy.image[132:292, 132:292])


def ask(client, *images: bytes, **params):
    files = [("files", ("a.png", image)) for image in images]
    return client.post("/v1/predict", files=files, params=params)


def test_a_galaxy_of_another_size_is_noticed_and_brought_to_scale(client, near):
    said = ask(client, near).json()
    assert "larger than in GZ2 frames" in said["remark"] and "--scale" in said["remark"]
    assert said["galaxies"][0]["scale_factor"] is None
    measured = ask(client, near, scale="auto").json()
    (galaxy,) = measured["galaxies"]
    assert measured["remark"] == "" and galaxy["scale_factor"] == pytest.approx(2.65, rel=0.3)
    assert galaxy["r90_pixels"] == pytest.approx(50, rel=0.3)
    known = ask(client, near, pixel_scale=0.4, r90=[20.0]).json()["galaxies"][0]
    assert (known["r90_pixels"], known["scale_factor"]) == (50.0, 2.65)
    assert galaxy["fractions"] != said["galaxies"][0]["fractions"]
    turned = client.post(
        "/v1/rotate", files=[("file", ("a.png", near))], params={"scale": "auto", "steps": 8}
    )
    first = {column: shares[0] for column, shares in turned.json()["fractions"].items()}
    assert first == pytest.approx({c: v["value"] for c, v in galaxy["fractions"].items()}, abs=1e-4)


def test_where_nothing_is_in_the_middle_it_says_so(client):
    dark = png(np.zeros((300, 300, 3), np.uint8))
    assert "No galaxy stands out" in ask(client, dark).json()["remark"]
    (galaxy,) = ask(client, dark, scale="auto").json()["galaxies"]
    assert "cannot be measured" in galaxy["reason"] and galaxy["scale_factor"] == 1.0
    assert ask(client, dark, scale="gz2").json()["remark"] == ""


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"shown": "200"}, "shown"),
        ({"scale": "huge"}, "scale"),
        ({"pixel_scale": 0.4}, "r90"),
        ({"pixel_scale": 0.4, "r90": [1, 2, 3]}, "r90"),
        *(({"pixel_scale": 0.4, "r90": [size]}, "r90") for size in ("nan", "inf", 0)),
    ],
)
def test_what_is_not_understood_is_refused(client, near, params, named):
    refused = ask(client, near, **params)
    assert refused.status_code == 422 and named in refused.json()["error"]["message"]
