"""Arrays in, numbers out."""

from galvote.metrics.scores import (
    Baselines,
    Coverage,
    QuestionScore,
    Scores,
    TreeViolations,
    column_means,
    galaxy_rmse,
    measure_coverage,
    score,
)

__all__ = [
    "Baselines",
    "Coverage",
    "QuestionScore",
    "Scores",
    "TreeViolations",
    "column_means",
    "galaxy_rmse",
    "measure_coverage",
    "score",
]
