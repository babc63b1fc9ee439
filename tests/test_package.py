"""The package as a whole: quick to import, every verb described."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import galvote

HEAVY = ("torch", "lightning", "astropy", "pyarrow", "matplotlib", "cv2")

MODULES_AFTER_IMPORT = "import galvote, json, sys; print(json.dumps(list(sys.modules)))"
MODULES_AFTER_HELP = """
import json, sys
from typer.testing import CliRunner
from galvote.cli import app
runner = CliRunner()
verbs = [command.name or command.callback.__name__ for command in app.registered_commands]
codes = {verb: runner.invoke(app, [*verb.split(), "--help"]).exit_code for verb in ["", *verbs]}
print(json.dumps([codes, list(sys.modules)]))
"""


def run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def heavy_modules(names: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in names} & set(HEAVY)


def test_import_is_light():
    assert not heavy_modules(json.loads(run("-c", MODULES_AFTER_IMPORT)))


def test_help_is_light_and_every_verb_has_it():
    codes, modules = json.loads(run("-c", MODULES_AFTER_HELP))
    assert {"", "evaluate", "pack", "predict", "simulate", "train", "tree"} <= codes.keys()
    assert set(codes.values()) == {0}
    assert not heavy_modules(modules)


def test_python_m_is_the_command():
    said = run("-m", "galvote", "--help")
    assert "Usage:" in said
    assert "Predict from an image of a galaxy what Galaxy Zoo volunteers would say about it." in " ".join(
        said.split()
    )


def test_version_is_the_projects():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert galvote.__version__ == project["version"]
    assert run("-m", "galvote", "--version") == f"galvote {project['version']}\n"


def test_public_names():
    for name in galvote.__all__:
        assert getattr(galvote, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = galvote.nothing
    assert set(galvote.__all__) <= set(dir(galvote))
    assert galvote.load_tree("gz2").columns[0] == "Class1.1"
