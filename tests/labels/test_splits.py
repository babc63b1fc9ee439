"""A galaxy's split depends on its id alone."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galvote.errors import CatalogueError
from galvote.labels import split_by_id

SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}
ids = st.lists(st.text(max_size=20), unique=True, max_size=60)


@settings(deadline=None)
@given(ids, ids, st.integers(0, 5), st.randoms(use_true_random=False))
def test_stable_when_galaxies_are_added_or_shuffled(
    old: list[str], new: list[str], seed: int, random
) -> None:
    before = dict(zip(old, split_by_id(old, SHARES, seed), strict=True))
    everything = list({*old, *new})
    random.shuffle(everything)
    after = dict(zip(everything, split_by_id(everything, SHARES, seed), strict=True))
    assert {id_: after[id_] for id_ in old} == before
    assert set(after.values()) <= set(SHARES)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.05, 1), min_size=1, max_size=5), st.integers(0, 10**9))
def test_shares_are_about_right(weights: list[float], seed: int) -> None:
    shares = {f"part{i}": weight / sum(weights) for i, weight in enumerate(weights)}
    count = 4000
    found = Counter(split_by_id([str(number) for number in range(count)], shares, seed))
    for name, share in shares.items():
        # Six standard deviations of a binomial: chance does not get there.
        assert abs(found[name] / count - share) <= 6 * (share * (1 - share) / count) ** 0.5 + 1e-9


def test_seeds_draw_differently_and_known_ids_stay_where_they_were_in_the_first_release() -> None:
    ids = [str(number) for number in range(500)]
    assert split_by_id(ids, SHARES, 0) != split_by_id(ids, SHARES, 1)
    remembered = {"100008": "train", "100023": "test", "100053": "train", "": "train", "é": "test"}
    assert split_by_id(list(remembered), SHARES) == list(remembered.values())


def test_a_share_of_zero_gets_nothing() -> None:
    assert set(split_by_id([str(n) for n in range(2000)], {"none": 0.0, "all": 1.0, "no": 0.0})) == {"all"}


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": 0.6, "b": 0.6}])
def test_shares_that_are_none(shares: dict[str, float]) -> None:
    with pytest.raises(CatalogueError, match=r"must be in \[0, 1\] and sum to 1; these do not: \{"):
        split_by_id(["1"], shares)
