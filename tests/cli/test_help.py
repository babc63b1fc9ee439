"""The help: verbs in groups, and few options in the first panel of each."""

import re

import pytest
import typer
from typer.testing import CliRunner

from galvote.cli import VERBS, app

COMMANDS = typer.main.get_command(app).commands


def test_serving_has_a_group_of_its_own():
    assert list(VERBS) == ["Use a model", "Make a model", "Data", "Serve"]
    assert VERBS["Serve"] == ("serve",)


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_the_first_panel_has_at_most_six_options(verb: str):
    first = [
        parameter.name
        for parameter in COMMANDS[verb].params
        if parameter.param_type_name == "option" and parameter.rich_help_panel is None
    ]
    assert len(first) <= 6, first


@pytest.mark.parametrize("verb", ["calibrate", "evaluate", "finetune"])
def test_a_catalogue_of_sizes_stands_beside_the_pixel_scale(verb: str):
    panels = {parameter.name: parameter.rich_help_panel for parameter in COMMANDS[verb].params}
    assert panels["catalogue"] == panels["size_column"] == panels["pixel_scale"]


def test_brackets_are_no_markup():
    assert "[zooniverse]" in CliRunner().invoke(app, ["votes", "--help"]).output
    for verb, command in COMMANDS.items():
        texts = [command.help, *(getattr(each, "help", None) for each in command.params)]
        assert not [text for text in texts if text and re.search(r"(?<!\\)\[[a-z]", text)], verb


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("predict --lr 3", "--set training.learning_rate= is an option of galvote finetune, train, sweep"),
        ("train --lr 3", "Use --set training.learning_rate="),
        ("predict --views 8", "Use --tta"),
        ("predict -o votes.csv", "Use --out"),
        ("predict --checkpoint run", "Use --model"),
        ("finetune --weights run", "It needs no option: galvote finetune MODEL"),
        ("predict --input images", "It needs no option: galvote predict IMAGES"),
        ("pack --images images", "It needs no option: galvote pack IMAGES"),
        ("field --image image.png", "It needs no option: galvote field IMAGE"),
        ("train --data images", "Use --images"),
        ("predict --modl run", "(Possible options: --model)"),
    ],
)
def test_a_wrong_option_gets_advice(words: str, advice: str):
    said = CliRunner().invoke(app, words.split(), env={"COLUMNS": "200", "TERM": "dumb"})
    assert said.exit_code == 2
    assert advice in said.stderr
