"""Files that are there whole or not at all."""

import pytest

from galvote.errors import OutputError
from galvote.io.atomic import atomic_file, write_whole


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with atomic_file(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("unique", [False, True])
def test_what_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, unique):
    path = tmp_path / "table.csv"
    path.write_text("earlier")
    with (
        pytest.raises(OutputError, match=r"table.csv cannot be written \(disk full\)"),
        atomic_file(path, unique=unique) as partial,
    ):
        partial.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "earlier"
    assert [*tmp_path.iterdir()] == [path]


def test_two_may_write_one_file_at_once(tmp_path):
    path = tmp_path / "picture.jpg"
    with atomic_file(path, unique=True) as one, atomic_file(path, unique=True) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer, and so the last to end
    assert [*tmp_path.iterdir()] == [path]


def test_what_was_written_first_may_stay(tmp_path):
    path = tmp_path / "manifest.json"
    for text in ("first", "second"):
        write_whole(path, text, replace=False, durable=True)
    assert path.read_text() == "first"
    assert [*tmp_path.iterdir()] == [path]
