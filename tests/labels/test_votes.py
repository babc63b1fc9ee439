"""Votes from the challenge's tables, from the survey's, in all formats, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import galvote
import galvote.examples
from galvote.errors import CatalogueError, FractionError
from galvote.io import read_table, write_table
from galvote.io.positions import Positions
from galvote.labels import Votes, read_labels, read_votes
from galvote.trees import expected_numbers, find_violations, load_tree, to_cumulative

GZ2 = load_tree("gz2")

RNG = np.random.default_rng(5)
FOUR = ("10", "11", "12", "13")


def draw_conditional(galaxies: int) -> np.ndarray:
    conditional = np.empty((galaxies, len(GZ2)))
    for columns in GZ2.slices.values():
        conditional[:, columns] = RNG.dirichlet(np.ones(columns.stop - columns.start), galaxies)
    return conditional


def challenge_table(ids: tuple[str, ...] = FOUR, id_name: str = "GalaxyID") -> pa.Table:
    fractions = to_cumulative(GZ2, draw_conditional(len(ids)))
    return pa.table({id_name: ids} | dict(zip(GZ2.columns, fractions.T, strict=True)))


def fractions_of(table: pa.Table) -> np.ndarray:
    return np.stack([table[name].to_numpy() for name in GZ2.columns], axis=1)


def change(table: pa.Table, column: str, row: int, value: float | None) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(column), column, [values])


def survey_table(kind: str, values: np.ndarray, ids: tuple[str, ...] = FOUR) -> pa.Table:
    return pa.table({"objid": ids} | dict(zip(GZ2.published_columns(kind), values.T, strict=True)))


def write(table: pa.Table, path: Path) -> Path:
    write_table(table, path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits", ".vot"])
@pytest.mark.parametrize("id_name", ["GalaxyID", "GalaxyId", "iauname"])
def test_challenge_columns_in_every_format(tmp_path: Path, ending: str, id_name: str) -> None:
    table = change(challenge_table(id_name=id_name), "Class9.1", 2, None)
    votes = read_votes(write(table, tmp_path / f"votes{ending}"))
    assert votes.ids == FOUR and len(votes) == 4 and votes.counts is None
    np.testing.assert_allclose(votes.fractions, fractions_of(table), atol=1e-12)
    assert votes.complete.tolist() == [True, True, False, True]


def test_absent_columns_are_unknown_not_zero(tmp_path: Path) -> None:
    full = challenge_table(("1", "2"))
    part = challenge_table(("3", "4", "5")).select(
        ["GalaxyID", "Class1.1", "Class1.2", "Class1.3", "Class7.1"]
    )
    votes = read_votes([write(full, tmp_path / "full.csv"), write(part, tmp_path / "part.parquet")])
    assert votes.ids == ("1", "2", "3", "4", "5")
    assert votes.complete.tolist() == [True, True, False, False, False]
    known = [GZ2.columns.index(name) for name in part.column_names[1:]]
    assert set(np.flatnonzero(~np.isnan(votes.fractions[3]))) == set(known)


def test_whole_number_ids_become_their_digits(tmp_path: Path) -> None:
    for type_ in (pa.int64(), pa.float64()):
        table = pa.table({"id": pa.array([8647474690, 7], type_), "Class1.1": [0.5, 0.5]})
        assert read_votes(write(table, tmp_path / f"{type_}.parquet")).ids == ("8647474690", "7")
    table = pa.table({"id": [1.5], "Class1.1": [0.5]})
    with pytest.raises(CatalogueError, match=r"no whole numbers below .*row 1: 1\.5.*as text or int64"):
        read_votes(write(table, tmp_path / "halves.parquet"))


def test_select_by_number_and_by_truth(tmp_path: Path) -> None:
    votes = read_votes(write(challenge_table(), tmp_path / "votes.csv"))
    assert votes.select(np.array([3, 0])).ids == ("13", "10")
    some = votes.select(np.array([False, True, False, True]))
    assert some.ids == ("11", "13")
    np.testing.assert_array_equal(some.fractions, votes.fractions[[1, 3]])


# --- the survey's tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".fits"])
def test_survey_fractions_are_converted_down_the_tree(tmp_path: Path, ending: str) -> None:
    conditional = draw_conditional(4)
    votes = read_votes(write(survey_table("fraction", conditional.round(3)), tmp_path / f"table{ending}"))
    np.testing.assert_allclose(votes.fractions, to_cumulative(GZ2, conditional), atol=5e-3)
    np.testing.assert_allclose(votes.fractions[:, GZ2.slices["odd"]].sum(axis=1), 1)
    assert not find_violations(GZ2, votes.fractions, 1e-9).galaxies.any()


def test_survey_counts_alone_give_fractions_and_are_kept(tmp_path: Path) -> None:
    counts = RNG.integers(1, 20, (4, len(GZ2))).astype(float)
    votes = read_votes(write(survey_table("count", counts), tmp_path / "counts.parquet"))
    np.testing.assert_array_equal(votes.counts, counts)
    smooth, featured, star = counts[0, :3]
    np.testing.assert_allclose(votes.fractions[0, 0], smooth / (smooth + featured + star))
    edge_on = GZ2.slices["edge_on"]
    np.testing.assert_allclose(votes.fractions[0, edge_on].sum(), featured / (smooth + featured + star))


def test_weighted_fractions_win_over_counts(tmp_path: Path) -> None:
    conditional, counts = draw_conditional(4), np.ones((4, len(GZ2)))
    table = survey_table("fraction", conditional)
    for name in (both := survey_table("count", counts)).column_names[1:]:
        table = table.append_column(name, both[name])
    votes = read_votes(write(table, tmp_path / "both.parquet"))
    np.testing.assert_allclose(votes.fractions, to_cumulative(GZ2, conditional), atol=1e-9)
    np.testing.assert_array_equal(votes.counts, counts)


def test_question_put_to_nobody_is_zero_and_unanswered_one_is_unknown(tmp_path: Path) -> None:
    conditional = draw_conditional(4)
    conditional[0, :3] = 0, 0, 1  # all say star: nobody was asked what follows
    for name in ("edge_on", "roundness"):
        conditional[0, GZ2.slices[name]] = 0
    conditional[1, GZ2.slices["spiral"]] = 0  # somebody was asked, no answer is recorded
    votes = read_votes(write(survey_table("fraction", conditional), tmp_path / "table.csv"))
    by_question = {name: votes.fractions[:, columns] for name, columns in GZ2.slices.items()}
    for name in ("edge_on", "roundness", "bar", "spiral", "bulge", "arm_number"):
        assert (by_question[name][0] == 0).all(), name
    unknown = {name for name, fractions in by_question.items() if np.isnan(fractions[1]).any()}
    assert unknown == {"spiral", "arm_winding", "arm_number", "bulge"}
    assert not np.isnan(votes.fractions[[0, 2, 3]]).any()


def test_counts_are_stacked_with_files_that_have_none(tmp_path: Path) -> None:
    counted = write(survey_table("count", np.ones((4, len(GZ2)))), tmp_path / "counts.csv")
    votes = read_votes([counted, write(challenge_table(("1",)), tmp_path / "votes.csv")])
    assert votes.counts is not None
    assert np.isnan(votes.counts[4]).all() and (votes.counts[:4] == 1).all()


def test_the_real_survey_table(real_galaxies: Path) -> None:
    path = real_galaxies / "gz2_stripe82" / "table5.csv.gz"
    votes = read_votes(path)
    assert (votes.tree.name, votes.form) == ("gz2-survey", "weighted")
    assert len(votes) == 19_761
    assert votes.complete.mean() > 0.93
    assert not np.isnan(votes.fractions[:, :3]).any()
    assert not find_violations(votes.tree, votes.fractions).galaxies.any()
    assert not find_violations(GZ2, read_votes(path, GZ2).fractions).galaxies.any()
    assert votes.counts is not None
    # The first galaxy's row: 10 of 16 smooth, 5 featured, of whom 1 of 5 edge-on.
    assert votes.ids[0] == "8647474690312307154"
    assert votes.counts[0, :5].tolist() == [10, 5, 1, 1, 4]
    np.testing.assert_allclose(votes.fractions[0, :5], [0.625, 0.312, 0.062, 0.0625, 0.25], atol=2e-3)


def test_the_real_challenge_tables(real_galaxies: Path) -> None:
    votes = read_votes(
        [real_galaxies / "galaxyzoo" / f"{name}_solutions.csv" for name in ("training", "partial")]
    )
    assert (len(votes), votes.complete.sum()) == (11_871, 7_871)
    with pytest.raises(CatalogueError, match="7,871 ids occur more than once"):
        read_votes([real_galaxies / "galaxyzoo" / "training_solutions.csv"] * 2)


# --- what is refused -------------------------------------------------------------------------------------


def assert_skipped(path: Path, ids: tuple[str, ...], said: str) -> None:
    reports = list[str]()
    votes = read_votes(path, GZ2, skip_invalid=True, report=reports.append)
    assert votes.ids == ids
    assert [said in report and "\n" not in report for report in reports] == [False, True]


@pytest.mark.parametrize("value", [1.5, -0.5, float("inf")])
def test_out_of_range(tmp_path: Path, value: float) -> None:
    path = write(change(challenge_table(), "Class1.3", 2, value), tmp_path / "votes.parquet")
    with pytest.raises(
        FractionError, match=r"votes.parquet: 1 of 4 galaxies.*\n  12: Class1.3 is not in \[0, 1\]"
    ) as error:
        read_votes(path)
    assert "--skip-invalid" in str(error.value)
    assert "  10:" not in str(error.value)
    assert_skipped(path, ("10", "11", "13"), "Left out 1 of 4 rows")


def test_rounded_to_three_digits(tmp_path: Path) -> None:
    table = challenge_table(tuple(str(number) for number in range(20)))
    rounded = np.round(fractions_of(table), 3)
    assert find_violations(GZ2, rounded).galaxies.any()
    table = pa.table({"GalaxyID": table["GalaxyID"]} | dict(zip(GZ2.columns, rounded.T, strict=True)))
    np.testing.assert_array_equal(read_votes(write(table, tmp_path / "votes.csv")).fractions, rounded)
    off = change(table, "Class2.1", 3, rounded[3, GZ2.columns.index("Class2.1")] + 0.003)
    with pytest.raises(FractionError, match=r"1 of 20 galaxies.*\n  3: Class2.1"):
        read_votes(write(off, tmp_path / "off.csv"))


@pytest.mark.parametrize("name", ["weighted.csv", "debiased.csv"])
def test_the_examples_fractions_are_read_whole(name: str) -> None:
    votes = read_votes(galvote.examples.FOLDER / name)
    assert len(votes) == len(galvote.example_images())
    row = votes.ids.index("gz2-588016526098497670")  # hardly edge-on, and nobody said which bulge
    unknown = np.isnan(votes.fractions[row])
    assert [GZ2.columns[i] for i in np.flatnonzero(unknown)] == ["Class9.1", "Class9.2", "Class9.3"]


def test_against_the_tree(tmp_path: Path) -> None:
    table = challenge_table(tuple(str(number) for number in range(20)))
    for row in range(1, 8):
        value = table["Class3.1"][row].as_py()
        table = change(table, "Class3.1", row, value + 0.01)
    path = write(table, tmp_path / "votes.csv")
    with pytest.raises(
        FractionError, match=r"7 of 20 galaxies.*\n  1: Class3.1…Class3.2 sum 0.0100 away"
    ) as error:
        read_votes(path)
    assert str(error.value).count("Class3.1…") == 5  # the first few
    assert_skipped(path, tuple(str(n) for n in range(20) if not 1 <= n < 8), "Left out 7 of 20 rows")


def test_survey_fractions_that_do_not_sum_to_one_and_negative_counts(tmp_path: Path) -> None:
    conditional = draw_conditional(4)
    conditional[1, GZ2.slices["bar"]] = 0.3, 0.3
    path = write(survey_table("fraction", conditional), tmp_path / "table.csv")
    with pytest.raises(
        FractionError, match=r"1 of 4 galaxies have conditional.*within 0.005.*\n  11: question bar\n"
    ):
        read_votes(path)
    assert_skipped(path, ("10", "12", "13"), "Left out 1 of 4")
    counts = np.ones((4, len(GZ2)))
    counts[3, 0], counts[2, 5] = -1, np.inf
    path = write(survey_table("count", counts), tmp_path / "counts.parquet")
    assert_skipped(path, ("10", "11"), "Left out 2 of 4")


def test_ids_that_occur_again_in_one_file_or_two(tmp_path: Path) -> None:
    first = write(challenge_table(("1", "2", "2", "2", "3")), tmp_path / "first.csv")
    second = write(challenge_table(("3", "4")), tmp_path / "second.csv")
    with pytest.raises(
        CatalogueError, match=r"1 id occurs more than once in .*first.csv:\n  2 \(3 times\)\nRemove"
    ):
        read_votes(first)
    with pytest.raises(
        CatalogueError, match=r"2 ids .*first.csv, .*second.csv:\n  2 \(3 times\), 3 \(2 times\)"
    ):
        read_votes([first, second])
    reports = list[str]()
    votes = read_votes([first, second], GZ2, skip_invalid=True, report=reports.append)
    assert votes.ids == ("1", "2", "3", "4")
    np.testing.assert_array_equal(votes.fractions[:3], fractions_of(read_table(first))[[0, 1, 4]])
    assert reports[2].startswith("Left out 3 of 7 rows. 2 ids occur more than once")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": ["a"], "Class1.1": [0.5]}, r"no column of ids: .*GalaxyID, .*--id-column"),
        ({"id": ["a"], "ra": [0.5]}, r"no column of votes of.*columns are id, ra\. .*--tree .*gz2"),
        ({"id": ["a"], "Clas1.1": [0.5]}, r"'Clas1.1' is nearly 'Class1.1'"),
        ({"id": ["a"], "Class1.1": ["many"]}, r"row 1 of the column `Class1.1` is no number: 'many'"),
        ({"id": ["a", None, " "], "Class1.1": [0.5] * 3}, r"has 2 rows without an id"),
    ],
)  # fmt: skip
def test_tables_without_what_is_needed(tmp_path: Path, table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        read_votes(write(pa.table(table), tmp_path / "votes.parquet"))


def test_no_files() -> None:
    with pytest.raises(CatalogueError, match="No files of votes were given"):
        read_votes([])


def test_left_out_galaxies_are_logged_unless_told_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_votes(write(challenge_table(("1", "1")), tmp_path / "votes.csv"), skip_invalid=True)
    assert "Left out 1 of 2 rows" in caplog.text


# --- labels ----------------------------------------------------------------------------------------------


def test_labels(tmp_path: Path) -> None:
    path = write(
        pa.table({"GalaxyID": [1, 2, 3], "split": ["train", None, "test"], "n": [1, 2, 3]}),
        tmp_path / "s.csv",
    )
    assert read_labels(path, "split") == {"1": "train", "3": "test"}
    assert read_labels(path, "n") == {"1": "1", "2": "2", "3": "3"}
    with pytest.raises(
        CatalogueError, match=r"several columns; say which one to read. Its columns are split, n"
    ):
        read_labels(path)
    with pytest.raises(CatalogueError, match=r"no column 'fold'. Its columns are split, n"):
        read_labels(path, "fold")
    only = write(pa.table({"id": ["a", "b"], "class": ["disk", "merger"]}), tmp_path / "c.csv")
    assert read_labels(only) == {"a": "disk", "b": "merger"}
    twice = write(pa.table({"id": ["a", "a"], "class": ["disk", "merger"]}), tmp_path / "twice.csv")
    with pytest.raises(CatalogueError, match=r"1 id more than once: a; keep one"):
        read_labels(twice)


def test_ids_of_any_name_and_positions_instead_of_ids(tmp_path: Path) -> None:
    table = challenge_table(id_name="name")
    votes = read_votes(write(table, tmp_path / "named.csv"), id_column="Name")
    assert votes.ids == FOUR
    path = write(pa.table({"name": ["007"], "class": ["disk"]}), tmp_path / "classes.csv")
    assert read_labels(path, id_column="name") == {"007": "disk"}
    known = np.array([10.0, 20.0, 30.0]), np.array([0.0, 1.0, 2.0])
    reference = Positions(("a", "b", "c"), *known, np.full(3, np.nan), pa.table({}))
    columns = {"ra": [20.0, 77.0, 10.0001, 30.0], "dec": [1.0, 0.0, 0.0, 2.0]}
    table = table.remove_column(0).append_column("ra", [columns["ra"]]).append_column("dec", [columns["dec"]])
    told = list[str]()
    votes = read_votes(write(table, tmp_path / "sky.fits"), reference=reference, report=told.append)
    assert votes.ids == ("b", "a", "c")
    np.testing.assert_array_equal(votes.fractions, fractions_of(table)[[0, 2, 3]])
    assert "3 of 4 rows match a galaxy; 1 match none" in told[0]


def test_votes_can_be_made_by_hand() -> None:
    votes = Votes(GZ2, ("a",), np.full((1, len(GZ2)), np.nan))
    assert len(votes) == 1 and not votes.complete.any()


# --- trees, forms and classes ----------------------------------------------------------------------------


def survey(forms: dict[str, np.ndarray]) -> pa.Table:
    tree = load_tree("gz2-survey")
    columns = {
        name: values[:, i]
        for form, values in forms.items()
        for i, name in enumerate(tree.published_columns(form))
    }
    return pa.table({"objid": FOUR} | columns)


def test_the_tree_and_the_form_are_told_and_can_be_chosen(tmp_path: Path) -> None:
    weighted, debiased = draw_conditional(4), draw_conditional(4)
    counts = np.full((4, 37), 7.0)
    table = survey({"weighted": weighted, "debiased": 1.2 * debiased, "count": counts})
    path, reports = write(table, tmp_path / "survey.parquet"), list[str]()
    votes = read_votes(path, report=reports.append)
    assert (votes.tree.name, votes.form) == ("gz2-survey", "weighted")
    assert reports == [
        f"{path}: 4 rows, ids from `objid`.",
        "Votes are those of the tree 'gz2-survey', read from its weighted fractions "
        "(it has counts, debiased fractions, too).",
    ]
    np.testing.assert_allclose(votes.fractions, to_cumulative(votes.tree, weighted), atol=1e-9)
    # The survey's own normalisation: nobody who said "star or artifact" was asked whether anything is odd.
    np.testing.assert_allclose(votes.fractions[:, 13:15].sum(axis=1), 1 - votes.fractions[:, 2], atol=1e-9)
    chosen = read_votes(path, form="debiased")
    assert chosen.form == "debiased"
    np.testing.assert_allclose(chosen.fractions, to_cumulative(votes.tree, debiased), atol=1e-9)
    with pytest.raises(CatalogueError, match=r"no column of the form .fraction. of .*; it has weighted"):
        read_votes(path, form="fraction")
    challenge = read_votes(path, load_tree("gz2"))
    assert (challenge.tree.name, challenge.form) == ("gz2", "count")


def test_a_table_of_another_tree(tmp_path: Path) -> None:
    path = write(challenge_table(), tmp_path / "votes.csv")
    with pytest.raises(
        CatalogueError, match=r"no column of votes of the tree 'gz1'.*P_EL … P_MG\. Its columns .* tree 'gz2'"
    ):
        read_votes(path, load_tree("gz1"))


def test_ids_from_a_column_of_any_name(tmp_path: Path) -> None:
    path = write(challenge_table(id_name="name"), tmp_path / "votes.csv")
    assert read_votes(path, id_column="name").ids == FOUR
    assert set(read_labels(path, "Class1.1", id_column="name")) == set(FOUR)


def test_words_are_the_votes_of_one_person(tmp_path: Path) -> None:
    table = pa.table({"id": FOUR, "ra": [1.0, 2, 3, 4], "has bar": ["bar", "no bar", None, "bar "]})
    path, reports = write(table, tmp_path / "bars.parquet"), list[str]()
    votes = read_votes(path, report=reports.append)
    assert votes.tree.columns == ("has_bar_bar", "has_bar_no_bar") and votes.form == "class"
    assert reports[1:] == ["Votes are those of the tree 'has bar', read from its class."]
    expected = [[1, 0], [0, 1], [np.nan, np.nan], [1, 0]]
    np.testing.assert_array_equal(votes.fractions, expected)
    np.testing.assert_array_equal(votes.counts, expected)
    other = write(pa.table({"id": ["14"], "has bar": ["no bar"]}), tmp_path / "more.csv")
    assert read_votes([path, other]).ids == (*FOUR, "14")
    assert read_votes(other, votes.tree).fractions.tolist() == [[0, 1]]
    wrong = write(pa.table({"id": ["14"], "has bar": ["no  bars"]}), tmp_path / "wrong.csv")
    with pytest.raises(
        CatalogueError, match=r"'no  bars' in the column 'has bar' is no answer.*did you mean 'no"
    ):
        read_votes(wrong, votes.tree)


def test_classes_of_galaxy_zoo_1(real_galaxies: Path) -> None:
    path = real_galaxies / "gz1" / "labels.csv"
    own, survey_ = read_votes(path), read_votes(path, load_tree("gz1"))
    assert (len(own.tree), len(survey_.tree), len(own)) == (5, 6, len(survey_))
    assert survey_.fractions[:, survey_.tree.labels.index("merger")].sum() == 0


def numbers(path: Path, values: list[object], **options: object) -> Votes:
    table = pa.table({"id": [f"g{i}" for i in range(len(values))], "T": values})
    return read_votes(write(table, path / f"{len(list(path.iterdir()))}.csv"), column="T", **options)


def test_numbers_are_shared_between_answers_whose_mean_they_are(tmp_path: Path) -> None:
    said, values = list[str](), [*np.random.default_rng(0).normal(size=99).tolist(), None]
    votes = numbers(tmp_path, values, unit="kpc", report=said.append)
    assert votes.form == "number" and votes.tree.number.unit == "kpc" and len(votes.tree) == 12
    assert "holds numbers" in " ".join(said) and "kpc" in " ".join(said)
    np.testing.assert_allclose(votes.fractions[:99].sum(axis=1), 1)
    assert ((votes.fractions[:99] > 0).sum(axis=1) <= 2).all() and np.isnan(votes.fractions[99]).all()
    found = expected_numbers(votes.tree, votes.fractions)[:99, 0]
    np.testing.assert_allclose(found, values[:99], rtol=1e-12)
    assert numbers(tmp_path, [0, 1] * 20).form == "class"
    assert numbers(tmp_path, [*range(30)]).form == "number"
    table = pa.table({"id": ["a", "b"], "class": [3, 4]})
    assert read_votes(write(table, tmp_path / "own.csv"), column="class", unit="").form == "number"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("long", r"row 8 of the column `T` is no number: 'long'"),
        ("inf", r"row 8 \(g7\): inf.*--skip-invalid"),
        (-999, r"row 8 \(g7\): -999"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be(tmp_path: Path, change: object, message: str) -> None:
    values: list[object] = [i + 0.5 for i in range(30)]
    values[7] = change if isinstance(change, str) and change != "inf" else float(change)
    with pytest.raises(CatalogueError, match=message):
        numbers(tmp_path, [str(each) for each in values])
    if change != "long":
        said = list[str]()
        left = numbers(tmp_path, [str(each) for each in values], skip_invalid=True, report=said.append)
        assert len(left) == 29 and "Left out 1 of 30" in " ".join(said)


def test_whole_numbers_that_may_be_classes(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"9 different whole numbers, from 0 to 8.*--unit.*'class'"):
        numbers(tmp_path, [i % 9 for i in range(60)])
    with pytest.raises(CatalogueError, match="are the same: 2"):
        numbers(tmp_path, [2.0] * 30, unit="")
    model = numbers(tmp_path, [1.5, 2.5, 3.5]).tree
    with pytest.raises(CatalogueError, match=r"beyond those that are known, 1.5 to 3.5: row 2 \(g1\): 9"):
        read_votes(write(pa.table({"id": ["g0", "g1"], "T": [2, 9]}), tmp_path / "more.csv"), model)


def test_votes_in_memory_are_to_be_written_to_a_file(tmp_path: Path) -> None:
    # In a process of its own, where no types are checked.
    code = """
import pyarrow as pa, galvote, galvote.labels
votes = pa.table({"GalaxyID": ["1"], "Class1.1": [1.0]})
for use in (
    lambda: galvote.labels.read_votes(votes),
    lambda: galvote.evaluate(votes, model="galvote-small", images="images"),
    lambda: galvote.train("sharma2020", "images", votes, "out"),
    lambda: galvote.finetune("galvote-small", "images", votes, "out"),
):
    try:
        use()
    except galvote.GalvoteError as error:
        print(error)
"""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "images" / "1.png")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.count("this is a Table: write it to a file") == 4, ran.stdout + ran.stderr


@pytest.mark.parametrize("other", ["ring", "nan", ""])
def test_a_column_of_one_class(other: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,look\n" + "".join(f"{i},{other if i % 2 else 'ring'}\n" for i in range(40)))
    with pytest.raises(CatalogueError, match=r"'look' has only one class, 'ring'; .*nan.* taken as missing"):
        read_votes(path)
