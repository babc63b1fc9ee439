"""What the texts say is true: links, commands, options, keys of recipes, and the tutorial as it stands."""

import ast
import importlib
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from galvote.cli import app
from galvote.models.encoders import ENCODERS
from galvote.recipes import list_recipes
from galvote.training import Recipe, load_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
VERBS = typer.main.get_command(app).commands

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Return (language, code) of the page's fenced blocks in these languages."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in fenced if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each galvote command in the page's blocks."""
    for _, code in blocks(page, "bash", ""):
        for line in code.splitlines():
            if line.startswith("galvote "):
                yield shlex.split(line)[1:]


def values_of(option: str, words: list[str]) -> list[str]:
    return [word for before, word in pairwise(words) if before == option]


def options_of(verb: str) -> set[str]:
    return {option for parameter in VERBS[verb].params for option in parameter.opts} | {"--help"}


@each_page
def test_links_and_pictures_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, f"{page.name} links to {target}"


@each_page
def test_no_absolute_paths_of_a_machine(page: Path) -> None:
    found = re.findall(r"(?<![\w.:/-])/(?:home|root|work|tmp|mnt|Users|opt|var|usr)\b\S*", page.read_text())
    assert not found


@each_page
def test_commands_have_the_options_they_need_and_no_others(page: Path) -> None:
    for verb, *words in commands(page):
        if verb == "--help":
            continue
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= options_of(verb), f"{page.name}: galvote {verb} {words}"
        needed = {
            option
            for parameter in VERBS[verb].params
            if parameter.required and parameter.param_type_name == "option"
            for option in parameter.opts
        }
        assert needed <= given or "--help" in given, f"{page.name}: galvote {verb} {words}"
        for recipe in values_of("--recipe", words):
            if not recipe.endswith(".toml"):
                load_recipe(recipe, values_of("--set", words))


@each_page
def test_verbs_and_options_named_in_sentences_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("it names what is gone")
    named = re.findall(r"`([^`\n]+)`", page.read_text())
    every_option = set().union(*(options_of(verb) for verb in VERBS))
    for code in named:
        if call := re.match(r"galvote ([a-z]+)\b", code):
            assert call[1] in VERBS, f"{page.name}: {code}"
        if code.startswith(("--", "galvote ")):
            options = set(re.findall(r"(?<!\S)--[a-z-]+", code))
            allowed = options_of(call[1]) if call else every_option
            assert options <= allowed, f"{page.name}: {code}"


@each_page
def test_python_examples_use_names_that_exist(page: Path) -> None:
    for _, code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    there = hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}")
                    assert there, f"{page.name}: {node.module}.{alias.name}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "galvote":
                    assert hasattr(importlib.import_module("galvote"), node.attr)
                if node.value.id == "predictor":
                    assert hasattr(importlib.import_module("galvote").Predictor, node.attr)


def test_every_verb_and_recipe_is_told_of() -> None:
    readme, recipes = (ROOT / "README.md").read_text(), (ROOT / "docs/recipes.md").read_text()
    assert [verb for verb in VERBS if f"`galvote {verb}`" not in readme] == []
    assert [recipe.name for recipe in list_recipes() if f"**`{recipe.name}`**" not in recipes] == []


def test_extras_that_are_named_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = [*PAGES, ROOT / "Makefile", *ROOT.glob("src/galvote/**/*.py")]
    named = {name for text in texts for name in re.findall(r"(?:galvote|\.)\[(\w+)\]'", text.read_text())}
    assert "field" in named
    assert named <= set(extras)
    assert set(extras) <= set(re.findall(r"'\.\[(\w+)\]'", (ROOT / "README.md").read_text()))


def test_modules_and_functions_of_the_architecture_exist() -> None:
    text = (ROOT / "docs/architecture.md").read_text().partition("## The path of an image")[2]
    names = set(re.findall(r"`([a-z]+(?:\.\w+)+)`", text))
    assert "training.batches" in names
    for name in names:
        place, found = "galvote", importlib.import_module("galvote")
        for part in name.removeprefix("galvote.").split("."):
            place = f"{place}.{part}"
            found = getattr(found, part, None) or importlib.import_module(place)


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    others = [page.name for page in PAGES if page.parent == ROOT / "docs" and page.name != "index.md"]
    assert [name for name in others if f"({name})" not in index] == []


def test_table_of_keys_is_what_recipes_have() -> None:
    block = re.search(r"```text\n(.*?)```", recipes_section("Keys"), re.DOTALL)
    assert block
    rows = [re.split(r"  +", line) for line in block[1].splitlines()[1:]]
    assert {key: default for key, _, default in rows} == dict(recipe_keys())


def test_every_key_is_explained() -> None:
    explained = recipes_section("What they mean")
    for key in dict(recipe_keys()):
        assert re.search(rf"`({re.escape(key)}|{key.rpartition('.')[2]})`", explained), key


def test_example_recipe_is_valid(tmp_path: Path) -> None:
    for number, (_, code) in enumerate(blocks(ROOT / "docs/recipes.md", "toml")):
        path = tmp_path / f"example-{number}.toml"
        path.write_text(code)
        load_recipe(path)


SMALLER = {"--count 2000": "--count 100", "--count 200 ": "--count 40 ", "epochs = 10": "epochs = 2"}


@pytest.mark.parametrize(
    "changes", [SMALLER, pytest.param({}, marks=pytest.mark.slow)], ids=["small", "whole"]
)
def test_tutorial_runs_as_it_stands(command, tmp_path: Path, monkeypatch, changes: dict[str, str]) -> None:
    """With a twentieth of the galaxies it is warned of, as a whole it teaches the network something."""
    monkeypatch.chdir(tmp_path)
    said = run_page("tutorial.md", changes, command)
    promised = (
        "sheet.png run/loss.png run/rmse.png run/metrics.csv report/index.html "
        "catalogue.parquet submission.csv scores.json"
    )
    assert [name for name in promised.split() if not (tmp_path / name).is_file()] == []
    assert ("Warning: after fewer than 1,000 steps" in said) == (changes is SMALLER)
    scores = json.loads(Path("scores.json").read_text())
    assert changes is SMALLER or scores["rmse"] < 0.85 * scores["baselines"]["mean"]


FEWER = {"--count 300": "--count 60", "--out look": "--out look --tta 1"}


@pytest.mark.parametrize("changes", [FEWER, pytest.param({}, marks=pytest.mark.slow)], ids=["small", "whole"])
def test_labels_of_ones_own_become_a_catalogue_and_a_page(
    command, tmp_path: Path, monkeypatch, changes: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run_page("finetuning.md", changes, command)
    assert "labels are probably wrong" in said
    assert "Training" in Path("look/index.html").read_text()
    rows = Path("catalogue.csv").read_text().splitlines()
    assert {"look_disc", "look_smooth", "look_disc_low"} <= set(rows[0].split(","))
    assert len(rows) == 1 + (60 if changes else 300)


def run_page(name: str, changes: dict[str, str], command) -> str:
    """Run what a page of docs/ says, but servers, in the present folder; return what is printed."""
    page, said = Path(name), ""
    page.write_text((ROOT / "docs" / name).read_text())
    for text, changed in changes.items():
        assert text in page.read_text()
        page.write_text(page.read_text().replace(text, changed))
    for language, code in blocks(page, "bash", "python"):
        if language == "python":
            exec(compile(code, name, "exec"), {})
        elif code.startswith("galvote ") and not code.startswith("galvote serve"):
            for line in code.splitlines():
                call, _, redirected = line.partition(" > ")
                ran = command(*shlex.split(call)[1:])
                assert ran.returncode == 0, f"{line}\n{ran.stderr}"
                said += ran.stdout
                if redirected:
                    Path(redirected).write_text(ran.stdout)
        elif not code.startswith("galvote "):
            subprocess.run(["bash", "-ec", code], check=True, capture_output=True)
    return said


def recipes_section(title: str) -> str:
    text = (ROOT / "docs/recipes.md").read_text()
    found = re.search(rf"^#+ {title}$(.*?)(?=^#)", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def recipe_keys() -> Iterator[tuple[str, str]]:
    """Yield each key of a recipe with its default as the table has it."""
    for name, field in Recipe.model_fields.items():
        sections = ENCODERS.values() if name == "network" else (field.annotation,)
        for section in sections:
            if isinstance(section, type) and issubclass(section, BaseModel):
                yield from section_keys(name, section)
            else:
                yield name, "the file's name" if name == "name" else as_told(field.default)


def section_keys(name: str, section: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for key, setting in section.model_fields.items():
        if isinstance(setting.default, BaseModel):
            yield from section_keys(f"{name}.{key}", type(setting.default))
        else:
            yield f"{name}.{key}", as_told(setting.default)


def as_told(default: object) -> str:
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return str(list(default))
    return f'"{default}"' if isinstance(default, str) else str(default)
