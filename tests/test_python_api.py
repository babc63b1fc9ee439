"""What README promises of Python runs, on simulated galaxies and with a recipe that takes seconds."""

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def names(simulated: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the names that README's Python code leaves behind."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "images").symlink_to(simulated / "images_training")
    (folder / "votes.csv").symlink_to(simulated / "training_solutions.csv")
    (code,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert '"residual"' in code
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.chdir(folder)
        exec(compile(code.replace('"residual"', repr(str(tiny_recipe))), str(README), "exec"), found)
    return found


def test_predictions_are_an_astropy_table(names: dict[str, Any]) -> None:
    table = names["table"]
    assert len(table) == 60 and set(table["status"]) == {"ok"}
    assert list(table["ood_score"]) == sorted(table["ood_score"])
    assert "share of all votes" in table["Class4.1"].description
    assert table["ood_score"].unit is None and "0 to 100" in table["ood_score"].description


def test_a_model_is_trained_and_scored(names: dict[str, Any]) -> None:
    scores = names["evaluation"].scores
    assert 0 < scores["rmse"] < 0.5
    assert scores["rmse"] < 2 * scores["baselines"]["mean"]
