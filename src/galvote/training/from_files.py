"""Training from files: images, votes, classes and splits to a run folder."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from galvote.errors import TrainingError
from galvote.inference.settings import OnProgress
from galvote.models import find_model
from galvote.recipes import summarise_recipe
from galvote.report import CURVES
from galvote.training.inputs import File, LabelFiles, Places, read_training_data
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.run import fit
from galvote.training.run_folder import RUN, STORE, refuse_taken, say_nothing
from galvote.training.world import launch
from galvote.trees import DecisionTree


def train(
    recipe: str | Path,
    images: Places,
    votes: Places,
    out: str | Path,
    *,
    splits: File = None,
    classes: File = None,
    tree: File | DecisionTree = None,
    id_column: str | None = None,
    field_of_view: float | None = None,
    recursive: bool = False,
    dataset: str | None = None,
    teacher: Places = (),
    settings: Sequence[str] = (),
    devices: int = 1,
    machines: int = 1,
    train_teacher: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    skip_invalid: bool = False,
    report: Callable[[str], None] = say_nothing,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a recipe on a folder of galaxies, and return the folder of the best model.

    Stopped at any moment, even by ``kill -9``, it goes on with ``resume`` to the same result.

    Parameters
    ----------
    recipe
        A name that `list_recipes` lists, or the path of a TOML file.
    images, votes
        Folders, files, Parquet or a packed store; and tables of votes.
    out
        Run folder: curves, metrics, checkpoint, and the models ``best`` and ``last``. Images that are not
        packed yet are packed into it first.
    splits
        Table of ids with a column ``split`` (``train``, ``validation``); without it, a random split. A column
        ``sample`` says ``complete`` for galaxies that were not chosen by their votes.
    classes
        Table of ids and hard classes, for recipes that learn from them too.
    tree, id_column, field_of_view
        The votes' tree, its name or its file, by default that whose columns they have; the column of ids in
        all tables, if not of a usual name; and the width of the images in r90 (8.48 is a whole GZ2 frame).
    recursive, dataset
        As for `galvote.io.list_sources`.
    teacher, settings
        A trained model to learn from, or several, whose mean is learned; and changes to the recipe, such as
        ``training.epochs=5``.
    devices, machines
        GPUs, or processes without one, that share each batch on each machine; and how many machines.
    train_teacher
        Train the teacher first where the recipe asks for one and none is given.
    resume, overwrite, skip_invalid
        Go on with an interrupted run; replace an existing one; leave out votes that cannot be true.
    report, on_progress
        Called with sentences, after each epoch too; and with how much is done and how much there is: of
        packing and a teacher's predictions in galaxies, of training in steps.

    Raises
    ------
    GalvoteError
        If a file, a setting or the run folder does not fit; the message says what to do.
    """
    settings = [settings] if isinstance(settings, str) else settings
    if teachers := [str(place) for place in ([teacher] if isinstance(teacher, str | Path) else teacher)]:
        settings = [*settings, f"training.teacher={json.dumps(teachers)}"]
    chosen, out = load_recipe(recipe, settings), Path(out)
    labels = LabelFiles(votes, splits, classes, tree, id_column, skip_invalid)
    with launch(devices, machines) as world:
        if not world.is_rank_zero:
            report, on_progress = say_nothing, None
        with world.rank_zero_first():
            if world.is_rank_zero:
                refuse_taken(out, resume=resume, overwrite=overwrite)
                for model in chosen.training.teacher:
                    find_model(model)  # before images are packed
                agreed = train_teacher or (resume and (out / RUN).exists())
                _announce_teachers(recipe, chosen, report, agreed=agreed)
            read = partial(
                read_training_data,
                field_of_view=field_of_view,
                recursive=recursive,
                dataset=dataset,
                on_progress=on_progress,
            )
            again = overwrite and world.is_rank_zero
            data, hashes = read(chosen, images, labels, out / STORE, overwrite=again, report=report)
        report(data.describe())
        with _summary(out, report):
            start = partial(fit, resume=resume, overwrite=overwrite, hashes=hashes, world=world)
            return start(chosen, data, out, report=report, on_progress=on_progress)


@contextmanager
def _summary(out: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Say at the end what a run has left behind, or how it goes on if it was stopped."""
    try:
        yield
    except KeyboardInterrupt:
        report(f"Stopped. The same command with --resume goes on from the last epoch in {out}.")
        raise
    curves = ", ".join(str(out / name) for name in CURVES)
    report(f"Best model: {out / 'best'}\nCurves: {curves}\nLast model: {out / 'last'}")


def _announce_teachers(
    name: str | Path, recipe: Recipe, report: Callable[[str], None], *, agreed: bool
) -> None:
    """Say what is trained in turn, if a recipe asks for a teacher and none is given."""
    chain = [(name, recipe)]
    while not (first := chain[0][1].training).teacher and first.teacher_recipe is not None:
        if len(chain) > 20:
            raise TrainingError(f"The recipe {chain[0][0]} is its own teacher; name another teacher_recipe.")
        chain.insert(0, (first.teacher_recipe, load_recipe(first.teacher_recipe)))
    if len(chain) == 1:
        return
    lines = [f"{recipe.name} is distilled from a teacher; {len(chain)} networks are trained in turn:"]
    minutes = dict[str, float | None]()
    for origin, step in chain:
        summary = summarise_recipe(origin)
        minutes[step.name] = summary.minutes
        lines.append(f"  {step.name}: {step.training.epochs} epochs{summary.score and '; '}{summary.score}")
    unknown = [name for name, took in minutes.items() if took is None]
    total = sum(took for took in minutes.values() if took) / 60
    lines.append(
        f"These took about {total:.1f} hours of training in all, on the threads named"
        + (f", not counting {', '.join(unknown)}." if unknown else ".")
    )
    if not agreed:
        lines.append(
            "Agree with --yes (train_teacher=True), or give a trained model as the teacher: --teacher MODEL."
        )
        raise TrainingError("\n".join(lines))
    report("\n".join(lines))
