"""A field from image to catalogue, with a predictor that knows no galaxies."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image

from galvote.calibration import Calibration
from galvote.errors import ImageError, OutputError
from galvote.field import Field, find_field, refuse_taken, write_field
from galvote.images import Geometry
from galvote.inference import Prediction, Predictor, make_prediction
from galvote.inference.calibrate import measure
from galvote.io import read_table
from galvote.io.columns import about
from galvote.labels import read_votes
from galvote.trees import class_tree, find_violations, load_tree, to_cumulative

TREE = load_tree("gz2")


class Stand(Predictor):
    """Predicts smooth for what is red and a spiral for what is blue; calibrated, it flags what is blue."""

    geometry = Geometry(field_of_view=5.12, pixels=64)

    def __init__(self, calibration: Calibration | None = None) -> None:
        self.calibration = calibration
        self.seen = list[np.ndarray]()

    def predict_cutouts(
        self,
        cutouts: UInt8[np.ndarray, "galaxy p p 3"],
        *,
        level: float | None = None,
        ids: Sequence[str] | None = None,
        **_: Any,
    ) -> Prediction:
        self.seen += list(cutouts)
        conditional = np.zeros((len(cutouts), len(TREE)))
        for columns in TREE.slices.values():
            conditional[:, columns] = 1 / (columns.stop - columns.start)
        centre = cutouts[:, 28:36, 28:36].mean(axis=(1, 2))
        red = centre[:, 0] > centre[:, 2]
        conditional[:, :3] = np.where(red[:, None], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1])
        conditional[:, 3:5] = 0.1, 0.9
        conditional[:, 7:9] = 0.9, 0.1
        conditional[:, 13:15] = 0.2, 0.8
        fractions = to_cumulative(TREE, conditional).astype(np.float32)
        features = centre.astype(np.float32)
        return make_prediction(TREE, self.calibration, cutouts, fractions, features, level=level, ids=ids)


@pytest.fixture(scope="module")
def calibration(quick: None) -> Calibration:
    random = np.random.default_rng(5)
    predicted = random.uniform(size=(200, len(TREE)))
    actual = (predicted + random.normal(0, 0.1, predicted.shape)).clip(0, 1)
    red = random.normal([200, 140, 100], 20, (200, 3)).astype(np.float32)
    return measure(TREE, predicted, actual, red, red)[0]


PLACES = ((60, 70, 9.0, "blue"), (200, 90, 7.0, "red"), (320, 200, 12.0, "red"), (120, 230, 8.0, "blue"))


@pytest.fixture(scope="module")
def image() -> UInt8[np.ndarray, "y x 3"]:
    rows, columns = np.mgrid[:300, :400]
    rgb = np.random.default_rng(3).normal(20, 4, (300, 400, 3))
    for x, y, r90, colour in PLACES:
        light = 190 * np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / (r90 / 2.146) ** 2) / 4)
        rgb += light[:, :, None] * ([0.5, 0.7, 1.0] if colour == "blue" else [1.0, 0.7, 0.5])
    return rgb.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def field(image: UInt8[np.ndarray, "y x 3"]) -> Field:
    return find_field(image, model=Stand(), title="<Test> & field")


@pytest.fixture(scope="module")
def flagged(image: UInt8[np.ndarray, "y x 3"], calibration: Calibration) -> Field:
    return find_field(image, model=Stand(calibration), level=0.5)


def test_galaxies_are_found_and_predicted_in_a_file(image: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(image).save(tmp_path / "deep.png")
    predictor, progress = Stand(), list[tuple[int, int]]()
    field = find_field(
        tmp_path / "deep.png", model=predictor, limit=3, on_progress=lambda *done: progress.append(done)
    )
    assert field.title == "deep"
    assert field.prediction.ids == ("1", "2", "3") and (field.left_out, field.too_small) == (1, 0)
    assert [cutout.shape for cutout in predictor.seen] == [(64, 64, 3)] * 3
    assert progress == [(1, 1), (3, 3)]


def test_a_field_becomes_a_catalogue_and_images(field: Field, tmp_path: Path) -> None:
    progress = list[tuple[int, int]]()
    files = write_field(field, tmp_path / "out", on_progress=lambda *done: progress.append(done))
    names = ["annotated.png", "catalogue.csv", "galaxies.png", "index.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert sorted(path.name for path in files) == names
    assert progress == [(1, 1)]
    table = read_table(tmp_path / "out" / "catalogue.csv")
    assert table.column_names[:5] == ["id", "x", "y", "r90", "axis_ratio"]
    assert table.column_names[-37:] == list(TREE.columns)
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    for x, y, r90, colour in PLACES:
        row = min(rows, key=lambda row: np.hypot(row["x"] - x, row["y"] - y))
        assert (row["x"], row["y"]) == pytest.approx((x, y), abs=1)
        assert row["r90"] == pytest.approx(r90, rel=0.15)
        assert row["kind"] == ("spiral" if colour == "blue" else "round")
        assert row["path"].startswith("featured → not edge-on" if colour == "blue" else "smooth")
    assert [row["magnitude"] for row in rows] == sorted(row["magnitude"] for row in rows)


def test_a_page_shows_the_clearest_with_their_votes_down_the_tree(field: Field, tmp_path: Path) -> None:
    write_field(field, tmp_path, ending=".vot")
    html = (tmp_path / "index.html").read_text()
    assert "&lt;Test&gt; &amp; field" in html and "<Test>" not in html
    assert html.count('aria-label="Votes down the decision tree. Most likely: ') == 4
    assert all(f"Most likely: {path}" in html for path in field.paths)
    images = re.findall(r'<img[^>]* src="([^"]+)"', html)
    assert images[0] == "annotated.png"
    assert all(address.startswith("data:image/jpeg;base64,/9j/") for address in images[1:])
    assert 'href="catalogue.vot"' in html


def test_a_calibrated_model_gives_intervals_and_the_flag(
    image: np.ndarray, flagged: Field, calibration: Calibration, tmp_path: Path
) -> None:
    write_field(flagged, tmp_path)
    table = read_table(tmp_path / "catalogue.csv")
    ends = [f"{column}_{end}" for column in TREE.columns for end in ("low", "high")]
    start = table.column_names.index("path") + 1
    assert table.column_names[start:] == ["ood", "ood_score", *TREE.columns, *ends]
    rows = table.to_pylist()
    assert [row["ood"] for row in rows] == [row["kind"] == "unknown" for row in rows]
    for row in rows:
        assert row["path"].startswith("unknown, at best ") == row["ood"]
        for column in TREE.columns:
            assert 0 <= row[f"{column}_low"] <= row[column] <= row[f"{column}_high"] <= 1
    wide = find_field(image, model=Stand(calibration)).prediction
    narrow = flagged.prediction
    assert narrow.low is not None and wide.low is not None and (wide.low <= narrow.low).all()
    page = (tmp_path / "index.html").read_text()
    assert page.count('<dd class="differs">unlike the training galaxies') == 2
    assert "2 of the 4 galaxies are unlike the training galaxies" in page
    assert 'class="interval"' in page


def test_the_catalogue_can_be_read_as_votes(field: Field, tmp_path: Path) -> None:
    write_field(field, tmp_path, ending=".fits")
    votes = read_votes([tmp_path / "catalogue.fits"])
    assert votes.ids == ("1", "2", "3", "4")
    table = read_table(tmp_path / "catalogue.fits")
    undescribed = [
        name for name in table.column_names if "description" not in about(table.schema.field(name))
    ]
    assert undescribed == []
    radius = about(table.schema.field("r90"))
    assert (radius["unit"], radius["ucd"]) == ("pix", "phys.angSize")
    assert not find_violations(TREE, votes.fractions).galaxies.any()


def test_results_are_replaced_only_when_asked(field: Field, tmp_path: Path) -> None:
    refuse_taken(tmp_path)
    write_field(field, tmp_path)
    (tmp_path / "galaxies-2.png").write_bytes(b"of an earlier run")
    for refuse in (refuse_taken, lambda out: write_field(field, out)):
        with pytest.raises(OutputError, match=r"annotated\.png.*--overwrite"):
            refuse(tmp_path)
    write_field(field, tmp_path, overwrite=True)
    assert not (tmp_path / "galaxies-2.png").exists()
    (tmp_path / "catalogue.vot").write_text("mine")
    write_field(field, tmp_path, ending=".fits", overwrite=True)
    assert sorted(path.name for path in tmp_path.glob("catalogue.*")) == ["catalogue.fits", "catalogue.vot"]


def test_a_field_without_galaxies_gives_an_empty_catalogue(tmp_path: Path) -> None:
    sky = np.random.default_rng(0).normal(20, 4, (200, 200, 3)).clip(0, 255).astype(np.uint8)
    write_field(find_field(sky, model=Stand()), tmp_path)
    table = read_table(tmp_path / "catalogue.csv")
    assert len(table) == 0
    assert set(TREE.columns) < set(table.column_names)
    assert (tmp_path / "annotated.png").exists()
    assert "0 galaxies" in (tmp_path / "index.html").read_text()
    assert not (tmp_path / "galaxies.png").exists()


def test_more_galaxies_than_a_sheet_holds_take_several(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galvote.field.files.CARDS_PER_SHEET", 3)
    write_field(field, tmp_path)
    assert (tmp_path / "galaxies-2.png").exists()
    assert not (tmp_path / "galaxies-3.png").exists()
    with Image.open(tmp_path / "annotated.png") as annotated:
        assert annotated.size == (3 * 400, 3 * 300 + 56)


def test_labels_of_a_users_own_are_the_kinds(field: Field, tmp_path: Path) -> None:
    tree = class_tree("bars", ["barred", "no bar"])
    texts = {name: getattr(field.prediction, name) for name in ("ids", "status", "reason")}
    fractions = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]], np.float32)
    write_field(replace(field, prediction=Prediction(tree, **texts, fractions=fractions)), tmp_path)
    table = read_table(tmp_path / "catalogue.csv")
    assert table["kind"].to_pylist() == ["barred", "no bar", "no bar", "barred"]
    assert table.column_names[-2:] == list(tree.columns)
    assert "no bar 0.80" in (tmp_path / "index.html").read_text()


def test_a_field_is_an_astropy_table(flagged: Field) -> None:
    table = flagged.to_table()
    assert table["r90"].unit == "pix" and table["angle"].unit == "deg"
    assert table["ood"].dtype == bool and "unknown" in set(table["kind"])


def test_what_is_no_image_of_uint8_is_refused(image: np.ndarray) -> None:
    alpha = np.dstack([image, image[..., :1]])
    for wrong in (image / 255, image.astype(np.uint16) * 257, image[..., 0], alpha):
        with pytest.raises(ImageError, match="must be"):
            find_field(wrong, model=Stand())
