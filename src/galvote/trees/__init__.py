"""Decision trees, and the fractions that flow down them. numpy only."""

from galvote.trees.decision_tree import DecisionTree
from galvote.trees.files import list_trees, load_tree, load_workflow, plain_label
from galvote.trees.fractions import (
    Step,
    asked_share,
    decision_path,
    describe_path,
    find_violations,
    to_conditional,
    to_cumulative,
)
from galvote.trees.numbers import expected_numbers, number_ends, share_numbers
from galvote.trees.questions import FORMS, Answer, Form, Kind, Question
from galvote.trees.recognise import class_tree, find_tree, near_columns, number_tree

__all__ = [
    "FORMS",
    "Answer",
    "DecisionTree",
    "Form",
    "Kind",
    "Question",
    "Step",
    "asked_share",
    "class_tree",
    "decision_path",
    "describe_path",
    "expected_numbers",
    "find_tree",
    "find_violations",
    "list_trees",
    "load_tree",
    "load_workflow",
    "near_columns",
    "number_ends",
    "number_tree",
    "plain_label",
    "share_numbers",
    "to_conditional",
    "to_cumulative",
]
