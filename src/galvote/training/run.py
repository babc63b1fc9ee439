"""One training run: a folder that can be interrupted at any moment and resumed."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from galvote.errors import TrainingError
from galvote.inference.settings import OnProgress
from galvote.metrics import mean_predictor_rmse
from galvote.models import Card, fast_precision
from galvote.models.memory import keep_freed_memory
from galvote.training.batches import make_loaders
from galvote.training.checkpoint import SafetensorsCheckpointIO
from galvote.training.examples import MAIN, TrainingData
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.run_folder import (
    CHECKPOINT,
    TEACHER,
    TENSORBOARD,
    EpochReport,
    RunFolder,
    check_same,
    claim,
    say_nothing,
)
from galvote.training.task import GalaxyTask
from galvote.training.teacher import check_teacher, distil
from galvote.training.world import ALONE, World


def fit(
    recipe: Recipe,
    data: TrainingData,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    hashes: Mapping[str, str] | None = None,
    on_epoch: EpochReport | None = None,
    report: Callable[[str], None] = say_nothing,
    on_progress: OnProgress | None = None,
    world: World = ALONE,
) -> Path:
    """Train a recipe's network, keep everything about it in one folder, and return the best model's.

    Parameters
    ----------
    recipe, data
        The network and how it is trained; what it learns from and is validated with.
    out
        Run folder. From the first epoch on it holds ``metrics.csv``, ``loss.png``, ``rmse.png``, the
        checkpoint and the model ``best/`` (lowest validation RMSE so far); at the end ``last/`` as well. A
        recipe with ``training.teacher_recipe`` has the run of its teacher in ``teacher/``, trained first, and
        further campaigns have their models in ``campaigns/NAME/``.
    resume, overwrite
        Go on from the last finished epoch, to the same result as if nothing had happened, with more epochs
        than before if the schedule allows; or start again in a folder that holds a run.
    hashes
        SHA-256 of the input files, for the card.
    on_epoch, report, on_progress
        Called after each epoch; with a sentence then, and when a teacher's run begins and ends; and with how
        many steps are done and how many there are, or galaxies of a teacher's predictions.
    world
        The processes that train together, each of which calls this with the same arguments; they share every
        batch. Only rank zero writes, and reports epochs.

    Raises
    ------
    TrainingError
        If the folder holds a run and neither ``resume`` nor ``overwrite`` is given, if it was made by another
        recipe or other data, or if the loss stops being finite.
    """
    keep_freed_memory()
    check_teacher(recipe, data.tree)
    card = _card(recipe, data, dict(hashes or {}))
    with world.rank_zero_first():
        if world.is_rank_zero:
            claim(out, card, resume=resume, overwrite=overwrite)
        else:
            check_same(out, card)
    # Not in run.json, which says what a resumed run must have been begun with.
    mean = mean_predictor_rmse(data.training.fractions, data.validation.fractions)
    card = card.model_copy(update={"data": {**card.data, "mean_predictor_rmse": mean}})
    if not recipe.training.teacher and recipe.training.teacher_recipe is not None:
        teacher = _teacher_recipe(recipe)
        report(f"First its teacher, {teacher.name}, in {out / TEACHER}")
        again = partial(fit, hashes=hashes, on_epoch=on_epoch, report=report, on_progress=on_progress)
        again(teacher, data, out / TEACHER, resume=True, world=world)
        report(f"Now {recipe.name}")
        recipe = _with_teacher(recipe, out / TEACHER / "last")
    if recipe.training.teacher:
        with world.rank_zero_first():
            data = distil(recipe, data, out, on_progress)
    return _learn(recipe, data, RunFolder(out, card, world, report, on_epoch), on_progress)


def _learn(recipe: Recipe, data: TrainingData, folder: RunFolder, on_progress: OnProgress | None) -> Path:
    """Train one network, from its checkpoint if there is one, and return the folder of the best model."""
    torch.manual_seed(recipe.seed)
    training, validation = make_loaders(recipe, data, folder.world)
    task = GalaxyTask(recipe, data.tree, len(data.class_names), len(training), data.campaigns)
    known = {**folder.card.data, "pretrained": task.pretrained}
    folder.card = folder.card.model_copy(update={"data": known})
    if task.pretrained.get("part"):
        folder.report(f"The encoder begins as that of {task.pretrained['name']}, and the head is new")
    checkpoint = folder.out / CHECKPOINT
    with warnings.catch_warnings():
        # Lightning's advice: more loader workers, a learning-rate monitor; neither serves whole batches.
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        trainer = _make_trainer(recipe, folder, on_progress)
        _run(trainer, task, training, validation, ckpt_path=str(checkpoint) if checkpoint.exists() else None)
    if folder.world.is_rank_zero:
        folder.write(final=True)
    return folder.out / "best"


def _card(recipe: Recipe, data: TrainingData, hashes: dict[str, str]) -> Card:
    return Card(
        name=recipe.name,
        description=recipe.description,
        tree=data.tree.to_dict(),
        cutout=data.store.geometry,
        network=recipe.network,
        recipe=recipe.model_dump(mode="json"),
        data={
            "training_galaxies": len(data.training),
            "training_galaxies_with_all_columns": data.training.of(data.columns[MAIN]).complete,
            "training_galaxies_with_class": int((data.training.classes >= 0).sum()),
            "training_sha256": data.training.digest(),
            "validation_galaxies": len(data.validation),
            "validation_sha256": data.validation.digest(),
            "class_names": list(data.class_names),
            "left_out": dict(data.left_out),
            "files_sha256": hashes,
            **({"campaigns": data.count()} if data.campaigns else {}),
        },
    )


def _teacher_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of a recipe's teacher, which learns from the same data with the same seed."""
    assert recipe.training.teacher_recipe is not None
    teacher = load_recipe(recipe.training.teacher_recipe, [f"seed={recipe.seed}"])
    for key, own, its in (
        ("cutout", recipe.cutout, teacher.cutout),
        ("data.labels", recipe.data.labels, teacher.data.labels),
        ("data.representative > 0", recipe.data.representative > 0, teacher.data.representative > 0),
        ("training.classes_weight", recipe.training.classes_weight, teacher.training.classes_weight),
    ):
        if own != its:
            raise TrainingError(
                f"The teacher's recipe {teacher.name} has {key} = {its}, the recipe {own}; both learn from "
                "the same data. Give them the same, or train the teacher by itself and name it as "
                "training.teacher."
            )
    return teacher.model_copy(update={"campaigns": recipe.campaigns})


