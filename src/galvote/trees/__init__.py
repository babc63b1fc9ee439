"""Decision trees, and the fractions that flow down them. numpy only."""

from galvote.trees.decision_tree import Answer, DecisionTree, Question
from galvote.trees.fractions import (
    Step,
    Violations,
    asked_share,
    check_fractions,
    decision_path,
    describe_path,
    find_violations,
    to_conditional,
    to_cumulative,
)
from galvote.trees.gz2 import GZ2

__all__ = [
    "GZ2",
    "Answer",
    "DecisionTree",
    "Question",
    "Step",
    "Violations",
    "asked_share",
    "check_fractions",
    "decision_path",
    "describe_path",
    "find_violations",
    "to_conditional",
    "to_cumulative",
]
