"""Recipes: frozen, validated, and helpful when mistyped."""

import pytest
from pydantic import ValidationError

from galvote.errors import RecipeError
from galvote.recipes import list_recipes
from galvote.training import load_recipe


def test_every_shipped_recipe_loads():
    assert {
        "sharma2020",
        "sharma2020-augmented",
        "sharma2020-deep3",
        "sharma2020-deep4",
        "dieleman2014",
        "dieleman2014-adamw",
        "residual",
        "galvote-teacher",
        "galvote-base",
        "galvote-small",
    } <= {recipe.name for recipe in list_recipes()}
    for name in (recipe.name for recipe in list_recipes()):
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description


def test_the_baseline_recipe_is_the_reports():
    recipe = load_recipe("sharma2020")
    assert recipe.training.model_dump() == {
        "epochs": 200,
        "batch_size": 1024,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "milestones": (),
        "ema_decay": 0.0,
        "classes_weight": 0.0,
        "loss": "squared",
        "pretrained": "random",
        "layer_decay": 1.0,
        "freeze_batch_norm": False,
        "patience": None,
        "teacher": (),
        "teacher_recipe": None,
        "teacher_weight": 0.5,
        "teacher_tta": 2,
        "progressive_resizing": None,
        "unnormalised": 0.0,
        "precision": "auto",
    }
    assert recipe.augmentation.changes.share == 0
    assert recipe.augmentation.model_dump(exclude={"changes"}) == {
        "rotation": False,
        "flip": False,
        "shift": 0.0,
        "zoom": 1.0,
        "colour": 0.0,
    }
    assert (recipe.network.encoder, recipe.network.blocks, recipe.network.pixels) == ("sharma2020", 2, 64)
    assert recipe.network.head == "sigmoid"


def test_its_augmented_form_differs_in_augmentation_alone():
    plain, augmented = load_recipe("sharma2020"), load_recipe("sharma2020-augmented")
    assert augmented.augmentation.rotation and augmented.augmentation.flip
    assert augmented.augmentation.shift > 0 and augmented.augmentation.zoom > 1
    changed = {"name": "", "description": "", "augmentation": plain.augmentation}
    assert augmented.model_copy(update=changed) == plain.model_copy(update=changed)


def test_a_setting_is_not_blamed_on_the_recipe_alone():
    with pytest.raises(RecipeError, match=r"^residual with training\.epoch=3 is no valid recipe"):
        load_recipe("residual", ["training.epoch=3"])


def test_recipes_are_frozen():
    recipe = load_recipe("sharma2020")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        recipe.training.epochs = 1


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("sed=1", "seed"),
        ("trainig.epochs=2", "training"),
        ("training.lerning_rate=1", "training.learning_rate"),
        ("network.pixel=32", "network.pixels"),
        ("cutout.pixel=32", "cutout.pixels"),
        ("data.label='all'", "data.labels"),
        ("augmentation.rotate=true", "augmentation.rotation"),
        ("learning_rate=1", "training.learning_rate"),
        ("training.zoom=2", "augmentation.zoom"),
        ("lr=1", "training.learning_rate"),
        ("training.bs=8", "training.batch_size"),
        ("training.wd=0.1", "training.weight_decay"),
        ("backbone=residual", "network.encoder"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_name(wrong, nearest):
    key = wrong.partition("=")[0]
    section = key.split(".")[0] if nearest == "training" else key
    with pytest.raises(RecipeError, match=rf"{section} is unknown; the nearest valid name is '{nearest}'"):
        load_recipe("sharma2020", [wrong])


def test_keys_of_another_encoder_are_said_to_be():
    with pytest.raises(RecipeError, match=r"network\.blocks is a setting of the encoder sharma2020 alone"):
        load_recipe("residual", ["network.blocks=3"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("training.epochs=0", r"training\.epochs: .*greater than or equal to 1"),
        ("training.batch_size=1", r"training\.batch_size: .*greater than or equal to 2"),
        ("training.learning_rate=-1", r"training\.learning_rate: .*greater than 0"),
        ("training.learning_rate=nan", r"training\.learning_rate: .*finite"),
        ("training.optimizer=lamb", r"training\.optimizer: .*'adam', 'adamw' or 'sgd'"),
        ("training=4", r"training: "),
        ("network.encoder=resnet", r"network: no encoder 'resnet'\. There are .*residual"),
        ("network.pixels=8", r"2 blocks need pixels = 10 or more"),
        (
            "network.field_of_view=6.0",
            r"network\.field_of_view = 6 is more than cutout\.field_of_view = 5\.12",
        ),
        ("augmentation.zoom=0.5", r"augmentation\.zoom: "),
        ("seed=-1", r"seed: "),
        ("seed.more=1", r"seed: "),
        ("training.epochs.more.deep=1", r"'epochs' is a value, not a section"),
        ("training.epochs", r"write it as section\.key=value"),
    ],
)
def test_wrong_values_are_refused_by_name(wrong, says):
    with pytest.raises(RecipeError, match=says):
        load_recipe("sharma2020", [wrong])


def test_networks_that_cannot_be_built_are_refused():
    with pytest.raises(RecipeError, match="2 widths and 1 depths"):
        load_recipe("residual", ["network.widths=[8, 16]", "network.depths=[1]"])
    with pytest.raises(RecipeError, match=r"network\.pixels: .*greater than or equal to 69"):
        load_recipe("dieleman2014", ["network.pixels=64"])
    with pytest.raises(RecipeError, match=r"progressive_resizing = 48 .* dieleman2014 takes one width alone"):
        load_recipe("dieleman2014", ["training.progressive_resizing=48"])
    with pytest.raises(RecipeError, match=r"progressive_resizing = 96 is more than network\.pixels = 64"):
        load_recipe("residual", ["training.progressive_resizing=96"])


def test_settings_are_toml_and_bare_words_are_text():
    assert load_recipe("sharma2020", "training.epochs=3").training.epochs == 3
    recipe = load_recipe(
        "residual",
        [
            "training.learning_rate=3e-4",
            "training.optimizer=sgd",
            'data.labels="complete"',
            "augmentation.flip=false",
            "network.widths=[8, 16]",
            "network.depths=[1, 1]",
            "name=mine",
        ],
    )
    assert recipe.training.learning_rate == 3e-4
    assert (recipe.training.optimizer, recipe.data.labels, recipe.name) == ("sgd", "complete", "mine")
    assert recipe.augmentation.flip is False
    assert recipe.network.widths == (8, 16)


def test_a_recipe_may_be_a_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        '[network]\nencoder = "sharma2020"\nfield_of_view = 5.12\npixels = 64\nhead = "softmax"\n'
    )
    recipe = load_recipe(path, ["training.epochs=3"])
    assert (recipe.name, recipe.network.head, recipe.training.epochs) == ("own", "softmax", 3)


def test_files_that_are_no_recipes(tmp_path):
    path = tmp_path / "own.toml"
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(path)
    path.write_text("[network")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(path)
    path.write_text("")
    with pytest.raises(RecipeError, match="network: Field required"):
        load_recipe(path)


def test_no_such_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match=r"did you mean 'sharma2020'.*dieleman2014"):
        load_recipe("sharma2021")
