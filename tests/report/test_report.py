import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from galvote.errors import GalvoteError
from galvote.metrics import Comparison, galaxy_rmse, measure_reliability, score
from galvote.report import best_and_worst, draw_finetuned_page, write_report
from galvote.trees import Answer, DecisionTree, Question, class_tree, load_tree

GZ2 = load_tree("gz2")

NASTY = "<script>alert('x')</script>&\"$title"
LEFT_OUT = {"failed_predictions": 3, "predictions_not_finite": 0}
BARS = DecisionTree(
    "bars",
    (Question("bar", "Is there a bar?", (Answer("bar", "bar", "bar"), Answer("none", "no bar", "no bar"))),),
)


class Page(HTMLParser):
    """Collects what a reader sees, where images come from, and what is opened without being closed."""

    VOID = frozenset(("meta", "img", "br", "line", "circle", "rect", "path"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.text, self.sources, self.addresses, self.open = "", [], [], []
        self.labels: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name == "src"]
        self.labels += [value for name, value in attributes if name == "aria-label"]
        self.addresses += [value for name, value in attributes if name in ("href", "src", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def image(shade: int) -> np.ndarray:
    return np.full((16, 16, 3), shade, dtype=np.uint8)


def scored(predicted, actual, tree=GZ2, **ends):
    compared = Comparison(tree, predicted, actual, **ends)
    return score(compared), compared


@pytest.fixture(scope="module")
def report(crowd, tmp_path_factory):
    """Return a report of the crowd with all that may be in one, its folder and the scores."""
    folder = tmp_path_factory.mktemp("report")
    scores, compared = scored(crowd.predicted, crowd.actual)
    best, worst = best_and_worst(crowd.predicted, crowd.actual)
    ids = [NASTY if row == best[0] else name for row, name in enumerate(crowd.ids)]
    images = {ids[row]: image(90) for row in [*best, *worst]}
    scores |= {"left_out": LEFT_OUT, "remarks": ["Beware <b>."]}
    page = write_report(folder, scores, compared, ids, images, title="a<b>&$c")
    return Page(page.read_text(encoding="utf-8")), folder, scores


def test_report_shows_the_best_and_the_worst_with_images(report, crowd):
    page, _, scores = report
    assert page.open == []
    assert len(page.sources) == 24
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in page.sources)
    assert page.addresses == page.sources  # nothing from elsewhere
    assert "url(" not in page.html
    assert f"{scores['rmse']:.4f}" in page.text
    assert f"{scores['baselines']['mean']:.4f}" in page.text
    _, worst = best_and_worst(crowd.predicted, crowd.actual)
    assert page.text.index(NASTY) < page.text.index(crowd.ids[worst[0]])
    assert "Best-predicted galaxies" in page.text and "voted" in page.text


def test_best_and_worst_are_in_order_and_disjoint(crowd):
    rmse = galaxy_rmse(crowd.predicted, crowd.actual)
    best, worst = best_and_worst(crowd.predicted, crowd.actual)
    assert rmse[best[0]] == rmse.min() and rmse[worst[0]] == rmse.max()
    assert (np.diff(rmse[best]) >= 0).all() and (np.diff(rmse[worst]) <= 0).all()
    best, worst = best_and_worst(crowd.predicted[:5], crowd.actual[:5])
    assert sorted([*best, *worst]) == [0, 1, 2, 3, 4]


def test_ids_title_and_remarks_are_escaped(report):
    page, *_ = report
    assert "<script" not in page.html
    assert all(text in page.text for text in (NASTY, "a<b>&$c", "Beware <b>."))


def test_scores_lie_beside_the_page(report):
    page, folder, scores = report
    saved = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert saved == scores
    assert "failed predictions (3)" in page.text and "not finite" not in page.text
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "scores.json"]


def test_masked_columns_single_galaxy_and_coverage(tmp_path, crowd):
    actual = crowd.actual[:1].copy()
    actual[:, GZ2.slices["arm_number"]] = np.nan
    predicted = crowd.predicted[:1].astype(np.float32)
    scores, compared = scored(predicted, actual, low=predicted - 0.1, high=predicted + 0.1)
    text = Page(write_report(tmp_path, scores, compared, crowd.ids[:1]).read_text(encoding="utf-8")).text
    assert not re.search(r"\bnan\b|\bNone\b", text)
    assert "All 31 columns" in text
    assert "in their interval" in text


def test_reliability_is_drawn_said_and_tabled(report, crowd):
    page, *_ = report
    found = measure_reliability(crowd.predicted, crowd.actual, GZ2)
    panels = [label for label in page.labels if "bins of the predicted fraction" in label]
    for question, label in zip(GZ2.questions, panels, strict=True):
        reliability = found[question.name]
        assert label.startswith(question.name.replace("_", " "))
        assert f"differ by {reliability.error:.3f}" in label
        assert f"{reliability.worst.voted:.2f} voted" in label
    spiral = found["spiral"].bins[-1]
    assert f"predicted {spiral.predicted:.2f}, voted {spiral.voted:.2f}, {spiral.count} answers" in page.text
    assert f"{spiral.predicted:.3f}{spiral.voted:.3f}{spiral.count}" in page.text


def test_votes_are_drawn_down_the_tree_for_all_and_for_each_galaxy_shown(report, crowd):
    page, *_ = report
    drawings = [label for label in page.labels if label.startswith("Votes down the decision tree")]
    assert len(drawings) == 2 + 24  # the mean on a wide and on a narrow page
    mean = crowd.predicted.mean(axis=0)[0], crowd.actual.mean(axis=0)[0]
    assert f"smooth: {mean[0]:.0%} of all volunteers; {mean[1]:.0%} voted so" in page.html
    assert "--paper" in page.html


def test_one_question_of_hard_labels_is_reported_and_not_replaced_unasked(tmp_path):
    actual = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    predicted = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    arguments = (*scored(predicted, actual, BARS), ["a", "b", "c"])
    page = write_report(tmp_path, *arguments, title="first")
    text = Page(page.read_text(encoding="utf-8")).text
    assert "Is there a bar?" in text and "volunteers and prediction" in text
    with pytest.raises(GalvoteError, match="--overwrite"):
        write_report(tmp_path, *arguments, title="second")
    assert "first" in page.read_text(encoding="utf-8")
    write_report(tmp_path, *arguments, title="second", overwrite=True)
    assert "second" in page.read_text(encoding="utf-8")


def finetuned(metric, confusion=None, mislabelled=(), gain=0.2):
    """Return the numbers of a model that learned labels, as ``scores.json`` has them."""
    points = [{"labels": n, "mean": 0.6, "low": 0.55, "high": 0.7} for n in (24, 48)]
    return {
        "galaxies": 40,
        "out_of_fold": {metric: [0.8, 0.7, 0.9], "log_loss": [0.4, 0.3, 0.5]},
        "baselines": {"tiny: bar": {metric: [0.8 - gain, 0.5, 0.6], "log_loss": [0.6, 0.5, 0.7]}},
        "confusion": confusion,
        "curve": {"metric": metric, "points": points},
        "advice": "More labels would help.",
        "mode": "full",
        "comparison": "Training the whole network changes log loss by -0.1 against a head alone.",
        "mislabelled": mislabelled,
    }


def test_page_of_learned_classes_says_whether_it_was_worth_it_and_shows_doubtful_labels():
    rng = np.random.default_rng(0)
    tree, ids = class_tree("shape", ["bar", "ring", NASTY]), [f"g{i}" for i in range(39)] + [NASTY]
    predicted = rng.dirichlet((1, 1, 1), 40)
    actual = np.eye(3)[rng.integers(0, 3, 40)]
    doubt = {"id": NASTY, "given": "bar", "suggested": "ring", "quality": 0.07}
    scores = finetuned("roc_auc", [[9, 1, 0], [2, 8, 0], [0, 0, 20]], [doubt])
    rest = (tree, ids, predicted, actual, 0 * predicted, predicted, {NASTY: image(90)})
    page = Page(draw_finetuned_page(scores, *rest, sets=predicted > 0.2, title=NASTY))
    assert page.open == [] and "<script" not in page.html and page.addresses == page.sources
    assert "Training was worth it: ROC AUC 0.800 against 0.600" in page.text
    assert scores["comparison"] in page.text and "of a head alone" in page.text
    assert scores["advice"] in page.text and "quality 0.07" in page.text
    assert len([label for label in page.labels if label.startswith("ROC curve")]) == 3
    assert "ROC AUC by the number of labels: 0.600 from 24, 0.600 from 48" in page.labels
    lost = finetuned("roc_auc", scores["confusion"], gain=-0.1)
    text = Page(draw_finetuned_page(lost, *rest, sets=predicted > 0.2, title="x")).text
    assert "Training was not worth it" in text and "No label is contradicted" in text


def test_page_of_learned_fractions_has_no_classes(crowd):
    known = GZ2, crowd.ids, crowd.predicted, crowd.actual, crowd.predicted - 0.1, crowd.predicted + 0.1
    page = Page(draw_finetuned_page(finetuned("rmse", gain=-0.2), *known, {}, sets=None, title="x"))
    assert page.open == [] and not re.search(r"\bnan\b|\bNone\b", page.text)
    assert "RMSE 0.800 against 1.000" in page.text and "Confusion" not in page.text
    assert "may have been worth it" not in page.text
