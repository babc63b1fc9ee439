"""A model as one ONNX file: whole by itself, equal to torch, and a model like any other to galvote."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from onnx.utils import Extractor

import galvote
from galvote.errors import CatalogueError, ModelError, OutputError
from galvote.images import Geometry, PackedStore, View, network_input
from galvote.inference import Manifest, Predictor, Settings, Shards
from galvote.inference.backends import installed_backends
from galvote.inference.export import export_model, refuse_unexportable
from galvote.inference.predict_shards import fill_shards
from galvote.inference.speed import fastest_backend, measure_speeds
from galvote.io import list_sources
from galvote.models import Card, GalaxyNetwork, load_model
from galvote.recipes import list_recipes
from galvote.training import load_recipe
from galvote.trees import DecisionTree, load_tree

GZ2 = load_tree("gz2")

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def exact(calibrated) -> Predictor:
    return galvote.load(calibrated, "torch-float32")


@pytest.fixture(scope="module")
def cutouts(packed) -> np.ndarray:
    """Return 64 cutouts."""
    stored = np.asarray(PackedStore.open(packed).cutouts)
    return np.concatenate([stored, stored[:4, ::-1]])


def untrained(name: str, **changes: object) -> tuple[GalaxyNetwork, Card]:
    torch.manual_seed(0)
    recipe = load_recipe(name)
    spec = recipe.network.model_copy(update=changes)
    card = Card(name=name, tree=GZ2.to_dict(), cutout=recipe.cutout, network=spec)
    return GalaxyNetwork(spec, GZ2).eval(), card


def fractions(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[column].to_numpy() for column in GZ2.columns])


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_file_alone_takes_cutouts_in_batches_of_any_size(exported, exact, cutouts, batch):
    session = onnxruntime.InferenceSession(exported)
    found, features = session.run(["fractions", "features"], {"cutouts": cutouts[:batch]})
    expected, expected_features = exact.predict_features(cutouts[:batch])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(features, expected_features, atol=0.05)


def test_the_file_says_what_it_takes_and_what_it_is(exported, exact):
    session = onnxruntime.InferenceSession(exported)
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("cutouts", "tensor(uint8)", ["batch", 64, 64, 3])
    given = {output.name: (output.type, output.shape) for output in session.get_outputs()}
    assert given == {
        "fractions": ("tensor(float)", ["batch", 37]),
        "features": ("tensor(float)", ["batch", exact.backend.width]),
    }
    about = session.get_modelmeta().custom_metadata_map
    assert Card.model_validate_json(about["card"]) == exact.card
    assert DecisionTree.from_dict(json.loads(about["tree"])) == GZ2
    assert tuple(json.loads(about["columns"])) == GZ2.columns
    assert about["galvote"] == galvote.__version__
    assert str(Path(torch.__file__).parent).encode() not in exported.read_bytes()


def test_cutouts_of_another_size_are_refused(exported):
    session = onnxruntime.InferenceSession(exported)
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(None, {"cutouts": np.zeros((1, 32, 32, 3), np.uint8)})
    with pytest.raises(ModelError, match="cutouts of 64 × 64"):
        galvote.load(exported).predict_cutouts(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("tta", [1, 6, 8])
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_an_exported_model_predicts_what_torch_predicts(exported, exact, cutouts, backend, tta):
    pytest.importorskip(backend)
    predictor = galvote.load(exported, backend)
    tolerance = 1e-4 if "float32" in predictor.backend.name else 0.02  # as far as bfloat16 is
    found, features = predictor.predict_features(cutouts, tta)
    expected, expected_features = exact.predict_features(cutouts, tta)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    assert features.shape == expected_features.shape
    assert np.corrcoef(features.ravel(), expected_features.ravel())[0, 1] > 0.999


def test_intervals_and_the_flag_come_along(exported, exact, simulated):
    table = galvote.load(exported, "onnx").predict(simulated / "images_training", level=0.8).to_arrow()
    expected = exact.predict(simulated / "images_training", level=0.8).to_arrow()
    assert table.schema == expected.schema
    assert table["ood"] == expected["ood"]
    for column in table.column_names[5:]:
        np.testing.assert_allclose(table[column], expected[column], atol=1e-3)


def test_rows_do_not_depend_on_the_number_of_cores(exported, simulated, monkeypatch):
    for backend in ("onnx", "openvino"):
        pytest.importorskip(backend)
        tables = list[pa.Table]()
        for cores in (1, 2):
            monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
            predictor = galvote.load(exported, backend)
            tables.append(predictor.predict([simulated / "images_training"] * 1).to_arrow())
        assert tables[0] == tables[1]


def test_shards_are_of_one_backend(exported, exact, simulated, tmp_path):
    sources, settings = list_sources(simulated / "images_training"), Settings()
    predictor = galvote.load(exported, "onnx")
    manifest = Manifest.of(predictor, sources, settings, 16)
    for task in ((2, 2), (1, 2)):
        fill_shards(predictor, sources, Shards.begin(tmp_path, manifest), settings, task=task)
    missing, statuses = Shards.open(tmp_path).count()
    assert not missing and statuses == {"ok": 60}
    with pytest.raises(CatalogueError, match=r"something else: backend onnx .*, now torch"):
        Shards.begin(tmp_path, Manifest.of(exact, sources, settings, 16))


def test_a_saved_models_graph_takes_the_weights_beside_it(own_model, cutouts, tmp_path):
    folder = Path(shutil.copytree(own_model, tmp_path / "tiny"))
    with pytest.raises(ModelError, match=r"no network.onnx; write it with: galvote export --model "):
        galvote.load(folder, "onnx")
    assert galvote.export(folder) <= 1e-3
    with pytest.raises(OutputError, match="exists already"):
        galvote.export(folder)
    graph = folder / "network.onnx"
    assert b"weights.safetensors" in graph.read_bytes()
    expected = galvote.load(folder, "torch-float32").predict_features(cutouts)
    for found, wanted in zip(galvote.load(folder, "onnx").predict_features(cutouts), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    with (folder / "weights.safetensors").open("ab") as weights:
        weights.write(b"more")
    with pytest.raises(ModelError, match="not the file that its card describes"):
        galvote.load(folder, "onnx")


def test_without_torch_a_model_needs_its_graph(calibrated, exported, monkeypatch):
    there = importlib.util.find_spec

    def installed(*missing: str) -> None:
        for module in ("backends", "folders", "predictor"):
            monkeypatch.setattr(
                f"galvote.inference.{module}.find_spec", lambda name: None if name in missing else there(name)
            )

    installed("openvino", "torch")
    assert galvote.load(exported).backend.name == "onnx float32 cpu"
    with pytest.raises(ModelError, match=r"no network.onnx, so it takes torch .*'galvote\[train\]'"):
        galvote.load(calibrated)
    for backend, extra in (("torch", "train"), ("openvino", "openvino")):
        with pytest.raises(ModelError, match=rf"not installed: pip install 'galvote\[{extra}\]'"):
            galvote.load("galvote-small", backend)
    with pytest.raises(ModelError, match=r"look into a network: pip install 'galvote\[train\]'"):
        _ = galvote.load("galvote-small").network


def test_the_fastest_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("galvote.inference.speed._IMAGES", 4)
    speeds = measure_speeds()
    assert set(speeds) == set(installed_backends()) and all(speed > 1 for speed in speeds.values())
    assert measure_speeds() == speeds, "it is read from the cache"
    slow = dict.fromkeys(speeds, 1.0)
    (path,) = (tmp_path / "galvote").iterdir()
    for fast in speeds:
        path.write_text(json.dumps(slow | {fast: 2.0}))
        assert fastest_backend() == fast
    path.write_text(json.dumps(slow | {"torch": 1.1}))
    assert fastest_backend() == "onnx", "it starts the soonest"
    path.write_text("{")
    assert set(measure_speeds()) == set(speeds)


def test_what_is_no_backend_is_refused(calibrated, exported):
    with pytest.raises(ModelError, match="no backend 'tpu'; choose one of auto, onnx, "):
        galvote.load(calibrated, "tpu")
    with pytest.raises(ModelError, match="which torch cannot compute"):
        galvote.load(exported, "torch")


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-1000], lambda data: b"\xff" * 100, lambda data: b"GIF89a"],
)
def test_a_damaged_file_is_refused(exported, tmp_path, damage: Callable[[bytes], bytes]):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damage(exported.read_bytes()))
    with pytest.raises(ModelError, match=r"damaged.onnx cannot be used .*export the model again"):
        galvote.load(path)
    with pytest.raises(ModelError, match="galvote export"):
        galvote.load(tmp_path / "nowhere.onnx")


def test_asking_makes_the_folder_and_nothing_else(tmp_path):
    refuse_unexportable(tmp_path / "new" / "m.onnx", overwrite=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


def test_a_model_that_differs_from_torch_is_not_written(calibrated, exported, tmp_path, monkeypatch):
    written = onnx.load(exported)
    monkeypatch.setattr("galvote.inference.export.export_network", lambda network: written)  # it takes long
    monkeypatch.setattr("galvote.inference.export._put_input_before", lambda model, card: written)
    monkeypatch.setattr("galvote.inference.export.TOLERANCE", 0.0)
    with pytest.raises(ModelError, match=r"from torch's, and .* is allowed, so nothing is written"):
        export_model(*load_model(calibrated), None, tmp_path / "tiny.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_file_makes_of_cutouts_what_a_network_is_shown(calibrated, exported, tmp_path, monkeypatch):
    """A large cutout is area-averaged first."""
    network, card = load_model(calibrated)
    card = card.model_copy(update={"cutout": Geometry(field_of_view=8.48, pixels=256)})
    itself = Extractor(onnx.load(exported)).extract_model(["images"], ["fractions", "features"])
    monkeypatch.setattr("galvote.inference.export.export_network", lambda network: itself)  # it takes long
    export_model(network, card, None, tmp_path / "tiny.onnx")
    model = onnx.load(tmp_path / "tiny.onnx")
    model.graph.output.extend(value for value in model.graph.value_info if value.name == "images")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    noise = np.random.default_rng(1).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    seen = session.run(["images"], {"cutouts": noise})[0].astype(int)
    expected = network_input(noise, [View()] * 3, card.cutout, card.network.geometry).astype(int)
    assert np.abs(seen - expected).max() <= 1
    assert np.abs(seen - expected).mean() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("name", [recipe.name for recipe in list_recipes()])
def test_every_recipes_network_can_be_exported(tmp_path, name):
    network, card = untrained(name)
    assert export_model(network, card, None, tmp_path / "model.onnx") <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("head", ["sigmoid", "softmax", "rectified", "dirichlet"])
def test_every_head_can_be_exported(tmp_path, head):
    network, card = untrained("residual", widths=(8,), depths=(1,), head=head)
    torch.nn.init.normal_(network.head.linear.weight, std=2)
    assert export_model(network, card, None, tmp_path / "model.onnx") <= 1e-3
