"""The weights in the package: as accurate, as honest and as steady as their documentation says."""

from pathlib import Path

import numpy as np
import pytest

import galvote
from galvote.calibration import cross_fit, measure_false_alarms
from galvote.images import COMPACT, View, try_cutout, warp_cutout
from galvote.inference.export import export_model
from galvote.io import list_sources
from galvote.labels import read_labels, read_votes
from galvote.metrics import Comparison, score
from galvote.models import load_calibration, load_model
from galvote.simulate import simulate_galaxies
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

SHIPPED = ("galvote-base", "galvote-small")
SIDE = COMPACT.pixels


@pytest.mark.parametrize("name", SHIPPED)
def test_real_galaxies_that_no_model_learned_from(name: str, real_galaxies: Path):
    data = real_galaxies / "galaxyzoo"
    split = read_labels(data / "splits.csv", "split")
    votes = read_votes([data / "training_solutions.csv"])
    votes = votes.select(np.array([split[galaxy] == "validation" for galaxy in votes.ids]))
    sources = list_sources(data / "compact").select(votes.ids)
    cutouts = np.stack([try_cutout(source.read, COMPACT) for source in sources])
    row_of = {galaxy: row for row, galaxy in enumerate(votes.ids)}
    actual = votes.fractions[[row_of[galaxy] for galaxy in sources.ids]]
    assert len(actual) == 500

    predictor = galvote.load(name)
    found = predictor.predict_cutouts(cutouts, level=0.9, features=True)
    assert score(Comparison(GZ2, found.fractions, actual))["rmse"] < 0.087  # asked for in one view: 0.090
    # These galaxies calibrated the model, so calibrations on random halves are measured on the other halves.
    (measured,) = cross_fit(found.fractions, actual, GZ2, (0.9,), halves=20)
    assert 0.88 < measured.coverage.overall < 0.92
    assert all(0.84 < share < 0.96 for share in measured.coverage.questions.values())
    assert (found.high - found.low).mean() == pytest.approx(measured.coverage.mean_width, rel=0.05)
    distances = predictor.calibration.ood.distances(found.features.astype(np.float32))
    assert measure_false_alarms(distances, 0.015)[0] < 0.03
    assert found.ood.mean() < 0.03

    some = cutouts[::3]
    angles = np.random.default_rng(0).uniform(0, 360, len(some))
    turned = [
        warp_cutout(cutout, View(angle=angle), SIDE) for cutout, angle in zip(some, angles, strict=True)
    ]
    assert np.abs(predictor.predict_cutouts(np.stack(turned)).fractions - found.fractions[::3]).mean() <= 0.01


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_no_galaxy_is_flagged(name: str):
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)
    blank = np.repeat(np.arange(0, 260, 20, dtype=np.uint8), SIDE * SIDE * 3).reshape(13, SIDE, SIDE, 3)
    galaxies = [galaxy.image for galaxy in simulate_galaxies(24, seed=1, pixels=424)]
    predictor = galvote.load(name)
    assert predictor.predict([*noise, *blank]).ood.all()
    assert predictor.predict(galaxies).ood.mean() < 0.2


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_their_graphs_compute_what_torch_computes(name: str, backend: str):
    pytest.importorskip("openvino" if backend == "openvino" else "onnxruntime")
    images = [galaxy.image for galaxy in simulate_galaxies(3, seed=2, pixels=424)]
    computed = galvote.load(name, backend)
    tolerance = 1e-5 if "float32" in computed.backend.name else 0.1
    np.testing.assert_allclose(
        computed.predict(images, scale="gz2").fractions,
        galvote.load(name, "torch-float32").predict(images, scale="gz2").fractions,
        atol=tolerance,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_they_can_be_exported(name: str, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    network, card = load_model(name)
    difference = export_model(network, card, load_calibration(name), tmp_path / "model.onnx")
    assert difference < 1e-3
    images = [galaxy.image for galaxy in simulate_galaxies(3, seed=2, pixels=424)]
    found = galvote.load(tmp_path / "model.onnx", "onnx").predict(images).fractions
    np.testing.assert_allclose(
        found, galvote.load(name, "torch-float32").predict(images).fractions, atol=1e-5
    )
