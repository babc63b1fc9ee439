import json

import numpy as np
import pytest

from galvote.errors import FractionError
from galvote.metrics import galaxy_rmse, score
from galvote.trees import GZ2, Answer, DecisionTree, Question

TREE = DecisionTree(
    "two questions",
    (
        Question(
            "disc", "Is it a disc?", (Answer("A.1", "yes", "disc", "arms"), Answer("A.2", "no", "no disc"))
        ),
        Question("arms", "Has it arms?", (Answer("B.1", "yes", "arms"), Answer("B.2", "no", "no arms"))),
    ),
)
ACTUAL = np.array([[1.0, 0.0, 0.5, 0.5], [0.2, 0.8, np.nan, np.nan]])
PREDICTED = np.array([[0.9, 0.1, 0.5, 0.4], [0.5, 0.5, 0.3, 0.2]])


def test_rmse_is_that_computed_by_hand():
    scores = score(PREDICTED, ACTUAL, TREE)
    # Squared differences: 0.01 0.01 0 0.01 of the first galaxy, 0.09 0.09 of the second.
    assert scores.rmse == pytest.approx((0.21 / 6) ** 0.5)
    assert scores.questions["disc"].rmse == pytest.approx((0.20 / 4) ** 0.5)
    assert scores.questions["arms"].rmse == pytest.approx((0.01 / 2) ** 0.5)
    assert scores.columns == pytest.approx({"A.1": 0.05**0.5, "A.2": 0.05**0.5, "B.1": 0.0, "B.2": 0.1})
    assert galaxy_rmse(PREDICTED, ACTUAL) == pytest.approx([(0.03 / 4) ** 0.5, 0.3])
    assert (scores.galaxies, scores.columns_scored) == (2, 4)


def test_baselines_are_those_computed_by_hand():
    scores = score(PREDICTED, ACTUAL, TREE)
    # Mean votes 0.6 0.4 0.5 0.5; only the first question varies, by 0.4 each way.
    assert scores.baselines.mean == pytest.approx((0.64 / 6) ** 0.5)
    assert scores.baselines.mean_from == "scored"
    assert scores.questions["disc"].mean_predictor_rmse == pytest.approx(0.4)
    assert scores.baselines.zeros == pytest.approx((2.18 / 6) ** 0.5)
    assert scores.baselines.ones == pytest.approx((0 + 1 + 0.25 + 0.25 + 0.64 + 0.04) ** 0.5 / 6**0.5)

    trained = score(PREDICTED, ACTUAL, TREE, mean=np.array([1.0, 0.0, 0.5, 0.5]))
    assert trained.baselines.mean_from == "training"
    assert trained.baselines.mean == pytest.approx((1.28 / 6) ** 0.5)


def test_columns_without_votes_are_left_out():
    actual = ACTUAL.copy()
    actual[:, 2:] = np.nan
    predicted = PREDICTED.copy()
    predicted[:, 2:] = np.nan  # no prediction is needed where there is nothing to compare with
    scores = score(predicted, actual, TREE)
    assert scores.rmse == pytest.approx((0.20 / 4) ** 0.5)
    assert list(scores.columns) == ["A.1", "A.2"]
    assert scores.questions["arms"].columns == ()
    assert scores.to_dict()["questions"]["arms"]["rmse"] is None
    json.dumps(scores.to_dict(), allow_nan=False)


def test_galaxies_without_any_vote_do_not_count(crowd):
    actual = np.vstack([crowd.actual, np.full((1, 37), np.nan)])
    predicted = np.vstack([crowd.predicted, np.ones((1, 37))])  # breaks the tree
    with_it, without = score(predicted, actual, GZ2), score(crowd.predicted, crowd.actual, GZ2)
    assert with_it.galaxies == without.galaxies == 40
    assert with_it.rmse == pytest.approx(without.rmse)
    assert with_it.rmse_interval == pytest.approx(without.rmse_interval)
    assert with_it.baselines.ones == pytest.approx(without.baselines.ones)
    assert with_it.tree_violations == without.tree_violations


