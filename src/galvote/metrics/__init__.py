"""Arrays in, numbers out: each metric is a function that registers itself by a name."""

# Metrics are listed in the order of these imports.
# isort: off
from galvote.metrics.comparison import Comparison
from galvote.metrics.means import column_means
from galvote.metrics.registry import METRICS, register_metric, score
from galvote.metrics.rmse import galaxy_rmse, mean_predictor_rmse, squared_errors
from galvote.metrics import violations  # noqa: F401
from galvote.metrics.coverage import Coverage, measure_coverage
from galvote.metrics.reliability import Reliability, measure_reliability
from galvote.metrics import ranking  # noqa: F401
from galvote.metrics.numbers import score_numbers
from galvote.metrics import likelihood  # noqa: F401
# isort: on

__all__ = [
    "METRICS",
    "Comparison",
    "Coverage",
    "Reliability",
    "column_means",
    "galaxy_rmse",
    "mean_predictor_rmse",
    "measure_coverage",
    "measure_reliability",
    "register_metric",
    "score",
    "score_numbers",
    "squared_errors",
]
