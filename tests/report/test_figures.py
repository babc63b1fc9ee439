import numpy as np
import pytest
from PIL import Image

from galvote.metrics import measure_reliability
from galvote.report import plot_curves, plot_heat_map, plot_reliability
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

HISTORY = [
    {
        "epoch": epoch,
        **{f"{part}_{what}": 0.2 / epoch for part in ("training", "validation") for what in ("loss", "rmse")},
    }
    for epoch in (1, 2, 3)
]


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_curves_are_drawn_and_redrawn(tmp_path):
    run = tmp_path / "run"
    before = [pixels(path) for path in plot_curves(HISTORY[:2], run)]
    paths = plot_curves(HISTORY, run)
    assert sorted(path.name for path in run.iterdir()) == ["loss.png", "rmse.png"]
    images = [pixels(path) for path in paths]
    for image, earlier in zip(images, before, strict=True):
        assert min(image.shape[:2]) > 400
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10
        assert image.shape != earlier.shape or (image != earlier).any()
    loss, rmse = (pixels(path) for path in plot_curves(HISTORY, run, mean_rmse=0.15))
    assert (loss == images[0]).all() and (rmse != images[1]).any(), "the mean predictor's line"


@pytest.mark.parametrize(
    "history",
    [[], [{"epoch": 1, "training_loss": 0.3}, {"epoch": 2, "training_loss": float("nan")}]],
    ids=["no rows", "gaps"],
)
def test_unfinished_histories_are_drawn(tmp_path, history):
    for path in plot_curves(history, tmp_path):
        pixels(path)


def test_heat_map_is_drawn_with_and_without_gaps(tmp_path):
    values = np.array([[np.nan, 0.2], [0.11, 3.0], [0.13, 250.0]])
    path = plot_heat_map(values, ["32", "64", "128"], ["0.5", "0.001"], tmp_path / "map.png", title="Sweep")
    with_gap = pixels(path)
    values[0, 0] = 0.15
    plot_heat_map(values, ["32", "64", "128"], ["0.5", "0.001"], path, title="Sweep")
    assert with_gap.shape == pixels(path).shape
    assert (with_gap != pixels(path)).any()
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize("value", [np.nan, 0.0, 0.12])
def test_heat_map_of_one_cell(tmp_path, value):
    pixels(plot_heat_map(np.array([[value]]), ["32"], ["0.1"], tmp_path / "map.png", title="One run"))


@pytest.mark.parametrize("questions", [1, 5])
def test_figure_has_room_for_any_number_of_questions(tmp_path, crowd, questions):
    found = measure_reliability(crowd.predicted, crowd.actual, GZ2)
    chosen = dict(list(found.items())[:questions])
    path = plot_reliability(chosen, tmp_path / "figures" / "reliability.png")
    assert min(pixels(path).shape[:2]) > 300
    assert [file.name for file in path.parent.iterdir()] == ["reliability.png"]
