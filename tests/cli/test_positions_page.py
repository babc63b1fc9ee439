"""The page on galaxies by position runs as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from galvote.io import read_table

PAGE = Path(__file__).parents[2] / "docs" / "positions.md"


def test_the_page_runs_as_it_stands(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, code in re.findall(
        r"^```(bash|python)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), {})
            continue
        for line in code.splitlines():
            done = command(*shlex.split(line)[1:])
            assert done.returncode == 0, f"{line}\n{done.stderr}"
    for name in ("votes.fits", "joined.parquet", "votes.parquet"):
        table = read_table(name)
        assert table["status"].to_pylist() == ["ok"] * 4
        assert table["z"].to_pylist() == [0.03, 0.05, 0.02, 0.04]
    assert len(list(Path("images").glob("NGC-*.jpg"))) == 4
