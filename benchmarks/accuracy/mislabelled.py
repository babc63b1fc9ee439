"""How many wrong labels are found: 5 % of the labels are flipped, and what is doubted then is counted.

    python -m benchmarks.accuracy.mislabelled --data DATA --runs runs/own --rings RINGS --gz1 GZ1

The galaxies are those of `benchmarks.accuracy.labels`; a head on features of galvote-small learns the labels,
and each galaxy is predicted by a head that did not learn from it. What was wrong before counts as right.
"""

import numpy as np
from cleanlab.filter import find_label_issues
from threadpoolctl import threadpool_limits

from benchmarks import common
from benchmarks.accuracy.labels import Learner, find_tasks
from galvote.finetuning.crossfit import leave_out
from galvote.finetuning.head import Head, Known, fit_head
from galvote.finetuning.mislabelled import find_mislabelled

SHARE, DRAWS = 0.05, 3


def main() -> None:
    chosen = common.parser(__doc__, "--data", "--runs", "--rings", "--gz1").parse_args()
    common.print_heading(f"{DRAWS} draws")
    table = common.Table("labels | galaxies | what doubts | doubted | of them flipped | of the flipped")
    for name, task in find_tasks(chosen.data, chosen.rings, chosen.gz1):
        with threadpool_limits(1):
            doubted = count(Learner(name, task, "galvote-small", chosen.runs, views=2))
        for rule, counts in doubted.items():
            found, right, flipped = counts.mean(axis=0)
            shares = f"{right / max(found, 1):.0%}", f"{right / flipped:.0%}"
            table.row(name, f"{len(task.classes)}", rule, f"{found:.0f}", *shares)


def count(learner: Learner) -> dict[str, np.ndarray]:
    """Return of each rule and draw how many labels are doubted, how many of them and in all were flipped."""
    tree, own, features = learner.tree, learner.own, learner.known.features
    some, classes = len(own), len(tree)
    counts: dict[str, list[list[int]]] = {"confident learning": [], "galvote": []}
    for draw in range(DRAWS):
        rng, strengths = np.random.default_rng(draw), list[float]()
        flipped = rng.permutation(some) < round(SHARE * some)
        given = np.where(flipped, (own + rng.integers(1, classes, some)) % classes, own)

        def fit(part: Known, strengths: list[float] = strengths) -> Head:
            head = fit_head(part, strengths or None)
            strengths[:] = head.strengths
            return head

        actual = np.eye(classes)[given]
        predicted = leave_out(Known.of(tree, features, actual, None), fit=fit).fractions
        alone = find_label_issues(given, predicted, return_indices_ranked_by="self_confidence", n_jobs=1)
        ours = find_mislabelled(tree, tuple(map(str, range(some))), actual, predicted)
        for rule, rows in zip(counts, (alone, [int(doubt.id) for doubt in ours]), strict=True):
            counts[rule].append([len(rows), int(flipped[rows].sum()), int(flipped.sum())])
    return {rule: np.array(each) for rule, each in counts.items()}


if __name__ == "__main__":
    main()
