"""The Galaxy Zoo 2 tree says what the challenge says (Willett et al. 2013, table 2)."""

import re

import numpy as np
import pytest

from galvote.errors import FractionError
from galvote.trees import (
    asked_share,
    decision_path,
    describe_path,
    find_violations,
    load_tree,
    to_conditional,
    to_cumulative,
)
from galvote.trees.kinds import name_kind

GZ2 = load_tree("gz2")

# Number of answers, and where each leads, by question number; 0 is the end.
LEADS_TO = {
    1: (7, 2, 0),
    2: (9, 3),
    3: (4, 4),
    4: (10, 5),
    5: (6, 6, 6, 6),
    6: (8, 0),
    7: (6, 6, 6),
    8: (0, 0, 0, 0, 0, 0, 0),
    9: (6, 6, 6),
    10: (11, 11, 11),
    11: (5, 5, 5, 5, 5, 5),
}


def column(name: str) -> int:
    return GZ2.columns.index(name)


def galaxy(**votes: float) -> np.ndarray:
    """Return conditional fractions: the named, like `Class4_1=0.3`; elsewhere all give the first answer."""
    conditional = np.zeros(len(GZ2))
    for columns in GZ2.slices.values():
        conditional[columns.start] = 1
    for name, fraction in votes.items():
        question = GZ2.questions[int(re.split(r"\D+", name)[1]) - 1].name
        if conditional[GZ2.slices[question]].max() == 1:
            conditional[GZ2.slices[question]] = 0
        conditional[column(name.replace("_", "."))] = fraction
    return conditional


def test_columns_are_those_of_the_submission() -> None:
    assert GZ2.columns == tuple(
        f"Class{q}.{a + 1}" for q, leads in LEADS_TO.items() for a in range(len(leads))
    )
    assert (len(GZ2.questions), len(GZ2)) == (11, 37)


def test_each_answer_leads_where_the_survey_says() -> None:
    numbers = {question.name: number for number, question in enumerate(GZ2.questions, start=1)}
    found = {
        numbers[question.name]: tuple(numbers.get(answer.leads_to or "", 0) for answer in question.answers)
        for question in GZ2.questions
    }
    assert found == LEADS_TO


def test_survey_stems_are_unique_and_numbered_as_in_the_catalogue() -> None:
    stems = [column.removesuffix("_count") for column in GZ2.published_columns("count")]
    numbers = [int(re.search(r"_a(\d\d)_", stem)[1]) for stem in stems]
    assert sorted(numbers) == [*range(1, 35), 36, 37, 38]
    assert {stem[:3] for stem in stems} == {f"t{number:02}" for number in range(1, 12)}
    assert stems[column("Class8.7")] == "t08_odd_feature_a38_dust_lane"


def test_odd_is_normalised_to_one_and_nothing_else_is() -> None:
    assert [question.name for question in GZ2.questions if question.always_asked] == ["odd"]
    # Nine in ten say "star or artifact", and were never asked whether it is odd.
    cumulative = to_cumulative(GZ2, galaxy(Class1_1=0.1, Class1_3=0.9, Class6_1=0.25, Class6_2=0.75)[None])
    odd = GZ2.slices["odd"]
    np.testing.assert_allclose(cumulative[0, odd], [0.25, 0.75])
    np.testing.assert_allclose(cumulative[0, GZ2.slices["odd_feature"]].sum(), 0.25)
    assert not find_violations(GZ2, cumulative).galaxies.any()


