import json

import numpy as np
import pytest

from galvote.errors import FractionError
from galvote.metrics import METRICS, Comparison, galaxy_rmse, register_metric, score
from galvote.metrics.rmse import rmse_interval
from galvote.trees import Answer, DecisionTree, Question, load_tree

GZ2 = load_tree("gz2")

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


def score_two(predicted=PREDICTED, actual=ACTUAL, **more):
    return score(Comparison(TREE, predicted, actual, **more))


def score_crowd(predicted, actual):
    return score(Comparison(GZ2, predicted, actual))


def rounded(scores):
    return json.loads(json.dumps(scores), parse_float=lambda number: round(float(number), 12))


def test_rmse_is_that_computed_by_hand():
    scores = score_two()
    # Squared differences: 0.01 0.01 0 0.01 of the first galaxy, 0.09 0.09 of the second.
    assert scores["rmse"] == pytest.approx((0.21 / 6) ** 0.5)
    assert scores["questions"]["disc"]["rmse"] == pytest.approx((0.20 / 4) ** 0.5)
    assert scores["questions"]["arms"]["rmse"] == pytest.approx((0.01 / 2) ** 0.5)
    assert scores["columns"] == pytest.approx({"A.1": 0.05**0.5, "A.2": 0.05**0.5, "B.1": 0.0, "B.2": 0.1})
    assert galaxy_rmse(PREDICTED, ACTUAL) == pytest.approx([(0.03 / 4) ** 0.5, 0.3])
    assert (scores["galaxies"], scores["columns_scored"]) == (2, 4)


def test_baselines_are_those_computed_by_hand():
    scores = score_two()
    # Mean votes 0.6 0.4 0.5 0.5; only the first question varies, by 0.4 each way.
    assert scores["baselines"]["mean"] == pytest.approx((0.64 / 6) ** 0.5)
    assert scores["baselines"]["mean_from"] == "scored"
    assert scores["questions"]["disc"]["mean_predictor_rmse"] == pytest.approx(0.4)
    assert scores["baselines"]["zeros"] == pytest.approx((2.18 / 6) ** 0.5)
    assert scores["baselines"]["ones"] == pytest.approx((0 + 1 + 0.25 + 0.25 + 0.64 + 0.04) ** 0.5 / 6**0.5)

    trained = score_two(mean=np.array([1.0, 0.0, 0.5, 0.5]))["baselines"]
    assert trained["mean_from"] == "training"
    assert trained["mean"] == pytest.approx((1.28 / 6) ** 0.5)


def test_columns_without_votes_are_left_out():
    actual, predicted = ACTUAL.copy(), PREDICTED.copy()
    actual[:, 2:] = np.nan
    predicted[:, 2:] = np.nan  # no prediction is needed where there is nothing to compare with
    scores = score_two(predicted, actual)
    assert scores["rmse"] == pytest.approx((0.20 / 4) ** 0.5)
    assert list(scores["columns"]) == list(scores["rank_correlation"]["columns"]) == ["A.1", "A.2"]
    assert scores["questions"]["arms"] == {"rmse": None, "mean_predictor_rmse": None, "columns": []}
    assert scores["kl_divergence"]["questions"]["arms"] is None
    json.dumps(scores, allow_nan=False)


def test_galaxies_without_any_vote_do_not_count(crowd):
    actual = np.vstack([crowd.actual, np.full((1, 37), np.nan)])
    predicted = np.vstack([crowd.predicted, np.ones((1, 37))])  # breaks the tree
    with_it, without = score_crowd(predicted, actual), score_crowd(crowd.predicted, crowd.actual)
    assert without["galaxies"] == 40
    assert rounded(with_it) == rounded(without)


def test_perfect_predictions(crowd):
    scores = score_crowd(crowd.actual, crowd.actual)
    assert scores["rmse"] == 0
    assert scores["rmse_interval"] == [0, 0]
    assert scores["rank_correlation"]["mean"] == pytest.approx(1)
    assert scores["kl_divergence"]["overall"] == pytest.approx(0, abs=1e-9)
    assert max(scores["calibration_error"].values()) == pytest.approx(0)


def test_single_precision_predictions_are_not_off_the_tree(crowd):
    violations = score_crowd(crowd.predicted.astype(np.float32), crowd.actual)["tree_violations"]
    assert violations["galaxies"] == 0
    assert violations["largest"] < 1e-5


def test_violations_are_counted_and_measured(crowd):
    predicted = crowd.predicted.copy()
    predicted[3, GZ2.slices["odd"]] = [0.7, 0.5]
    predicted[8, GZ2.slices["bar"]] += 0.01
    violations = score_crowd(predicted, crowd.actual)["tree_violations"]
    assert (violations["galaxies"], violations["questions"]) == (2, 4)
    # "odd" sums to 1.2, and the features of galaxy 3 to something else than 0.7; "bar" leads to "spiral".
    assert violations["largest"] >= 0.2


