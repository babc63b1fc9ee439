"""The shipped trees say what their surveys say."""

import json
from importlib import resources

import numpy as np
import pytest

from galvote.trees import DecisionTree, asked_share, find_tree, list_trees, load_tree, to_cumulative

SIZES = {
    "gz-candels": (17, 50),
    "gz-cosmic-dawn": (13, 45),
    "gz-decals": (10, 34),
    "gz-euclid": (13, 46),
    "gz-hubble": (18, 57),
    "gz1": (1, 6),
    "gz2": (11, 37),
    "gz2-survey": (11, 37),
}


def shares(name: str) -> dict[str, float]:
    """Return the share of a crowd that is asked each question if it divides evenly at each."""
    tree = load_tree(name)
    even = np.concatenate([np.full(len(q.answers), 1 / len(q.answers)) for q in tree.questions])
    cumulative = to_cumulative(tree, even[None])
    return dict(zip(tree.slices, asked_share(tree, cumulative)[0].tolist(), strict=True))


def test_questions_and_answers() -> None:
    trees = [load_tree(name) for name in list_trees()]
    assert {tree.name: (len(tree.questions), len(tree)) for tree in trees} == SIZES


def test_the_survey_asks_what_the_challenge_has() -> None:
    ours, theirs = load_tree("gz2"), load_tree("gz2-survey")
    for answer, other in zip(ours.answers, theirs.answers, strict=True):
        same = ("name", "text", "phrase", "label", "leads_to")
        assert [getattr(answer, one) for one in same] == [getattr(other, one) for one in same]
        assert answer.columns.items() < other.columns.items()
    assert (ours.kinds, ours.highlights) == (theirs.kinds, theirs.highlights)
    assert shares("gz2-survey")["odd"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("model", ["galvote-base", "galvote-small"])
def test_shipped_models_answer_the_challenge(model: str) -> None:
    card = resources.files("galvote").joinpath("weights", model, "card.json").read_text(encoding="utf-8")
    assert DecisionTree.from_dict(json.loads(card)["tree"]) == load_tree("gz2")


@pytest.mark.parametrize(
    ("name", "root", "last"),
    [
        ("gz-decals", "smooth-or-featured", "merging"),
        ("gz-cosmic-dawn", "smooth-or-featured", "merging"),
        ("gz-euclid", "smooth-or-featured", "merging"),
        ("gz-hubble", "smooth_or_features", "odd"),
        ("gz-candels", "smooth_or_features", "merging"),
    ],
)
def test_all_who_see_a_galaxy_meet_at_the_last_question(name: str, root: str, last: str) -> None:
    asked = shares(name)
    assert asked[root] == 1 and asked[last] == pytest.approx(2 / 3)  # a third see a star or artifact


def test_shares_in_decals_and_euclid() -> None:
    for name in ("gz-decals", "gz-euclid"):
        asked = shares(name)
        assert [asked[q] for q in ("bar", "has-spiral-arms", "bulge-size")] == pytest.approx([1 / 6] * 3)
        assert [asked[q] for q in ("spiral-winding", "spiral-arm-count")] == pytest.approx([1 / 12] * 2)
        assert asked["edge-on-bulge"] == pytest.approx(1 / 6) and asked["how-rounded"] == pytest.approx(1 / 3)
    assert asked["clumps"] == pytest.approx(1 / 6) and asked["artifact"] == pytest.approx(1 / 9)


@pytest.mark.parametrize(
    ("columns", "tree"),
    [
        (
            ["iauname", "smooth-or-featured_smooth", "smooth-or-featured_artifact", "bar_weak_fraction"],
            "gz-decals",
        ),
        (
            ["id_str", "smooth-or-featured_smooth_fraction", "smooth-or-featured_problem_fraction"],
            "gz-euclid",
        ),
        (["id_str", "smooth-or-featured-euclid_smooth"], "gz-euclid"),
        (["id_str", "smooth-or-featured-cd_smooth", "clumps-cd_yes"], "gz-cosmic-dawn"),
        (["survey_id", "t02_edgeon_a01_yes_weighted_fraction"], "gz-hubble"),
        (["ID", "t00_smooth_or_featured_a0_smooth_weighted_frac"], "gz-candels"),
        (["OBJID", "P_EL", "P_CW"], "gz1"),
        (["dr7objid", "t01_smooth_or_features_a01_smooth_debiased"], "gz2-survey"),
        (["GalaxyID", "Class1.1"], "gz2"),
    ],
)
def test_published_tables_are_recognised(columns: list[str], tree: str) -> None:
    assert find_tree(columns, "table.csv").name == tree