def test_perfect_predictions_score_zero(crowd):
    scores = score(crowd.actual, crowd.actual, GZ2)
    assert scores.rmse == 0
    assert scores.rmse_interval == (0, 0)


def test_single_precision_predictions_are_not_off_the_tree(crowd):
    scores = score(crowd.predicted.astype(np.float32), crowd.actual, GZ2)
    assert scores.tree_violations.galaxies == 0
    assert scores.tree_violations.largest < 1e-5


def test_violations_are_counted_and_measured(crowd):
    predicted = crowd.predicted.copy()
    predicted[3, GZ2.slices["odd"]] = [0.7, 0.5]
    predicted[8, GZ2.slices["bar"]] += 0.01
    violations = score(predicted, crowd.actual, GZ2).tree_violations
    assert violations.galaxies == 2
    # "odd" sums to 1.2, and the features of galaxy 3 to something else than 0.7.
    assert violations.largest >= 0.2


def test_bootstrap_depends_on_the_seed_alone(crowd):
    first, again, other = (score(crowd.predicted, crowd.actual, GZ2, seed=seed) for seed in (1, 1, 2))
    assert first.rmse_interval == again.rmse_interval != other.rmse_interval
    assert first.rmse_interval[0] < first.rmse < first.rmse_interval[1]


def test_bootstrap_interval_covers_the_true_rmse():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        # Galaxies differ in how hard they are: scale² is 0.01 on average, so the true RMSE is 0.1.
        scale = np.sqrt(rng.uniform(0, 0.02, size=(80, 1)))
        actual = np.full((80, 37), 0.5)
        predicted = actual + scale * rng.normal(size=(80, 37))
        low, high = score(predicted, actual, GZ2, bootstrap=200).rmse_interval
        covered += low <= 0.1 <= high
    assert 88 <= covered <= 100


def test_coverage_counts_the_votes_within_their_interval():
    low = np.array([[0.9, 0.0, 0.0, 0.6], [0.3, 0.3, np.nan, np.nan]])
    coverage = score(PREDICTED, ACTUAL, TREE, low=low, high=low + 0.1).coverage
    assert coverage is not None
    # Of A: 1.0 in [0.9, 1.0] and 0.0 in [0.0, 0.1], then 0.2 and 0.8 outside; of B neither.
    assert coverage.overall == pytest.approx(2 / 6)
    assert coverage.questions == pytest.approx({"disc": 0.5, "arms": 0.0})
    assert coverage.mean_width == pytest.approx(0.1)
    assert "coverage" not in score(PREDICTED, ACTUAL, TREE).to_dict()


def test_nothing_to_score_is_an_error():
    with pytest.raises(FractionError, match="No vote is known"):
        score(PREDICTED, np.full((2, 4), np.nan), TREE)
    with pytest.raises(FractionError, match="No vote is known"):
        score(np.empty((0, 4)), np.empty((0, 4)), TREE)


def test_a_missing_prediction_is_an_error():
    predicted = PREDICTED.copy()
    predicted[1, 0] = np.inf
    with pytest.raises(FractionError, match="1 galaxies have votes but no finite prediction, first row 1"):
        score(predicted, ACTUAL, TREE)


def test_mean_must_be_known_for_scored_columns():
    with pytest.raises(FractionError, match="mean votes are unknown"):
        score(PREDICTED, ACTUAL, TREE, mean=np.array([0.5, 0.5, np.nan, 0.5]))


def test_mean_predictor_on_real_galaxies(real_galaxies):
    from galvote.labels import read_labels, read_votes
    from galvote.metrics import column_means

    votes = read_votes(real_galaxies / "galaxyzoo" / "training_solutions.csv")
    split = read_labels(real_galaxies / "galaxyzoo" / "splits.csv", column="split")
    validation = np.array([split[name] == "validation" for name in votes.ids])
    actual, mean = votes.fractions[validation], column_means(votes.fractions[~validation])
    scores = score(np.tile(mean, (len(actual), 1)), actual, GZ2, mean=mean)
    assert scores.galaxies == 500
    assert scores.rmse == scores.baselines.mean == pytest.approx(0.163, abs=5e-4)
