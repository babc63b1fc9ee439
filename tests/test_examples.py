"""The pictures that ship: clear cases, known to no model, and what both models say of them."""

import numpy as np
import pytest

import galvote
from galvote.errors import GalvoteError
from galvote.examples import FOLDER, example_kinds
from galvote.io import read_table
from galvote.trees import load_tree
from galvote.trees.kinds import name_kind

GZ2 = load_tree("gz2")
TABLES = [read_table(FOLDER / f"{name}.csv") for name in ("weighted", "debiased")]
VOTED = [np.column_stack([table[column] for column in GZ2.columns]) for table in TABLES]


def test_every_example_is_a_clear_case_with_its_votes():
    assert sorted(galvote.example_images()) == sorted(FOLDER.glob("*.jpg"))
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 1e6
    for table, voted in zip(TABLES, VOTED, strict=True):
        assert table["id"].to_pylist() == [path.stem for path in galvote.example_images()]
        for fractions, kind in zip(voted, example_kinds().values(), strict=True):
            found = name_kind(GZ2, fractions)
            assert found.kind.name == kind.removeprefix("barred ") and found.fraction >= 0.5
            assert not kind.startswith("barred") or fractions[GZ2.labels.index("bar")] >= 0.5
    with pytest.raises(GalvoteError, match="there are spiral, barred spiral, edge-on"):
        galvote.example_images("quasar")


@pytest.mark.parametrize("model", ["galvote-small", "galvote-base"])
def test_no_headline_contradicts_the_volunteers(model: str):
    prediction = galvote.load(model, "onnx").predict(galvote.example_images())
    assert prediction.ok.all() and not prediction.ood.any()
    for row, kind in enumerate(example_kinds().values()):
        own = prediction.finding(row).kind
        assert own.name == kind.removeprefix("barred ") or own not in GZ2.kinds, prediction.headline(row)
        for step in prediction.path(row):
            said = [step.answer, *step.rivals]
            for voted in VOTED:
                fractions = voted[row, GZ2.slices[step.question.name]]
                clear = fractions.sum() >= 0.5 and fractions.max() >= 0.6 * fractions.sum()
                agrees = step.question.answers[int(np.argmax(fractions))] in said
                if agrees or not clear:
                    break
            else:
                pytest.fail(f"{prediction.ids[row]}, {kind}: {prediction.headline(row)}")


def test_none_is_known_to_be_a_picture_that_models_learn_from(real_galaxies):
    matches = real_galaxies / "gz2_extra" / "match.csv"
    if not matches.exists():
        pytest.skip("no table of matches")
    matched = {row["id"]: row["GalaxyID"] for row in read_table(matches).to_pylist()}
    assert {matched[path.stem] for path in galvote.example_images()} <= {None, ""}