def _with_teacher(recipe: Recipe, teacher: Path) -> Recipe:
    """Return the recipe with a trained model as its teacher."""
    training = recipe.training.model_copy(update={"teacher": (str(teacher),)})
    return recipe.model_copy(update={"training": training})


def _make_trainer(recipe: Recipe, folder: RunFolder, on_progress: OnProgress | None) -> Trainer:
    precision = recipe.training.precision
    fast = precision == "bfloat16" or (precision == "auto" and fast_precision() is torch.bfloat16)
    return Trainer(
        max_epochs=recipe.training.epochs,
        **folder.world.trainer_options(),
        precision="bf16-mixed" if fast else "32-true",
        logger=_tensorboard(folder.out),
        callbacks=[folder, *([StepProgress(on_progress)] if on_progress is not None else [])],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        plugins=[SafetensorsCheckpointIO()],
        default_root_dir=folder.out,
    )


def _tensorboard(out: Path) -> Any:
    if find_spec("tensorboard") is None:
        return False
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(out, name="", version=TENSORBOARD)


class StepProgress(Callback):
    """Reports how many steps of a run are done, and how many there are."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress = on_progress

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *batch: Any) -> None:
        """Report one step more."""
        self.on_progress(trainer.global_step, (trainer.max_epochs or 1) * int(trainer.num_training_batches))


def _run(trainer: Trainer, *arguments: Any, **options: Any) -> None:
    """Run the trainer, and let Ctrl-C through, which Lightning makes an exit of."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(*arguments, **options)
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