def test_ranks_are_compared_not_sizes():
    actual = np.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    predicted = np.array([[0.2, 0.8], [0.3, 0.8], [0.3, 0.8], [0.31, 0.8]])
    padded = [np.hstack([each, np.full((4, 2), np.nan)]) for each in (predicted, actual)]
    found = score_two(*padded)["rank_correlation"]
    assert found == {"mean": pytest.approx(1), "columns": {"A.1": pytest.approx(1), "A.2": None}}
    padded[0][:, 0] = [0.4, 0.3, 0.2, 0.1]  # 4 3 2 1 against 1 2.5 2.5 4: covariance -1.125
    assert score_two(*padded)["rank_correlation"]["mean"] == pytest.approx(-1.125 / (1.25 * 1.125) ** 0.5)


def test_divergence_is_in_nats_of_those_who_were_asked():
    actual = np.array([[1.0, 0.0, 0.5, 0.5], [0.5, 0.5, np.nan, np.nan]])
    predicted = np.array([[1.0, 0.0, 0.75, 0.25], [0.25, 0.75, 0.1, 0.15]])
    found = score_two(predicted, actual)["kl_divergence"]
    of_half = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert found["questions"] == pytest.approx({"disc": of_half / 2, "arms": of_half}, rel=1e-6)
    assert found["overall"] == pytest.approx(of_half * 2 / 3, rel=1e-6)


def test_bootstrap_depends_on_the_seed_alone(crowd):
    compared = Comparison(GZ2, crowd.predicted, crowd.actual)
    first, again, other = (rmse_interval(compared, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first[0] < score(compared)["rmse"] < first[1]


def test_bootstrap_interval_covers_the_true_rmse():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        # Galaxies differ in how hard they are: scale² is 0.01 on average, so the true RMSE is 0.1.
        scale = np.sqrt(rng.uniform(0, 0.02, size=(80, 1)))
        actual = np.full((80, 37), 0.5)
        predicted = actual + scale * rng.normal(size=(80, 37))
        low, high = rmse_interval(Comparison(GZ2, predicted, actual), draws=200)
        covered += low <= 0.1 <= high
    assert 88 <= covered <= 100


def test_coverage_counts_the_votes_within_their_interval():
    low = np.array([[0.9, 0.0, 0.0, 0.6], [0.3, 0.3, np.nan, np.nan]])
    coverage = score_two(low=low, high=low + 0.1)["coverage"]
    # Of A: 1.0 in [0.9, 1.0] and 0.0 in [0.0, 0.1], then 0.2 and 0.8 outside; of B neither.
    assert coverage["overall"] == pytest.approx(2 / 6)
    assert coverage["questions"] == pytest.approx({"disc": 0.5, "arms": 0.0})
    assert coverage["mean_width"] == pytest.approx(0.1)
    assert "coverage" not in score_two()


def test_a_metric_from_outside_is_among_the_scores(monkeypatch):
    monkeypatch.setattr("galvote.metrics.registry.METRICS", METRICS.copy())

    @register_metric("largest_error")
    def largest_error(compared: Comparison) -> float:
        return float(np.nanmax(np.abs(compared.predicted - compared.actual)))

    assert score_two()["largest_error"] == pytest.approx(0.3)


@pytest.mark.parametrize("galaxies", [0, 2])
def test_nothing_to_score_is_an_error(galaxies):
    with pytest.raises(FractionError, match="No vote is known"):
        Comparison(TREE, np.zeros((galaxies, 4)), np.full((galaxies, 4), np.nan))


def test_a_missing_prediction_is_an_error():
    predicted = PREDICTED.copy()
    predicted[1, 0] = np.inf
    with pytest.raises(FractionError, match="1 galaxies have votes but no finite prediction, first row 1"):
        Comparison(TREE, predicted, ACTUAL)


def test_mean_must_be_known_for_scored_columns():
    with pytest.raises(FractionError, match="mean votes are unknown"):
        Comparison(TREE, PREDICTED, ACTUAL, mean=np.array([0.5, 0.5, np.nan, 0.5]))


def test_mean_predictor_on_real_galaxies(real_galaxies):
    from galvote.labels import read_labels, read_votes
    from galvote.metrics import column_means

    votes = read_votes(real_galaxies / "galaxyzoo" / "training_solutions.csv")
    split = read_labels(real_galaxies / "galaxyzoo" / "splits.csv", column="split")
    validation = np.array([split[name] == "validation" for name in votes.ids])
    actual, mean = votes.fractions[validation], column_means(votes.fractions[~validation])
    scores = score(Comparison(GZ2, np.tile(mean, (len(actual), 1)), actual, mean=mean))
    assert scores["galaxies"] == 500
    assert scores["rmse"] == scores["baselines"]["mean"] == pytest.approx(0.163, abs=5e-4)
