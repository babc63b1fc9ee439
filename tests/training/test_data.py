"""From images and votes to batches that can be made again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from galvote.errors import RecipeError, TrainingError
from galvote.images import Changes, Geometry, PackedStore, change
from galvote.labels import Votes, split_by_id
from galvote.training import TrainingData, load_recipe
from galvote.training.batches import Batch, GalaxyBatches, make_loaders
from galvote.training.examples import gather_examples
from galvote.training.world import World
from galvote.trees import load_tree

GZ2 = load_tree("gz2")

COUNT = 41
IDS = tuple(f"g{i}" for i in range(COUNT))
VALIDATION = "data.validation=0.3"


@pytest.fixture
def store() -> PackedStore:
    """Return cutouts that are as bright as their number all over, whichever way they are turned."""
    cutouts = np.empty((COUNT, 16, 16, 3), dtype=np.uint8)
    cutouts[:] = np.arange(COUNT)[:, None, None, None]
    return PackedStore(IDS, cutouts, Geometry(pixels=16))


@pytest.fixture
def votes() -> Votes:
    return Votes(GZ2, IDS, np.zeros((COUNT, 37)), None)


def recipe_for(name: str = "galvote-small", *settings: str):
    small = ["network.pixels=12", "training.batch_size=8", "cutout.pixels=16", VALIDATION]
    if name == "galvote-small":
        small += ["training.progressive_resizing=12", "data.unlabelled=false", "augmentation.changes.share=0"]
    return load_recipe(name, [*small, *settings])


def batches_of(recipe, store: PackedStore, votes: Votes, count: int = COUNT) -> GalaxyBatches:
    splits = {galaxy: "train" if i < count - 2 else "validation" for i, galaxy in enumerate(IDS[:count])}
    data = gather_examples(recipe, store, votes, splits=splits)
    return GalaxyBatches(recipe, store, data.training, recipe.augmentation, recipe.training.batch_size)


def seen(batches: list[Batch]) -> list[int]:
    """Return the numbers of the galaxies by how bright they are."""
    return [int(image[0, 0, 0]) for batch in batches for image in batch.images]


def test_a_batch_is_a_function_of_seed_epoch_and_number(store, votes):
    store.cutouts[:] = np.random.default_rng(0).integers(0, 256, store.cutouts.shape)
    once, again = (batches_of(recipe_for(), store, votes) for _ in range(2))
    made = once[(3, 2)]
    for _ in range(2):
        torch.rand(7)
        np.random.default_rng().random()
    assert all(map(torch.equal, made[:1], again[(3, 2)][:1]))
    assert not torch.equal(made.images, once[(4, 2)].images)
    assert not torch.equal(made.images, once[(3, 1)].images)
    assert torch.equal(made.images, once[(3, 2)].images), "whatever was asked for in between"
    other = batches_of(recipe_for("galvote-small", "seed=1"), store, votes)
    assert not torch.equal(made.images, other[(3, 2)].images)


@pytest.mark.parametrize("name", ["galvote-small", "sharma2020"])
def test_each_galaxy_comes_once_an_epoch_in_another_order(store, votes, name):
    batches = batches_of(recipe_for(name), store, votes)
    epochs = [seen([batches[(epoch, number)] for number in range(len(batches))]) for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(COUNT - 2))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(("galaxies", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (5, [5])])
def test_a_lone_last_galaxy_joins_the_batch_before(store, votes, galaxies, sizes):
    batches = batches_of(recipe_for(), store, votes, galaxies + 2)
    assert [len(batches[(0, number)].images) for number in range(len(batches))] == sizes


def test_labels_stay_with_their_pictures(store, votes):
    votes.fractions[:, 0] = np.arange(COUNT) / COUNT
    batch = batches_of(recipe_for(), store, votes)[(1, 1)]
    np.testing.assert_allclose(batch.fractions[:, 0], np.array(seen([batch])) / COUNT, rtol=1e-6)


def test_augmentation_turns_moves_and_colours(store, votes):
    store.cutouts[:] = 0
    store.cutouts[:, 3:6, 3:6, 0] = 250
    still = batches_of(recipe_for("sharma2020"), store, votes)[(0, 0)].images
    assert (still == still[0]).all()
    moved = batches_of(recipe_for("sharma2020-augmented"), store, votes)[(0, 0)].images
    assert len({tuple(image.flatten().tolist()) for image in moved}) == len(moved)
    coloured = batches_of(recipe_for("sharma2020", "augmentation.colour=0.5"), store, votes)[(0, 0)].images
    assert len({tuple(image.flatten().tolist()) for image in coloured}) > len(coloured) // 2


def test_validation_sees_every_galaxy_in_order_as_it_is(store, votes):
    recipe = recipe_for()
    data = gather_examples(recipe, store, votes)
    _, loader = make_loaders(recipe, data)
    first, second = list(loader), list(loader)
    assert seen(first) == data.validation.rows.tolist()
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, second, strict=True))
    expected = torch.from_numpy(store.cutouts[data.validation.rows])[:, :12, :12]
    assert torch.equal(torch.cat([batch.images for batch in first]), expected)


def test_loading_draws_nothing_from_the_stream_of_dropout(store, votes):
    recipe = recipe_for()
    training, validation = make_loaders(recipe, gather_examples(recipe, store, votes))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(training)
    list(validation)
    assert torch.equal(torch.get_rng_state(), before)


def test_splits_are_a_hash_of_the_id(store, votes):
    recipe = recipe_for()
    data = gather_examples(recipe, store, votes)
    shares = {"train": 0.7, "validation": 0.3}
    expected = split_by_id(IDS, shares, recipe.seed)
    assert set(data.validation.ids) == {IDS[i] for i in range(COUNT) if expected[i] == "validation"}
    assert set(data.training.ids) | set(data.validation.ids) == set(IDS)
    other = gather_examples(recipe_for("galvote-small", "seed=5"), store, votes)
    assert other.validation.ids != data.validation.ids


def test_splits_may_come_from_a_table(store, votes):
    names = ("train", "validation", "test", "")
    splits = {galaxy: names[i % 4] for i, galaxy in enumerate(IDS[:-1])}
    data = gather_examples(recipe_for(), store, votes, splits=splits)
    assert data.training.ids == IDS[:-1:4]
    assert data.validation.ids == IDS[1:-1:4]
    assert data.left_out["in no split"] == COUNT - len(data.training) - len(data.validation)


def test_unknown_columns_are_masked_or_left_out(store, votes):
    votes.fractions[::2, 5:] = np.nan
    everything = gather_examples(recipe_for(), store, votes)
    assert len(everything.training) + len(everything.validation) == COUNT
    assert everything.training.complete < len(everything.training)
    assert np.isnan(everything.training.fractions).any()
    complete = gather_examples(recipe_for("galvote-small", "data.labels=complete"), store, votes)
    assert set(complete.training.ids) | set(complete.validation.ids) == set(IDS[1::2])
    assert complete.left_out["votes with unknown columns"] == 21


def test_galaxies_with_a_class_alone_serve_training_alone(store, votes):
    known = votes.select(np.arange(30))
    classes = {IDS[0]: "disc", IDS[35]: "disc", IDS[36]: "round", "elsewhere": "odd"}
    data = gather_examples(recipe_for(), store, known, classes=classes)
    assert data.class_names == ("disc", "odd", "round")
    assert {IDS[35], IDS[36]} <= set(data.training.ids)
    assert not {IDS[35], IDS[36]} & set(data.validation.ids)
    row = data.training.ids.index(IDS[36])
    assert np.isnan(data.training.fractions[row]).all()
    assert data.training.classes[row] == 2
    assert (data.training.classes >= 0).sum() + (data.validation.classes >= 0).sum() == 3
    assert data.left_out["images without votes"] == COUNT - 30 - 2
    split = dict.fromkeys(IDS[:20], "train") | dict.fromkeys(IDS[20:], "validation")
    watched = gather_examples(recipe_for(), store, known, classes=classes, splits=split).validation
    assert watched.ids == IDS[20:30]


def test_classes_that_no_loss_uses_bring_no_galaxies(store, votes):
    known = votes.select(np.arange(30))
    recipe = recipe_for("galvote-small", "training.classes_weight=0")
    data = gather_examples(recipe, store, known, classes=dict.fromkeys(IDS, "disc"))
    assert data.class_names == ()
    assert len(data.training) + len(data.validation) == 30


def test_ids_that_do_not_match_are_an_error_that_counts(store, votes):
    strangers = Votes(GZ2, tuple(f"x{i}" for i in range(COUNT)), votes.fractions, None)
    with pytest.raises(TrainingError, match=r"Only 0 galaxies.*41 votes without image,.*Check that the ids"):
        gather_examples(recipe_for(), store, strangers)
    with pytest.raises(TrainingError, match=r"Only 0 galaxies.*'validation'"):
        gather_examples(recipe_for(), store, votes, splits=dict.fromkeys(IDS, "train"))


def test_answers_that_make_no_whole_question_train_no_cross_entropy(store, votes):
    votes.fractions[:, 1:] = np.nan
    recipe = recipe_for("residual", "training.loss=cross-entropy")
    says = r"'train' has the fractions of all answers.* --set training\.loss=squared"
    with pytest.raises(TrainingError, match=says):
        gather_examples(recipe, store, votes)
    squared = gather_examples(recipe_for("residual"), store, votes)
    assert squared.training.voted.all()


def test_validation_without_a_known_fraction_is_refused(store, votes):
    splits = dict.fromkeys(IDS[:30], "train") | dict.fromkeys(IDS[30:], "validation")
    votes.fractions[30:] = np.nan
    with pytest.raises(TrainingError, match=r"'validation' has a known fraction.* give others in --splits"):
        gather_examples(recipe_for("residual"), store, votes, splits=splits)


def test_a_teacher_teaches_galaxies_of_which_nothing_is_known(store, votes):
    splits = dict.fromkeys(IDS[:30], "train") | dict.fromkeys(IDS[30:], "validation")
    votes.fractions[:30] = np.nan
    with pytest.raises(TrainingError, match=r"'train' has a known fraction"):
        gather_examples(recipe_for("residual"), store, votes, splits=splits)
    taught = recipe_for("residual", "data.representative=0", "training.teacher=galvote-base")
    assert len(gather_examples(taught, store, votes, splits=splits).training) == 30


def digest_of(data: TrainingData) -> str:
    return data.training.digest()


def test_the_digest_knows_every_label(store, votes):
    recipe = recipe_for()
    before = digest_of(gather_examples(recipe, store, votes))
    assert digest_of(gather_examples(recipe, store, votes)) == before
    votes.fractions[gather_examples(recipe, store, votes).training.rows[0], 36] = 0.5
    assert digest_of(gather_examples(recipe, store, votes)) != before


def samples_of(chosen: int) -> dict[str, str]:
    return {galaxy: "complete" if i < chosen else "enriched" for i, galaxy in enumerate(IDS)}


def test_an_epoch_is_shuffled_once_whatever_its_batches(store, votes):
    batches = batches_of(recipe_for(), store, votes)
    order = batches.order(2)
    seen([batches[(2, number)] for number in range(len(batches))])
    assert batches.order(2) is order


def representative_batches(store: PackedStore, votes: Votes, samples: dict[str, str] | None) -> GalaxyBatches:
    recipe = recipe_for("residual", "training.epochs=4", "data.representative=0.5")
    splits = dict.fromkeys(IDS[:-2], "train") | dict.fromkeys(IDS[-2:], "validation")
    data = gather_examples(recipe, store, votes, splits=splits, samples=samples)
    return GalaxyBatches(recipe, store, data.training, recipe.augmentation, recipe.training.batch_size)


def test_the_last_epochs_draw_from_the_representative_sample_and_are_as_long(store, votes):
    batches = representative_batches(store, votes, samples_of(9))
    orders = [batches.order(epoch) for epoch in range(4)]
    assert [len(order) for order in orders] == [COUNT - 2] * 4
    for order in orders[:2]:
        assert sorted(order) == list(range(COUNT - 2))
    for order in orders[2:]:
        drawn = np.bincount(order, minlength=COUNT - 2)
        assert set(drawn[:9]) == {4, 5} and drawn[9:].sum() == 0
    assert orders[2].tolist() != orders[3].tolist()
    last = [batches[(3, number)] for number in range(len(batches))]
    assert sum(len(batch.images) for batch in last) == COUNT - 2
    np.testing.assert_array_equal(batches.order(3), orders[3])


def test_without_samples_all_votes_count_as_representative(store, votes):
    batches = representative_batches(store, votes, None)
    assert all(sorted(batches.order(epoch)) == list(range(COUNT - 2)) for epoch in range(4))


def test_a_representative_sample_that_is_not_there_is_an_error(store, votes):
    with pytest.raises(TrainingError, match=r"`sample` says 'complete'.* or --set data\.representative=0"):
        representative_batches(store, votes, samples_of(0))


def test_an_epoch_draws_a_share_of_the_galaxies_with_a_class_alone(store, votes):
    recipe = recipe_for("residual", "data.hard_label_fraction=0.4")
    known, splits = (
        votes.select(np.arange(22)),
        dict.fromkeys(IDS, "train") | dict.fromkeys(IDS[:2], "validation"),
    )
    data = gather_examples(recipe, store, known, classes=dict.fromkeys(IDS, "disc"), splits=splits).training
    assert len(data) == 39 and data.voted.sum() == 20
    batches = GalaxyBatches(recipe, store, data, recipe.augmentation, 8)
    orders = [batches.order(epoch) for epoch in range(6)]
    for order in orders:
        assert len(order) == len(set(order)) == 20 + 8
        assert data.voted[order].sum() == 20
    drawn = {row for order in orders for row in order}
    assert len(drawn) > 20 + 12, "others in each epoch"
    assert sum(len(batches[(0, number)].images) for number in range(len(batches))) == 28


def test_pictures_grow(store, votes):
    grow = ("training.progressive_resizing=16", "network.pixels=72", "training.epochs=8")
    batches = batches_of(recipe_for("residual", *grow), store, votes)
    widths = [batches.pixels(epoch) for epoch in range(8)]
    assert widths[0] == 16 and widths == sorted(widths) and widths[6:] == [72, 72]
    assert all(width % 16 == 0 for width in widths[:6]) and len(set(widths)) >= 4
    for epoch in (0, 3, 7):
        assert batches[(epoch, 0)].images.shape == (8, widths[epoch], widths[epoch], 3)
    recipe = recipe_for("residual", *grow)
    data = gather_examples(recipe, store, votes).validation
    watched = GalaxyBatches(recipe, store, data, None, 8)
    assert watched[(0, 0)].images.shape[1] == 72


def test_pictures_that_nothing_else_changes_grow_too(store, votes):
    still = ("augmentation.rotation=false", "augmentation.flip=false", "augmentation.shift=0",
             "augmentation.zoom=1", "augmentation.colour=0")  # fmt: skip
    grow = ("training.progressive_resizing=16", "network.pixels=72", "training.epochs=8")
    batches = batches_of(recipe_for("residual", *still, *grow), store, votes)
    assert [batches[(epoch, 0)].images.shape[1] for epoch in (0, 7)] == [16, 72]


@pytest.mark.parametrize("devices", [2, 3])
def test_devices_share_each_batch_as_one_sees_it(store, votes, devices):
    store.cutouts[:] = np.random.default_rng(0).integers(0, 256, store.cutouts.shape)
    fractions = np.where(np.arange(COUNT)[:, None] % 2, votes.fractions, np.nan)
    votes = replace(votes, fractions=fractions)
    classes = dict.fromkeys(IDS[::2], "disc")
    recipe = recipe_for("galvote-small", "training.batch_size=7", "training.classes_weight=0.1")
    data = gather_examples(recipe, store, votes, classes=classes)

    def batches(world: World) -> list[Batch]:
        return list(make_loaders(recipe, data, world)[0])

    whole = batches(World())
    shares = [batches(World(devices=devices, rank=rank)) for rank in range(devices)]
    assert {len(share) for share in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        if len(batch.images) >= 2 * devices:
            assert all(len(part.images) >= 2 for part in parts)
            for key in ("images", "fractions", "classes"):
                joined = torch.cat([getattr(part, key) for part in parts])
                torch.testing.assert_close(joined, getattr(batch, key), rtol=0, atol=0, equal_nan=True)
        else:
            torch.testing.assert_close(parts[0].fractions, batch.fractions, equal_nan=True)
            for part in parts[1:]:
                assert torch.equal(part.images, batch.images)
                assert part.fractions.isnan().all() and (part.classes == -1).all()
    assert any(len(batch.images) < 2 * devices for batch in whole), "a small batch is among them"


def test_a_batch_has_to_be_large_enough_for_the_devices(store, votes):
    recipe = recipe_for()
    data = gather_examples(recipe, store, votes)
    with pytest.raises(TrainingError, match=r"too small for 5 devices.*--set training\.batch_size=10"):
        make_loaders(recipe, data, World(devices=5))


SOME = ("augmentation.changes.share=0.5", "augmentation.rotation=false", "augmentation.flip=false")
STILL = ("augmentation.shift=0", "augmentation.zoom=1", "augmentation.changes.zoom=1")


def test_a_share_of_the_pictures_is_changed_and_labels_are_not(store, votes):
    store.cutouts[:] = np.random.default_rng(0).integers(60, 200, (1, 16, 16, 3))
    votes.fractions[:, 0] = np.arange(COUNT) / COUNT
    plain = batches_of(recipe_for("galvote-small", *SOME[1:], *STILL), store, votes)
    batches = batches_of(recipe_for("galvote-small", *SOME, *STILL), store, votes)
    pairs = [(batches[(0, i)], plain[(0, i)]) for i in range(len(batches))]
    changed = np.concatenate([(a.images != b.images).flatten(1).any(1).numpy() for a, b in pairs])
    assert 0.25 < changed.mean() < 0.75
    assert all(torch.equal(a.fractions, b.fractions) for a, b in pairs)


@pytest.mark.parametrize(
    ("kept", "seen_in"),
    [
        ("single_band=1", lambda image: (image == image[..., :1]).all()),
        ("gamma=3", lambda image: len(np.unique(image.reshape(-1, 3), axis=0)) == 2),
        ("white_balance=2", lambda image: (image[..., 0] != image[..., 1]).any()),
        ("blur=0.5", lambda image: len(np.unique(image)) > 4),
        ("noise=0.2", lambda image: len(np.unique(image)) > 20),
        ("jpeg_quality=1", lambda image: len(np.unique(image)) > 4),
    ],
)
def test_each_change_can_be_had_alone(kept, seen_in):
    neutral = {"blur": 0, "noise": 0, "gamma": 1, "asinh": 0, "white_balance": 1, "single_band": 0}
    name, value = kept.split("=")
    changes = Changes.model_validate({**neutral, "jpeg_quality": 100, name: float(value)})
    picture = np.full((32, 32, 3), 40, np.uint8)
    picture[8:20, 8:20] = (200, 200, 200) if name != "single_band" else (200, 150, 90)
    made = [change(picture, 8.0, changes, random) for random in np.random.default_rng(0).spawn(30)]
    different = [image for image in made if (image != picture).any()]
    assert len(different) >= 4
    assert all(image.shape == picture.shape and image.dtype == np.uint8 for image in made)
    assert all(map(seen_in, different))


def test_pictures_of_which_nothing_is_known_are_left_to_a_teacher(store, votes):
    some = votes.select(np.arange(COUNT) < 30)
    splits = {galaxy: "train" if i < 20 else "validation" for i, galaxy in enumerate(IDS[:30])}
    taught = recipe_for("galvote-small", "data.unlabelled=true", "data.representative=0")
    assert gather_examples(taught, store, some, splits=splits).training.ids == (*IDS[:20], *IDS[30:])
    alone = recipe_for("galvote-small", "data.unlabelled=false", "data.representative=0")
    assert gather_examples(alone, store, some, splits=splits).training.ids == IDS[:20]
    with pytest.raises(RecipeError, match=r"unlabelled = true.*teacher"):
        recipe_for("sharma2020", "data.unlabelled=true")
