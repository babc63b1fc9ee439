"""Prediction in Python: pictures of any kind in, a table out."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import galvote
from galvote.errors import CatalogueError, FractionError, ImageError, ModelError
from galvote.images import PackedStore, pack, to_cutout
from galvote.inference import Predictor
from galvote.io import list_sources
from galvote.simulate import simulate_galaxies
from galvote.trees import find_violations, load_tree

GZ2 = load_tree("gz2")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def predictor(trained) -> Predictor:
    """Return a predictor that computes in float32 where the processor would rather take bfloat16."""
    return galvote.load(trained, "torch-float32")


def fractions(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[column].to_numpy() for column in GZ2.columns])


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [galaxy.image for galaxy in simulate_galaxies(7, seed=4, pixels=424)]


def test_a_table_with_a_row_for_each_picture(predictor, images):
    table = predictor.predict(images).to_arrow()
    assert table.column_names == ["id", "status", "reason", *GZ2.columns]
    assert table.schema.types == [pa.string()] * 3 + [pa.float32()] * 37
    assert table["id"].to_pylist() == [str(i) for i in range(7)]
    assert set(table["status"].to_pylist()) == {"ok"}
    assert set(table["reason"].to_pylist()) == {""}
    assert table["Class1.1"].null_count == 0


def test_predictions_obey_the_tree(predictor, images):
    predicted = fractions(predictor.predict(images).to_arrow()).astype(np.float64)
    assert not find_violations(GZ2, predicted, tolerance=1e-5).galaxies.any()
    assert predicted.min() >= 0 and predicted.max() <= 1


def test_a_model_is_loaded_by_its_run_or_its_folder(trained, predictor, images):
    for place in (str(trained), trained / "best"):
        assert (
            galvote.load(place, "torch-float32").predict(images).to_arrow()
            == predictor.predict(images).to_arrow()
        )
    assert predictor.geometry.pixels == 64
    with pytest.raises(ModelError, match="No model at"):
        galvote.load("galvote-huge")


def test_every_kind_of_place_gives_the_same_predictions(predictor, simulated, tmp_path):
    folder = simulated / "images_training"
    paths = sorted(folder.glob("*.jpg"))[:5]
    images = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    pq.write_table(
        pa.table({"id": [path.stem for path in paths], "image": images}), tmp_path / "some.parquet"
    )
    from_files = predictor.predict(paths).to_arrow()
    assert from_files["id"].to_pylist() == [path.stem for path in paths]
    assert predictor.predict([str(path) for path in paths]).to_arrow() == from_files
    assert predictor.predict(tmp_path / "some.parquet").to_arrow() == from_files
    pack(list_sources(paths), tmp_path / "store", predictor.geometry)
    assert predictor.predict(tmp_path / "store").to_arrow() == from_files
    everything = predictor.predict(folder).to_arrow()
    assert len(everything) == 60
    np.testing.assert_allclose(fractions(everything.slice(0, 5)), fractions(from_files), atol=0.01)


def test_one_array_is_one_picture(predictor, images):
    assert predictor.predict(images[0]).to_arrow() == predictor.predict([images[0]]).to_arrow()
    assert predictor.predict(np.stack(images)).to_arrow() == predictor.predict(images).to_arrow()


@pytest.mark.parametrize("shape", [(70, 70), (128,), (1, 2, 128, 128, 3)])
def test_an_array_that_is_neither_a_picture_nor_several(predictor, shape):
    with pytest.raises(ImageError, match=r"must be an image \(y, x, 3\) or several .* np\.stack"):
        predictor.predict(np.zeros(shape, dtype=np.uint8)).to_arrow()


def test_what_cannot_be_read_becomes_a_row(predictor, simulated, tmp_path):
    good = min((simulated / "images_training").glob("*.jpg"))
    files = {
        "empty": b"",
        "prose": b"not a picture",
        "short": good.read_bytes()[:700],
        "good": good.read_bytes(),
    }
    for name, data in files.items():
        (tmp_path / f"{name}.jpg").write_bytes(data)
    rows = (f"{name},{name}.jpg\n" for name in (*files, "gone"))
    (tmp_path / "list.csv").write_text("id,source\n" + "".join(rows))
    table = predictor.predict(tmp_path / "list.csv").to_arrow()
    assert table["id"].to_pylist() == ["empty", "prose", "short", "good", "gone"]
    assert table["status"].to_pylist() == ["empty", "not-an-image", "truncated", "ok", "missing"]
    for row in table.to_pylist():
        assert bool(row["reason"]) == (row["status"] != "ok")
        assert (row["Class1.1"] is None) == (row["status"] != "ok")
    np.testing.assert_allclose(
        fractions(table.slice(3, 1)), fractions(predictor.predict([good]).to_arrow()), atol=1e-5
    )


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((128, 128), dtype=np.uint8),
        np.zeros((128, 128, 4), dtype=np.uint8),
        np.zeros((128, 128, 3), dtype=np.float32),
        np.zeros((0, 128, 3), dtype=np.uint8),
    ],
)
def test_an_array_of_another_kind_becomes_a_row(predictor, images, array):
    table = predictor.predict([array, images[0]]).to_arrow()
    assert table["status"].to_pylist() == ["unsupported", "ok"]
    assert "uint8" in table["reason"][0].as_py()


def test_nothing_in_nothing_out(predictor):
    table = predictor.predict([]).to_arrow()
    assert len(table) == 0
    assert table.schema.types == [pa.string()] * 3 + [pa.float32()] * 37
    assert table.column_names == ["id", "status", "reason", *GZ2.columns]


def test_a_place_that_is_not_there_is_an_error(predictor, tmp_path):
    with pytest.raises(CatalogueError, match="no file or folder"):
        predictor.predict(tmp_path / "nowhere")


def test_a_galaxy_does_not_depend_on_its_neighbours(predictor, images):
    together = fractions(predictor.predict(images).to_arrow())
    for i, image in enumerate(images):
        np.testing.assert_allclose(
            fractions(predictor.predict([image]).to_arrow())[0], together[i], atol=1e-5
        )
    backwards = fractions(predictor.predict(images[::-1]).to_arrow())
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)


def test_batches_keep_every_galaxy_and_its_order(predictor, images, monkeypatch):
    expected = fractions(predictor.predict(images).to_arrow())
    monkeypatch.setattr("galvote.inference.streaming.BATCH", 2)
    told = list[tuple[int, int]]()
    table = predictor.predict(
        [*images[:3], np.zeros((2, 2), dtype=np.uint8), *images[3:]],
        on_progress=lambda done, total: told.append((done, total)),
    ).to_arrow()
    assert table["id"].to_pylist() == [str(i) for i in range(8)]
    assert table["status"].to_pylist() == ["ok"] * 3 + ["unsupported"] + ["ok"] * 4
    np.testing.assert_allclose(np.delete(fractions(table), 3, axis=0), expected, atol=1e-5)
    assert told == [(2, 8), (4, 8), (6, 8), (8, 8)]


def test_views_of_a_symmetric_picture_agree(predictor):
    y, x = np.mgrid[-63.5:64, -63.5:64]
    light = 230 * np.exp(-(x**2 + y**2) / 300)
    image = np.repeat(light[..., None], 3, axis=2).astype(np.uint8)
    once = fractions(predictor.predict([image], scale="gz2").to_arrow())
    again = predictor.predict([image], tta=4, scale="gz2")
    np.testing.assert_allclose(fractions(again.to_arrow()), once, atol=2e-3)


def test_views_are_averaged(predictor, images):
    image = images[0]
    average = fractions(predictor.predict([image], tta=4).to_arrow())
    seen = [image, image[::-1, ::-1], image[:, ::-1], image[::-1]]
    each = fractions(predictor.predict([np.ascontiguousarray(view) for view in seen]).to_arrow())
    assert np.abs(each - each.mean(axis=0)).max() > 5e-4, "the four differ"
    np.testing.assert_allclose(average[0], each.mean(axis=0), atol=2e-4)
    assert not find_violations(GZ2, average.astype(np.float64), tolerance=1e-5).galaxies.any()


def test_what_a_picture_shows_may_be_said(predictor, images):
    larger = np.zeros((848, 848, 3), dtype=np.uint8)
    larger[212:636, 212:636] = images[0]  # the same galaxy at the same scale, with twice the sky
    told = fractions(predictor.predict([larger], field_of_view=16.96).to_arrow())
    np.testing.assert_allclose(told, fractions(predictor.predict([images[0]]).to_arrow()), atol=2e-3)
    assert predictor.predict([larger], field_of_view=2.0).to_arrow()["status"].to_pylist() == ["unsupported"]


def test_cutouts_are_predicted_as_they_are(predictor, packed, simulated):
    store = PackedStore.open(packed)
    table = predictor.predict(simulated / "images_training").to_arrow()
    np.testing.assert_allclose(
        predictor.predict_cutouts(np.asarray(store.cutouts)).fractions, fractions(table), atol=1e-6
    )
    with pytest.raises(ModelError, match="cutouts of 64 × 64"):
        predictor.predict_cutouts(np.zeros((1, 32, 32, 3), dtype=np.uint8))


def ends(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    low, high = (
        np.column_stack([table[f"{column}_{end}"].to_numpy() for column in GZ2.columns])
        for end in ("low", "high")
    )
    return low, high


def test_a_calibrated_model_says_how_sure_it_is(calibrated, predictor, images):
    sure = galvote.load(calibrated, "torch-float32")
    table = sure.predict([*images, np.zeros((0, 1, 3), dtype=np.uint8)]).to_arrow()
    assert table.column_names[:5] == ["id", "status", "reason", "ood", "ood_score"]
    assert table.column_names[42:45] == ["Class1.1_low", "Class1.1_high", "Class1.2_low"]
    assert len(table.column_names) == 5 + 37 + 74
    assert table.schema.field("ood").type == pa.bool_()
    assert {table[name][7].as_py() for name in table.column_names[3:]} == {None}
    read = table.slice(0, 7)
    assert {table[name].null_count for name in table.column_names[3:]} == {1}
    np.testing.assert_array_equal(fractions(read), fractions(predictor.predict(images).to_arrow()))
    low, high = ends(read)
    assert (low <= fractions(read)).all() and (fractions(read) <= high).all()


def test_the_level_can_be_chosen(calibrated, images):
    sure = galvote.load(calibrated)
    by_default, ninety, half = (
        ends(sure.predict(images, level=level).to_arrow()) for level in (None, 0.9, 0.5)
    )
    np.testing.assert_array_equal(by_default, ninety)
    assert (half[0] >= ninety[0]).all() and (half[1] <= ninety[1]).all()
    assert (half[1] - half[0]).mean() < 0.8 * (ninety[1] - ninety[0]).mean()
    said = sure.predict(images, level=0.5).to_arrow().schema.field("Class1.1_low").metadata[b"description"]
    assert said.startswith(b"Lower end of the 0.5 interval")
    with pytest.raises(FractionError, match="between 0 and 1"):
        sure.predict(images, level=1.5).to_arrow()


def test_no_calibration_no_intervals(predictor, images):
    assert "ood" not in predictor.predict(images).to_arrow().column_names
    with pytest.raises(ModelError, match=r"not calibrated.*galvote calibrate"):
        predictor.predict(images, level=0.9).to_arrow()


def test_the_flag_does_not_depend_on_the_views(calibrated, images):
    sure = galvote.load(calibrated)
    once = sure.predict(images).to_arrow()
    assert sure.calibration is not None
    ood = sure.calibration.ood
    cutouts = np.stack([to_cutout(image, sure.geometry) for image in images])
    distances = ood.distances(sure.predict_features(cutouts)[1])
    assert once["ood"].to_pylist() == (distances > ood.threshold).tolist()
    middle = replace(ood, threshold=float(np.median(distances)))
    sure.calibration = replace(sure.calibration, ood=middle)
    for views in (1, 8):
        assert sum(sure.predict(images, tta=views).to_arrow()["ood"].to_pylist()) == 3
