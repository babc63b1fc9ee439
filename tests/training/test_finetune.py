"""Full fine-tuning: a trained model learns another tree."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import galvote
from galvote.errors import GalvoteError
from galvote.images import PackedStore
from galvote.labels import Votes, read_votes
from galvote.models import load_card, load_model
from galvote.training import load_recipe
from galvote.training.finetune import finetune_network, predict_folds
from galvote.training.task import GalaxyTask

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ["training.epochs=2", "training.batch_size=8", "training.precision=float32"]


@pytest.fixture(scope="module", autouse=True)
def _without_figures() -> Iterator[None]:
    """Draw none: they cost more than a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galvote.training.run_folder.plot_curves", lambda *drawn: None)
        yield


@pytest.fixture(scope="module")
def classes(simulated) -> Votes:
    return read_votes(simulated / "classes.csv")


def test_a_model_learns_other_labels_and_stays_an_ordinary_model(trained, packed, classes, tmp_path):
    store, told, steps = PackedStore.open(packed), list[str](), list[tuple[int, int]]()
    best = finetune_network(
        trained,
        store,
        classes,
        classes.ids[:14],
        classes.ids[14:],
        tmp_path / "run",
        settings=QUICK,
        report=told.append,
        on_progress=lambda *step: steps.append(step),
    )
    assert told[0] == "The encoder begins as that of tiny, and the head is new"
    assert steps[-1] == (4, 4)
    card, parent = load_card(best), load_card(trained / "best")
    assert (card.network, card.cutout) == (parent.network, parent.cutout)
    assert card.recipe["augmentation"] == parent.recipe["augmentation"]
    begun = card.data["pretrained"]
    assert (begun["sha256"], begun["part"]) == (parent.weights_sha256, "encoder")
    prediction = galvote.load(best, "torch-float32").predict_cutouts(store.cutouts)
    assert prediction.fractions.shape == (60, 2)
    np.testing.assert_allclose(prediction.fractions.sum(axis=1), 1, rtol=1e-5)


def test_a_fitted_head_is_where_training_starts(trained, packed, classes, tmp_path):
    rng = np.random.default_rng(0)
    head = rng.normal(size=(2, 16)).astype(np.float32), np.array([1.0, -1.0], np.float32)
    slow = [*QUICK, "training.epochs=1", "training.learning_rate=1e-9"]
    best = finetune_network(
        trained, PackedStore.open(packed), classes, classes.ids[:14], classes.ids[14:], tmp_path / "run",
        head=head, settings=slow,
    )  # fmt: skip
    network, _ = load_model(best)
    parent, _ = load_model(trained)
    np.testing.assert_allclose(network.head.linear.weight.detach(), head[0], atol=1e-6)
    for name, value in parent.encoder.state_dict().items():
        torch.testing.assert_close(network.encoder.state_dict()[name], value, atol=1e-6, rtol=0)


def test_each_fold_is_predicted_by_a_model_that_has_not_seen_it(trained, packed, classes, tmp_path):
    folds = [classes.ids[::2], classes.ids[1::2]]
    arguments = (trained, PackedStore.open(packed), classes, folds, tmp_path)
    predicted = predict_folds(*arguments, settings=[*QUICK, "training.epochs=1"])
    assert [part.shape for part, _ in predicted] == [(10, 2), (10, 2)]
    assert [features.shape for _, features in predicted] == [(60, 16), (60, 16)]
    for number in (1, 2):
        card = json.loads((tmp_path / f"fold-{number}" / "best" / "card.json").read_text())
        data = card["data"]
        assert data["training_galaxies"] + data["validation_galaxies"] == 10
    again = predict_folds(*arguments, settings=[*QUICK, "training.epochs=1"])
    for (fractions, _), (before, _) in zip(again, predicted, strict=True):
        np.testing.assert_array_equal(fractions, before, "gone on with, nothing is trained again")


def test_layers_far_from_the_head_learn_more_slowly(tiny_recipe, training_data):
    recipe = load_recipe(tiny_recipe, ["training.layer_decay=0.5"])
    task = GalaxyTask(recipe, training_data.tree, 0, 1)
    rates = {
        parameter: group["initial_lr"]
        for group in task.configure_optimizers()["optimizer"].param_groups
        for parameter in group["params"]
    }
    stem, first, last = (
        rates[task.network.get_parameter(f"encoder.{name}.weight")]
        for name in ("stem.0", "blocks.0.body.0", "blocks.1.body.0")
    )
    assert rates[task.network.head.linear.weight] == 5e-3
    assert (last, first, stem) == (2.5e-3, 1.25e-3, 5e-3 / 16)
    assert len(rates) == len([*task.network.parameters()])


def test_frozen_statistics_are_the_parents_and_a_run_stops_early_and_stays_so(
    tiny_recipe, trained, training_data, tmp_path
):
    settings = [f"training.pretrained={trained}", "training.freeze_batch_norm=true", "training.patience=2"]
    recipe = load_recipe(tiny_recipe, [*settings, "training.learning_rate=1e-12"])
    told = list[str]()
    run = tmp_path / "run"
    for resume in (False, True):
        galvote.training.fit(recipe, training_data, run, resume=resume, report=told.append)
    assert len(told) < 10 and (run / "last" / "card.json").is_file(), "the second time nothing is done"
    (parent, _), (network, _) = load_model(trained), load_model(run / "last")
    for name, value in parent.named_buffers():
        torch.testing.assert_close(network.get_buffer(name), value, rtol=0, atol=0)


def test_a_recipe_without_an_encoder_takes_its_models(trained, tmp_path):
    recipe = load_recipe("finetune", [f"training.pretrained={trained}", "network.dropout=0.1"])
    assert recipe.network.widths == (8, 16) and recipe.network.dropout == 0.1
    assert recipe.cutout.pixels == 64
    with pytest.raises(GalvoteError, match="No model at 'elsewhere'"):
        load_recipe("finetune", ["training.pretrained=elsewhere"])
    with pytest.raises(GalvoteError, match=r"network\.encoder"):
        load_recipe("finetune", ["training.pretrained=random"])


def test_settings_that_are_not_known_do_not_start_a_run(trained, packed, classes, tmp_path):
    with pytest.raises(GalvoteError, match=r"nearest valid name is 'training\.epochs'"):
        finetune_network(
            trained,
            PackedStore.open(packed),
            classes,
            [],
            [],
            tmp_path / "run",
            settings=["training.epoch=1"],
        )
    assert not Path(tmp_path / "run").exists()
