"""Arrays in, numbers out: each metric is a function that registers itself by a name."""

# Metrics are listed in the order of these imports.
# isort: off
from galvote.metrics.comparison import Comparison
from galvote.metrics.means import column_means
from galvote.metrics.registry import METRICS, register_metric, score
from galvote.metrics.rmse import galaxy_rmse, squared_errors
from galvote.metrics.violations import tree_violations
from galvote.metrics.coverage import Coverage, measure_coverage
from galvote.metrics.reliability import Reliability, measure_reliability
from galvote.metrics.ranking import rank_correlation
from galvote.metrics.likelihood import kl_divergence
# isort: on

__all__ = [
    "METRICS",
    "Comparison",
    "Coverage",
    "Reliability",
    "column_means",
    "galaxy_rmse",
    "kl_divergence",
    "measure_coverage",
    "measure_reliability",
    "rank_correlation",
    "register_metric",
    "score",
    "squared_errors",
    "tree_violations",
]
