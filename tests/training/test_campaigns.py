"""Several campaigns at once: an encoder, and a head for each tree."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import galvote
from galvote.errors import GalvoteError
from galvote.images import PackedStore
from galvote.io import list_sources
from galvote.labels import read_votes
from galvote.training import fit, load_recipe
from galvote.training.examples import gather_examples
from galvote.trees import load_tree

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = "weights.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _without_figures() -> Iterator[None]:
    """Draw none: they cost more than a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galvote.training.run_folder.plot_curves", lambda *given: None)
        yield


@pytest.fixture(scope="module")
def arguments(tiny_recipe, simulated, packed, two_questions, tmp_path_factory):
    """Return how three trees are trained: the challenge's, one of two questions, and a column of classes."""
    settings = [
        "training.epochs=2",
        f"campaigns.two.votes={two_questions.votes}",
        f"campaigns.two.tree={two_questions.tree}",
        f"campaigns.shape.votes={simulated / 'classes.csv'}",
        "campaigns.shape.weight=3",
    ]
    # The challenge's table and its splits know half of the galaxies only.
    table = (simulated / "training_solutions.csv").read_text().splitlines()
    votes = tmp_path_factory.mktemp("half") / "votes.csv"
    votes.write_text("\n".join(table[:31]) + "\n")
    splits = votes.with_name("splits.csv")
    names = [f"{line.partition(',')[0]},{'train' if i % 4 else 'validation'}" for i, line in enumerate(table)]
    splits.write_text("\n".join(["id,split", *names[1:31]]) + "\n")
    return {"recipe": tiny_recipe, "images": packed, "votes": votes, "splits": splits, "settings": settings}


@pytest.fixture(scope="module")
def run(arguments, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("campaigns") / "run"
    told = list[str]()
    galvote.train(**arguments, out=folder, report=told.append)
    assert any("of the campaign two, with the tree two, " in sentence for sentence in told)
    assert any("two RMSE 0." in sentence and "shape RMSE 0." in sentence for sentence in told)
    return folder


def read_metrics(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_each_campaign_has_a_model_of_its_tree_on_one_encoder(run, two_questions, simulated):
    main, two, shape = (
        load_file(run / place / "last" / WEIGHTS) for place in (".", "campaigns/two", "campaigns/shape")
    )
    encoder = [name for name in main if name.startswith("encoder")]
    assert set(main) == set(two) == {*encoder, "head.linear.weight", "head.linear.bias"}
    assert all((main[name] == two[name]).all() and (main[name] == shape[name]).all() for name in encoder)
    assert [len(one["head.linear.bias"]) for one in (main, two, shape)] == [37, 4, 2]
    card = json.loads((run / "campaigns" / "two" / "best" / "card.json").read_text())
    assert (card["name"], card["tree"]["name"]) == ("tiny-two", "two")
    assert card["recipe"]["campaigns"] == {"two": {"weight": 1.0}, "shape": {"weight": 3.0}}
    known = card["data"]["campaigns"]["shape"]
    assert known["training_galaxies"] + known["validation_galaxies"] == 20
    assert {"votes.csv", "classes.csv"} <= {Path(name).name for name in card["data"]["files_sha256"]}
    votes = read_votes(two_questions.votes, load_tree(two_questions.tree))
    predicted = galvote.load(run / "campaigns" / "two", "torch-float32").predict(
        list_sources(simulated / "images_training")
    )
    assert predicted.fractions.shape == (60, 4)
    assert np.isfinite(predicted.fractions).all() and predicted.ids == votes.ids


def test_every_campaign_learns_and_is_validated_under_its_name(run):
    first, last = read_metrics(run)
    assert list(first)[5:] == [
        f"{name}_{part}_rmse" for name in ("two", "shape") for part in ("training", "validation")
    ]
    assert all(last[name] < first[name] for name in first if name.endswith("training_rmse"))


def test_a_stopped_run_goes_on_to_the_same_end(run, arguments, tmp_path):
    def stop(sentence: str) -> None:
        if sentence.startswith("epoch"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        galvote.train(**arguments, out=tmp_path / "run", report=stop)
    galvote.train(**arguments, out=tmp_path / "run", resume=True)
    assert read_metrics(tmp_path / "run") == read_metrics(run)
    for place in ("last", "campaigns/two/last", "campaigns/shape/best"):
        assert (tmp_path / "run" / place / WEIGHTS).read_bytes() == (run / place / WEIGHTS).read_bytes()


def test_a_campaign_of_no_weight_leaves_the_main_one_as_it_is(tiny_recipe, simulated, packed, tmp_path):
    votes, classes = read_votes(simulated / "training_solutions.csv"), read_votes(simulated / "classes.csv")
    first = list[dict[str, float]]()
    for name, campaigns in (("alone", {}), ("both", {"shape": classes})):
        settings = ["training.epochs=1", *(f"campaigns.{name}.weight=1e-12" for name in campaigns)]
        recipe = load_recipe(tiny_recipe, settings)
        data = gather_examples(recipe, PackedStore.open(packed), votes, campaigns=campaigns)
        fit(recipe, data, tmp_path / name)
        first += read_metrics(tmp_path / name)
    alone, both = first
    assert alone == pytest.approx({name: both[name] for name in alone}, rel=1e-5)
    assert both["shape_validation_rmse"] > 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("campaigns.two.weight=2", r"Give the table of the campaign two: --set campaigns\.two\.votes=TABLE"),
        ("campaigns.two.vote=a.csv", r"the nearest valid name is 'campaigns\.two\.votes'"),
        ("campaigns.two.weight=0", "greater than 0"),
        ('campaigns={"a/b" = {}}', "campaigns"),
    ],
)
def test_what_is_wrong_with_a_campaign_is_said(arguments, tmp_path, setting, says):
    with pytest.raises(GalvoteError, match=says):
        galvote.train(**{**arguments, "settings": [setting]}, out=tmp_path / "run")


def test_a_campaign_without_pictures_is_refused(arguments, tmp_path):
    (tmp_path / "votes.csv").write_text("id,class\nx1,ring\nx2,smooth\nx3,ring\n")
    settings = [f"campaigns.rings.votes={tmp_path / 'votes.csv'}"]
    with pytest.raises(GalvoteError, match=r"split 'train' has a known .* column of campaigns\.rings\.votes"):
        galvote.train(**{**arguments, "settings": settings}, out=tmp_path / "run")
