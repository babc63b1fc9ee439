"""One training run: a folder that can be interrupted at any moment and resumed."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from galvote.errors import TrainingError
from galvote.io.atomic import write_whole
from galvote.models import Card, fast_precision, save_model
from galvote.models.memory import keep_freed_memory
from galvote.report import plot_curves
from galvote.training.batches import make_loaders
from galvote.training.checkpoint import SafetensorsCheckpointIO
from galvote.training.examples import TrainingData
from galvote.training.recipe import Recipe
from galvote.training.recipe_files import load_recipe
from galvote.training.task import GalaxyTask
from galvote.training.teacher import distil
from galvote.training.world import ALONE, World

CHECKPOINT, RUN, METRICS = "checkpoint.safetensors", "run.json", "metrics.csv"
TEACHER = "teacher"
"""Where a run keeps the run of a teacher that it had to train itself."""
STORE = "store"
"""Where a run keeps cutouts that it had to pack itself."""
TENSORBOARD = "tensorboard"
REDRAW_SECONDS = 10.0

EpochReport = Callable[[Recipe, int, Mapping[str, float]], None]
"""Called after each epoch with the recipe, the epoch's number, from 1, and its four numbers; may raise to
stop the run."""


def train(
    recipe: Recipe,
    data: TrainingData,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_epoch: EpochReport | None = None,
    progress: bool = True,
    console: Console | None = None,
    hashes: Mapping[str, str] | None = None,
    world: World = ALONE,
) -> Path:
    """Train a recipe's network and keep everything about it in one folder.

    Parameters
    ----------
    out
        Run folder. From the first epoch on it holds ``metrics.csv``, ``loss.png``, ``rmse.png``, the
        checkpoint and the model ``best/`` (lowest validation RMSE so far); at the end ``last/`` as well. A
        recipe with ``training.teacher_recipe`` has the run of its teacher in ``teacher/``, trained first.
    resume
        Go on from the last finished epoch, to the same result as if nothing had happened.
    overwrite
        Start again in a folder that holds a run.
    on_epoch
        Called after each epoch, the teacher's too.
    progress
        Show how far the epoch is, if ``console`` is a terminal.
    console
        What ``on_epoch`` prints on the same console stands above the progress bar.
    hashes
        SHA-256 of the input files, for the card.
    world
        The processes that train together, each of which calls this with the same arguments; they share every
        batch. Only rank zero writes and calls ``on_epoch``.

    Returns
    -------
    The folder of the best model.

    Raises
    ------
    TrainingError
        If the folder holds a run and neither ``resume`` nor ``overwrite`` is given, if it was made by another
        recipe or other data, or if the loss stops being finite.
    """
    keep_freed_memory()
    card = _card(recipe, data, dict(hashes or {}))
    with world.rank_zero_first():
        if world.is_rank_zero:
            _claim(out, card, resume=resume, overwrite=overwrite)
        else:
            _follow(out, card)
    console = console or Console(quiet=not world.is_rank_zero)
    if recipe.training.teacher is None and recipe.training.teacher_recipe is not None:
        teacher = _teacher_recipe(recipe)
        console.print(f"First its teacher, {teacher.name}, in {out / TEACHER}", soft_wrap=True)
        train(
            teacher,
            data,
            out / TEACHER,
            resume=True,
            on_epoch=on_epoch,
            progress=progress,
            console=console,
            hashes=hashes,
            world=world,
        )
        console.print(f"Now {recipe.name}", soft_wrap=True)
        recipe = _with_teacher(recipe, out / TEACHER / "last")
    if recipe.training.teacher is not None:
        with world.rank_zero_first():
            data = distil(recipe, data, out, console)
    torch.manual_seed(recipe.seed)
    training, validation = make_loaders(recipe, data, world)
    task = GalaxyTask(recipe, data.tree, len(data.class_names), len(training))
    card = card.model_copy(update={"data": {**card.data, "pretrained": task.pretrained}})
    folder = RunFolder(out, card, on_epoch, world)
    precision = recipe.training.precision
    fast = precision == "bfloat16" or (precision == "auto" and fast_precision() is torch.bfloat16)
    with warnings.catch_warnings():
        # Lightning's advice: more loader workers, a learning-rate monitor; neither serves whole batches.
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        trainer = Trainer(
            max_epochs=recipe.training.epochs,
            **world.trainer_options(),
            precision="bf16-mixed" if fast else "32-true",
            logger=_tensorboard(out),
            callbacks=[folder, *([EpochBar(console)] if progress and console.is_terminal else [])],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            plugins=[SafetensorsCheckpointIO()],
            default_root_dir=out,
        )
        checkpoint = out / CHECKPOINT
        _fit(trainer, task, training, validation, ckpt_path=str(checkpoint) if checkpoint.exists() else None)
    if world.is_rank_zero:
        folder.write(task, final=True)
    return out / "best"


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
    return teacher


def _with_teacher(recipe: Recipe, teacher: Path) -> Recipe:
    """Return the recipe with a trained model as its teacher."""
    training = recipe.training.model_copy(update={"teacher": str(teacher)})
    return recipe.model_copy(update={"training": training})


def _fit(trainer: Trainer, *arguments: Any, **options: Any) -> None:
    """Fit, and let Ctrl-C through, which Lightning makes an exit of."""
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


class EpochBar(Callback):
    """Shows on a terminal how far the epoch is."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin at zero."""
        self.bar.start()
        described = f"epoch {trainer.current_epoch + 1:3d}/{trainer.max_epochs}"
        self.bar.reset(self.task, total=trainer.num_training_batches, description=described)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *batch: Any) -> None:
        """Go one batch further."""
        self.bar.advance(self.task)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()


