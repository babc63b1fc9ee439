"""One shape of an answer: as an Arrow table, an astropy table or a pandas frame, cut up and put together."""

import numpy as np
import pyarrow as pa
import pytest

import galvote
from galvote.inference import Prediction
from galvote.simulate import simulate_galaxies

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    """Return what a calibrated model says of four images, one of which cannot be read."""
    images = [galaxy.image for galaxy in simulate_galaxies(3, seed=4, pixels=424)]
    predictor = galvote.load("galvote-small", "torch-float32")
    return predictor.predict([images[0], np.zeros((0, 1, 3), np.uint8), *images[1:]], features=True)


def test_a_failure_has_a_reason_and_no_numbers(prediction):
    assert prediction.to_arrow().schema.metadata == {b"computed_by": b"galvote-small, torch float32 cpu"}
    assert prediction.status == ("ok", "unsupported", "ok", "ok")
    assert prediction.ok.tolist() == [True, False, True, True]
    for numbers in (prediction.fractions, prediction.low, prediction.ood_score, prediction.features):
        assert np.isnan(numbers[1]).all() and np.isfinite(numbers[[0, 2, 3]]).all()
    assert not prediction.ood[1]


def test_scores_are_percentiles_and_agree_with_the_flag(prediction):
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    predictor = galvote.load("galvote-small", "torch-float32")
    strange = predictor.predict([*noise, np.zeros((128, 128, 3), np.uint8)])
    assert strange.ood.all() and (strange.ood_score > 98.5).all() and strange.ood_score[3] == 100
    assert len(set(strange.ood_score.tolist())) == 4, (
        "what is beyond all that was held out still has an order"
    )
    scores = prediction.ood_score[prediction.ok]
    assert ((scores >= 0) & (scores < 100)).all()


def test_columns_of_the_arrow_table(prediction):
    table, columns = prediction.to_arrow(), prediction.tree.columns
    ends = [f"{column}_{end}" for column in columns for end in ("low", "high")]
    assert table.column_names == ["id", "status", "reason", "ood", "ood_score", *columns, *ends, "features"]
    assert table.schema.field("features").type == pa.list_(pa.float16(), 1280)
    assert {table[name].null_count for name in table.column_names[3:]} == {1}


def test_conditional_fractions_have_readable_names_and_intervals(prediction):
    table = prediction.to_arrow(conditional=True)
    place = table.column_names.index("bar")
    assert table.column_names[place : place + 4] == ["bar", "bar_low", "bar_high", "no_bar"]
    good = prediction[prediction.ok]
    bar, no_bar = good.fractions[:, 5], good.fractions[:, 6]
    conditional = good.conditional()
    names = list(good.tree.labels)
    np.testing.assert_allclose(conditional.fractions[:, names.index("bar")], bar / (bar + no_bar), rtol=1e-5)
    assert (conditional.low <= conditional.fractions).all()
    assert (conditional.fractions <= conditional.high).all()
    assert table.schema.field("bar").metadata[b"description"].startswith(b"Predicted share of the votes of ")
    assert table["bar"].null_count == table["bar_low"].null_count == 1


def test_an_astropy_table_says_what_its_columns_mean(prediction):
    table = prediction.to_table(conditional=True)
    assert table.colnames == prediction.to_arrow(conditional=True).column_names
    assert "interval" in table["Class1.1_low"].description and table["ood_score"].unit is None
    assert table["ood"].mask.tolist() == [False, True, False, False]
    assert table["features"].shape == (4, 1280)
    np.testing.assert_array_equal(table["Class1.1"], prediction.fractions[:, 0])


def test_a_pandas_frame(prediction):
    pytest.importorskip("pandas")
    frame = prediction.to_pandas(conditional=True)
    assert frame.loc[0, "bar"] == prediction.conditional().fractions[0, 5]


def test_cut_up_and_put_together(prediction):
    parts = [prediction[:1], prediction[np.array([1, 2])], prediction[np.array([False, False, False, True])]]
    assert list(map(len, parts)) == [1, 2, 1]
    assert Prediction.concat(parts).to_arrow(conditional=True) == prediction.to_arrow(conditional=True)
