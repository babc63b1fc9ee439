"""The recipes that ship: TOML files whose first lines say how well they do. Needs no torch."""

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from galvote.errors import RecipeError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class RecipeSummary:
    """What a recipe is chosen by.

    Parameters
    ----------
    name
        As `galvote.train` takes it.
    description
        What is trained, in one line.
    score
        RMSE on which galaxies, and how long it took; empty if it has not been measured.
    minutes
        How long it took, the middle of a range, without its teacher; None if it has not been measured.
    teacher
        Name or file of the recipe that is trained first, if there is one.
    """

    name: str
    description: str
    score: str
    minutes: float | None
    teacher: str | None


def list_recipes() -> tuple[RecipeSummary, ...]:
    """Return a summary of each recipe that ships with galvote, by name."""
    return tuple(map(summarise_recipe, _names()))


def summarise_recipe(name: str | Path) -> RecipeSummary:
    """Return what a recipe's file says of itself; the score is the comment that it begins with.

    Parameters
    ----------
    name
        Name of a recipe that ships, or the path of a TOML file.

    Raises
    ------
    RecipeError
        If there is no such recipe, or it cannot be read.
    """
    text, data = read_recipe(name)
    header = list[str]()
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        header.append(line[2:])
    score = " ".join(header).removesuffix("; see benchmarks/RESULTS.md")
    minutes = re.search(r"(\d+)(?: to (\d+))? minutes", score)
    return RecipeSummary(
        Path(name).stem,
        data.get("description", ""),
        score if score.startswith("RMSE") else "",
        mean(float(number) for number in minutes.groups() if number) if minutes else None,
        data.get("training", {}).get("teacher_recipe"),
    )


def read_recipe(name: str | Path) -> tuple[str, dict[str, Any]]:
    """Return a recipe's file as text, and what the TOML says, not validated.

    Parameters
    ----------
    name
        Name of a recipe that ships, or the path of a TOML file.

    Raises
    ------
    RecipeError
        If there is no such recipe, or it cannot be read.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in _names():
            near = difflib.get_close_matches(str(name), _names(), n=1, cutoff=0.3)
            raise RecipeError(
                f"No recipe {str(name)!r}{f'; did you mean {near[0]!r}?' if near else '.'} "
                f"There are {', '.join(_names())}; or give the path of a .toml file."
            )
        path = FOLDER / f"{name}.toml"
    try:
        text = path.read_text()
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}") from error


def _names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))
