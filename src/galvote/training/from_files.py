"""Training from files: images, votes, classes and splits to a run folder."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from galvote.errors import TrainingError
from galvote.recipes import summarise_recipe
from galvote.training.inputs import OnProgress, Places, read_training_data
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.run import fit
from galvote.training.run_folder import CURVES, RUN, STORE, refuse_taken
from galvote.training.world import launch


def _ignore(sentence: str) -> None:
    """Say nothing."""


def train(
    recipe: str | Path,
    images: Places,
    votes: Places,
    out: str | Path,
    *,
    splits: str | Path | None = None,
    classes: str | Path | None = None,
    tree: str | Path | None = None,
    id_column: str | None = None,
    teacher: str | Path | None = None,
    settings: Sequence[str] = (),
    field_of_view: float | None = None,
    devices: int = 1,
    machines: int = 1,
    train_teacher: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    skip_invalid: bool = False,
    report: Callable[[str], None] = _ignore,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a recipe on a folder of galaxies, and return the folder of the best model.

    Stopped at any moment, even by ``kill -9``, it goes on with ``resume`` to the same result.

    Parameters
    ----------
    recipe
        A name that `list_recipes` lists, or the path of a TOML file.
    images
        Folders, files, Parquet or a packed store. What is not packed yet is packed first, into ``out``.
    votes
        Tables of votes.
    out
        Run folder: curves, metrics, checkpoint, and the models ``best`` and ``last``.
    splits
        Table of ids with a column ``split`` (``train``, ``validation``); without it, a random split. A column
        ``sample`` says ``complete`` for galaxies that were not chosen by their votes.
    classes
        Table of ids and hard classes, for recipes that learn from them too.
    tree
        Name or file of the votes' tree; if not given, the tree whose columns they have.
    id_column
        The column of ids in all these tables; if not given, one of the usual names.
    teacher
        A trained model to learn from, beside the votes.
    settings
        Changes to the recipe, such as ``training.epochs=5``.
    field_of_view
        Width of the images, in r90; 8.48 is a whole GZ2 frame.
    devices, machines
        GPUs, or processes without one, that share each batch on each machine; and how many machines.
    train_teacher
        Train the teacher first where the recipe asks for one and none is given.
    resume, overwrite
        Go on with an interrupted run, or replace an existing one.
    skip_invalid
        Leave out votes that cannot be true instead of raising an error.
    report
        Called with a sentence: what is learned from, and after each epoch how well.
    on_progress
        Called with how much is done and how much there is: of packing and a teacher's predictions in
        galaxies, of training in steps.

    Returns
    -------
    The folder of the best model.

    Raises
    ------
    GalvoteError
        If a file, a setting or the run folder does not fit; the message says what to do.
    """
    if teacher is not None:
        settings = [*settings, f"training.teacher={json.dumps(str(teacher))}"]
    chosen, out = load_recipe(recipe, settings), Path(out)
    with launch(devices, machines) as world:
        if not world.is_rank_zero:
            report, on_progress = _ignore, None
        with world.rank_zero_first():
            if world.is_rank_zero:
                refuse_taken(out, resume=resume, overwrite=overwrite)
                begun = resume and (out / RUN).exists()
                _announce_teachers(recipe, chosen, report, agreed=train_teacher or begun)
            data, hashes = read_training_data(
                chosen,
                images,
                votes,
                out / STORE,
                splits=splits,
                classes=classes,
                tree=tree,
                id_column=id_column,
                field_of_view=field_of_view,
                overwrite=overwrite and world.is_rank_zero,
                skip_invalid=skip_invalid,
                report=report,
                on_progress=on_progress,
            )
        report(data.describe())
        try:
            best = fit(
                chosen,
                data,
                out,
                resume=resume,
                overwrite=overwrite,
                hashes=hashes,
                on_epoch=lambda *epoch: report(_describe_epoch(*epoch)),
                report=report,
                on_progress=on_progress,
                world=world,
            )
        except KeyboardInterrupt:
            report(f"Stopped. The same command with --resume goes on from the last epoch in {out}.")
            raise
        curves = ", ".join(str(out / name) for name in CURVES)
        report(f"Best model: {best}\nCurves: {curves}\nLast model: {out / 'last'}")
    return best


def _announce_teachers(
    name: str | Path, recipe: Recipe, report: Callable[[str], None], *, agreed: bool
) -> None:
    """Say what is trained in turn, if a recipe asks for a teacher and none is given."""
    chain = [(name, recipe)]
    while (first := chain[0][1].training).teacher is None and first.teacher_recipe is not None:
        if len(chain) > 20:
            raise TrainingError(f"The recipe {chain[0][0]} is its own teacher; name another teacher_recipe.")
        chain.insert(0, (first.teacher_recipe, load_recipe(first.teacher_recipe)))
    if len(chain) == 1:
        return
    lines = [f"{recipe.name} is distilled from a teacher; {len(chain)} networks are trained in turn:"]
    for origin, step in chain:
        score = summarise_recipe(origin).score
        lines.append(f"  {step.name}: {step.training.epochs} epochs{score and '; '}{score}")
    if not agreed:
        lines.append(
            "Agree with --yes (train_teacher=True), or give a trained model as the teacher: --teacher MODEL."
        )
        raise TrainingError("\n".join(lines))
    report("\n".join(lines))


def _describe_epoch(recipe: Recipe, epoch: int, measured: Mapping[str, float]) -> str:
    return (
        f"epoch {epoch:3d}/{recipe.training.epochs}"
        f"  training loss {measured['training_loss']:.5f} RMSE {measured['training_rmse']:.4f}"
        f"  validation loss {measured['validation_loss']:.5f} RMSE {measured['validation_rmse']:.4f}"
    )
