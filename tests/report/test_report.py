import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from galvote.errors import GalvoteError
from galvote.metrics import Comparison, galaxy_rmse, measure_reliability, score
from galvote.report import best_and_worst, write_report
from galvote.trees import GZ2


class Page(HTMLParser):
    """Collects what a reader sees, where pictures come from, and what is opened without being closed."""

    VOID = frozenset(("meta", "img", "br", "line", "circle", "rect", "path"))

    def __init__(self, html: str) -> None:
        super().__init__()
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


def scored(crowd):
    compared = Comparison(GZ2, crowd.predicted, crowd.actual)
    return score(compared), compared


def image(shade: int) -> np.ndarray:
    return np.full((16, 16, 3), shade, dtype=np.uint8)


def test_report_shows_the_best_and_the_worst_with_pictures(tmp_path, crowd):
    scores, compared = scored(crowd)
    best, worst = best_and_worst(crowd.predicted, crowd.actual)
    images = {crowd.ids[row]: image(90) for row in [*best, *worst]}
    page = write_report(tmp_path / "report", scores, compared, crowd.ids, images, title="small")
    parsed = Page(page.read_text(encoding="utf-8"))
    assert parsed.open == []
    assert len(parsed.sources) == 24
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in parsed.sources)
    assert parsed.addresses == parsed.sources  # nothing from elsewhere
    assert f"{scores['rmse']:.4f}" in parsed.text
    assert f"{scores['baselines']['mean']:.4f}" in parsed.text
    assert parsed.text.index(crowd.ids[best[0]]) < parsed.text.index(crowd.ids[worst[0]])
    assert "smooth" in parsed.text and "voted" in parsed.text
    assert "url(" not in page.read_text(encoding="utf-8")


def test_best_and_worst_are_in_order_and_disjoint(crowd):
    rmse = galaxy_rmse(crowd.predicted, crowd.actual)
    best, worst = best_and_worst(crowd.predicted, crowd.actual)
    assert rmse[best[0]] == rmse.min() and rmse[worst[0]] == rmse.max()
    assert (np.diff(rmse[best]) >= 0).all() and (np.diff(rmse[worst]) <= 0).all()
    few = [crowd.predicted[:5], crowd.actual[:5]]
    best, worst = best_and_worst(*few)
    assert sorted([*best, *worst]) == [0, 1, 2, 3, 4]


def test_ids_and_title_are_escaped(tmp_path, crowd):
    scores, compared = scored(crowd)
    rows = best_and_worst(crowd.predicted, crowd.actual)[0]
    name_of_first = "<script>alert('x')</script>&\"$title"
    nasty = [name_of_first if i == rows[0] else name for i, name in enumerate(crowd.ids)]
    page = write_report(
        tmp_path,
        scores,
        compared,
        nasty,
        {name_of_first: image(9)},
        title="a<b>&$c",
    )
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    parsed = Page(html)
    assert name_of_first in parsed.text
    assert "a<b>&$c" in parsed.text


def test_scores_lie_beside_the_page(tmp_path, crowd):
    scores, compared = scored(crowd)
    left_out = {"failed_predictions": 3, "predictions_not_finite": 0}
    page = write_report(tmp_path, scores, compared, crowd.ids, left_out=left_out)
    saved = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert saved["rmse"] == scores["rmse"]
    assert saved["left_out"] == left_out
    text = Page(page.read_text(encoding="utf-8")).text
    assert "failed predictions (3)" in text and "not finite" not in text
    assert not list(tmp_path.glob("*.partial"))


def test_masked_columns_single_galaxy_and_coverage(tmp_path, crowd):
    actual = crowd.actual[:1].copy()
    actual[:, GZ2.slices["arm_number"]] = np.nan
    predicted = crowd.predicted[:1].astype(np.float32)
    compared = Comparison(GZ2, predicted, actual, low=predicted - 0.1, high=predicted + 0.1)
    page = write_report(tmp_path, score(compared), compared, crowd.ids[:1])
    html = page.read_text(encoding="utf-8")
    assert "nan" not in re.sub(r"[a-z-]*nan[a-z]+", "", Page(html).text)
    assert "All 31 columns" in html
    assert "in their interval" in html


def test_reliability_is_drawn_said_and_tabled(tmp_path, crowd):
    page = write_report(tmp_path, *scored(crowd), crowd.ids)
    parsed = Page(page.read_text(encoding="utf-8"))
    found = measure_reliability(crowd.predicted, crowd.actual, GZ2)
    panels = [label for label in parsed.labels if "off by" in label]
    for question, label in zip(GZ2.questions, panels, strict=True):
        reliability = found[question.name]
        assert label.startswith(question.name.replace("_", " "))
        assert f"off by {reliability.error:.3f}" in label
        assert f"{reliability.worst.voted:.2f} voted" in label
    spiral = found["spiral"].bins[-1]
    assert (
        f"predicted {spiral.predicted:.2f}, voted {spiral.voted:.2f}, {spiral.count} answers" in parsed.text
    )
    assert f"{spiral.predicted:.3f}{spiral.voted:.3f}{spiral.count}" in parsed.text


def test_votes_are_drawn_down_the_tree_for_all_and_for_each_galaxy_shown(tmp_path, crowd):
    page = write_report(tmp_path, *scored(crowd), crowd.ids)
    html = page.read_text(encoding="utf-8")
    drawings = [label for label in Page(html).labels if label.startswith("Votes down the decision tree")]
    assert len(drawings) == 2 + 24  # the mean on a wide and on a narrow page
    mean = crowd.predicted.mean(axis=0)[0], crowd.actual.mean(axis=0)[0]
    assert f"smooth: {mean[0]:.0%} of all volunteers; {mean[1]:.0%} voted so" in html
    assert "--paper" in html and "$" not in html


def test_an_existing_report_is_not_replaced(tmp_path, crowd):
    arguments = (*scored(crowd), crowd.ids)
    page = write_report(tmp_path, *arguments, title="first")
    with pytest.raises(GalvoteError, match="--overwrite"):
        write_report(tmp_path, *arguments, title="second")
    assert "first" in page.read_text(encoding="utf-8")
    write_report(tmp_path, *arguments, title="second", overwrite=True)
    assert "second" in page.read_text(encoding="utf-8")
