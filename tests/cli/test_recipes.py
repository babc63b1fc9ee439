"""`galvote recipes`: what can be trained, with the scores that the files begin with."""

import json

import galvote


def test_recipes_are_listed_with_scores_and_teachers(command):
    ran = command("recipes")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    at = lines.index("galvote-base")
    assert lines[at + 1].startswith("  galvote's accurate network")
    assert lines[at + 2].startswith("  RMSE 0.0853 on the validation split")
    assert lines[at + 3] == "  teacher: galvote-teacher-4"
    listed = json.loads(command("recipes", "--json").stdout)
    assert [recipe["name"] for recipe in listed] == [recipe.name for recipe in galvote.list_recipes()]
    assert {"sharma2020", "residual"} <= {recipe["name"] for recipe in listed}