class RunFolder(Callback):
    """Keeps the run folder true after every epoch."""

    def __init__(
        self, out: Path, card: Card, on_epoch: EpochReport | None = None, world: World = ALONE
    ) -> None:
        self.out, self.card, self.on_epoch, self.world = out, card, on_epoch, world
        self.history: list[dict[str, float]] = []
        self._drawn = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the history of the interrupted run."""
        self.history = state_dict["history"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save models, then the checkpoint, then what can be made from it again."""
        task = pl_module
        assert isinstance(task, GalaxyTask)
        epoch = trainer.current_epoch + 1
        self.history.append({"epoch": epoch, **task.measured})
        # Models before the checkpoint: a run killed between the two repeats the epoch and saves them again.
        best = min(row["validation_rmse"] for row in self.history)
        if self.world.is_rank_zero and task.measured["validation_rmse"] == best:
            self._save(task, "best")
        if self.world.is_rank_zero and epoch == trainer.max_epochs:
            self._save(task, "last")
        trainer.save_checkpoint(self.out / CHECKPOINT)  # by all: they wait for rank zero, which writes it
        if self.world.is_rank_zero:
            self.write(task)
            if self.on_epoch is not None:
                self.on_epoch(task.recipe, epoch, task.measured)

    def write(self, task: GalaxyTask, final: bool = False) -> None:
        """Write `metrics.csv`, and the curves if they were not drawn a moment ago."""
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(self.history[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(self.history)
        write_whole(self.out / METRICS, text.getvalue())
        if final or time.monotonic() - self._drawn > REDRAW_SECONDS:
            plot_curves(self.history, self.out)
            self._drawn = time.monotonic()

    def _save(self, task: GalaxyTask, name: str) -> None:
        row = self.history[-1]
        card = self.card.model_copy(update={"scores": {"epoch": row["epoch"], **task.measured}})
        save_model(task.kept_network, card, self.out / name)


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
            "training_galaxies_with_all_columns": data.training.complete,
            "training_galaxies_with_class": int((data.training.classes >= 0).sum()),
            "training_sha256": data.training.digest(),
            "validation_galaxies": len(data.validation),
            "validation_sha256": data.validation.digest(),
            "class_names": list(data.class_names),
            "left_out": dict(data.left_out),
            "files_sha256": hashes,
        },
    )


def refuse_taken(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or a run that is neither gone on with nor replaced.

    `train` does so too; this comes before anything is written there, and needs no data.

    Raises
    ------
    TrainingError
        Which says what to give instead.
    """
    if resume and overwrite:
        raise TrainingError("--resume goes on with a run and --overwrite starts it again; give one of them.")
    if (out / RUN).exists():
        if not resume and not overwrite:
            raise TrainingError(
                f"{out} holds a run already; go on with --resume, start again with --overwrite, "
                "or choose another --out."
            )
    elif out.exists() and any(item.name != STORE for item in out.iterdir()):
        raise TrainingError(f"{out} is not empty and holds no run; choose another --out.")


def _claim(out: Path, card: Card, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds something else; otherwise say in it what runs here."""
    refuse_taken(out, resume=resume, overwrite=overwrite)
    described = json.loads(card.model_dump_json())
    path = out / RUN
    if path.exists() and not overwrite:
        _compare_with_earlier(out, described)
        return
    out.mkdir(parents=True, exist_ok=True)
    for made in (
        *(out / name for name in (CHECKPOINT, METRICS, "loss.png", "rmse.png")),
        *out.glob("teacher-*"),
    ):
        made.unlink(missing_ok=True)
    for name in ("best", "last", TEACHER, TENSORBOARD):
        shutil.rmtree(out / name, ignore_errors=True)
    write_whole(path, json.dumps(described, indent=2) + "\n")


def _compare_with_earlier(out: Path, described: Mapping[str, Any]) -> None:
    earlier = json.loads((out / RUN).read_text())
    for part in ("recipe", "data", "tree"):
        if earlier[part] != described[part]:
            changed = "; ".join(_differences(earlier[part], described[part]))
            raise TrainingError(
                f"{out} was begun with another {part} ({changed}); "
                "resume it with the same, or choose another --out."
            )


def _differences(earlier: Any, now: Any, name: str = "") -> list[str]:
    if earlier == now:
        return []
    if isinstance(now, list):  # a whole tree would be too much to read
        return [f"{name} changed"]
    if not (isinstance(earlier, dict) and isinstance(now, dict)):
        return [f"{name} {earlier}, now {now}"]
    return [
        difference
        for key in earlier | now
        for difference in _differences(earlier.get(key), now.get(key), f"{name}.{key}" if name else key)
    ]


def _follow(out: Path, card: Card) -> None:
    """See that this process is about to train what rank zero has begun."""
    if not (out / RUN).exists():
        raise TrainingError(
            f"{out} is not the same folder on all machines; choose an --out that all of them see."
        )
    _compare_with_earlier(out, json.loads(card.model_dump_json()))


def _tensorboard(out: Path) -> Any:
    if find_spec("tensorboard") is None:
        return False
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(out, name="", version=TENSORBOARD)