def test_bulge_weighs_as_not_edge_on_whichever_way_it_is_reached() -> None:
    cumulative = to_cumulative(
        GZ2, galaxy(Class1_1=0.2, Class1_2=0.8, Class2_1=0.5, Class2_2=0.5, Class4_1=0.3, Class4_2=0.7)[None]
    )
    shares = dict(zip(GZ2.slices, asked_share(GZ2, cumulative)[0], strict=True))
    not_edge_on = cumulative[0, column("Class2.2")]
    assert not_edge_on == pytest.approx(0.4)
    for name in ("bar", "spiral", "bulge"):
        assert shares[name] == pytest.approx(not_edge_on)
    for name in ("arm_winding", "arm_number"):
        assert shares[name] == pytest.approx(0.3 * not_edge_on)
    assert shares["roundness"] == pytest.approx(0.2)
    assert shares["edge_on_bulge"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("votes", "words"),
    [
        ({"Class6_2": 1}, "smooth, completely round → nothing odd"),
        (
            {
                "Class1_2": 1,
                "Class2_2": 1,
                "Class3_2": 1,
                "Class10_3": 1,
                "Class11_2": 1,
                "Class5_2": 1,
                "Class8_6": 1,
            },
            "featured → not edge-on → no bar → spiral, loosely wound, 2 arms → just noticeable bulge"
            " → odd, merger",
        ),
        ({"Class1_2": 1, "Class9_2": 1, "Class6_2": 1}, "featured → edge-on, boxy bulge → nothing odd"),
        ({"Class1_3": 1}, "star or artifact"),
    ],
)
def test_decision_path_in_words(votes: dict[str, float], words: str) -> None:
    cumulative = to_cumulative(GZ2, galaxy(**votes)[None])[0]
    assert describe_path(decision_path(GZ2, cumulative)) == words


@pytest.mark.parametrize(
    ("votes", "words", "kind"),
    [
        (
            {"Class1_1": 0.9, "Class1_2": 0.1, "Class7_1": 1},
            "smooth, completely round → nothing odd",
            "round",
        ),
        (
            {"Class1_1": 0.65, "Class1_2": 0.35, "Class7_1": 1},
            "probably smooth, completely round → nothing odd",
            "round",
        ),
        # The two ways meet where both are asked whether anything is odd.
        (
            {"Class1_1": 0.4, "Class1_2": 0.6},
            "featured or smooth, about even → nothing odd",
            "smooth or featured",
        ),
        (
            {"Class1_2": 1, "Class2_2": 1, "Class3_2": 1, "Class10_1": 0.4, "Class10_3": 0.6, "Class11_2": 1},
            "featured → not edge-on → no bar → spiral, loosely wound or tightly wound, 2 arms → no bulge"
            " → nothing odd",
            "spiral",
        ),
        (
            {"Class1_1": 1, "Class7_1": 0.55, "Class7_2": 0.45, "Class6_1": 0.5, "Class6_2": 0.5},
            "smooth, completely round or in between round and cigar-shaped → odd or nothing odd, about even",
            "smooth",
        ),
    ],
)
def test_words_are_hedged_where_an_interval_holds_a_tie(
    votes: dict[str, float], words: str, kind: str
) -> None:
    cumulative = to_cumulative(GZ2, galaxy(**{"Class6_2": 1, **votes})[None])[0]
    ends = cumulative - 0.2, cumulative + 0.2
    assert describe_path(decision_path(GZ2, cumulative, *ends)) == words
    assert name_kind(GZ2, cumulative, *ends).kind.name == kind


def test_decision_path_has_conditional_fractions_and_stops_where_nothing_is_known() -> None:
    cumulative = to_cumulative(GZ2, galaxy(Class1_1=0.4, Class1_2=0.6, Class2_1=0.25, Class2_2=0.75)[None])[0]
    cumulative[GZ2.slices["bar"]] = np.nan
    steps = decision_path(GZ2, cumulative)
    assert [(step.question.name, round(step.fraction, 6)) for step in steps] == [
        ("smooth_or_features", 0.6),
        ("edge_on", 0.75),
    ]


def test_cumulative_fractions_are_not_taken_for_conditional() -> None:
    cumulative = to_cumulative(GZ2, galaxy(Class1_1=0.4, Class1_2=0.6)[None])
    with pytest.raises(FractionError, match=r"'edge_on'.*1 galaxies, first row 0.*cumulative already"):
        to_cumulative(GZ2, cumulative)


def test_real_votes_obey_the_tree_and_survive_the_round_trip(real_galaxies) -> None:
    votes = np.genfromtxt(
        real_galaxies / "galaxyzoo" / "training_solutions.csv", delimiter=",", skip_header=1
    )
    cumulative = votes[:, 1:]
    assert not find_violations(GZ2, cumulative).galaxies.any()
    again = to_cumulative(GZ2, np.nan_to_num(to_conditional(GZ2, cumulative)))
    assert np.abs(again - cumulative).max() < 2e-4
