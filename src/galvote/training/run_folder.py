"""The folder of a run: who may write there, and what stands in it after each epoch."""

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from galvote.errors import TrainingError
from galvote.io.atomic import write_whole
from galvote.models import Card, save_model
from galvote.report import CURVES, plot_curves
from galvote.training.recipe import Recipe
from galvote.training.task import GalaxyTask
from galvote.training.world import ALONE, World

CHECKPOINT, RUN, METRICS = "checkpoint.safetensors", "run.json", "metrics.csv"
TEACHER = "teacher"
"""Where a run keeps the run of a teacher that it had to train itself."""
CAMPAIGNS = "campaigns"
"""Where the models of further campaigns stand, as those of a run, by name."""
STORE = "store"
"""Where a run keeps cutouts that it had to pack itself."""
START = "start"
"""Where fine-tuning keeps the model that it begins from, if it made that."""
TENSORBOARD = "tensorboard"
REDRAW_SECONDS = 10.0
ENOUGH_STEPS = 1000
"""A run with fewer is warned of, unless its first weights have learned already."""

EpochReport = Callable[[Recipe, int, Mapping[str, float]], None]
"""Called after each epoch with the recipe, the epoch's number, from 1, and its numbers; may raise to stop the
run."""


def say_nothing(sentence: str) -> None:
    """Be called in place of what reports."""


class RunFolder(Callback):
    """Writes models, metrics, curves and the checkpoint after every epoch; of several processes, one does."""

    def __init__(
        self,
        out: Path,
        card: Card,
        world: World = ALONE,
        report: Callable[[str], None] = say_nothing,
        on_epoch: EpochReport | None = None,
    ) -> None:
        self.out, self.card, self.world, self.report, self.on_epoch = out, card, world, report, on_epoch
        self.history: list[dict[str, float]] = []
        self._drawn = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the history of the interrupted run."""
        self.history = state_dict["history"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how many steps are to come; do none for a run that had stopped early."""
        assert isinstance(pl_module, GalaxyTask)
        if self.world.is_rank_zero:
            self.report(_describe_steps(pl_module.recipe, int(trainer.num_training_batches)))
        self._stop_early(trainer, pl_module)

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
        self._stop_early(trainer, task)
        if self.world.is_rank_zero and (epoch == trainer.max_epochs or trainer.should_stop):
            self._save(task, "last")
        trainer.save_checkpoint(self.out / CHECKPOINT)  # by all: they wait for rank zero, which writes it
        if self.world.is_rank_zero:
            self.write()
            self.report(_describe(task.recipe, epoch, task.measured))
            if self.on_epoch is not None:
                self.on_epoch(task.recipe, epoch, task.measured)

    def write(self, final: bool = False) -> None:
        """Write `metrics.csv`, and the curves if they were not drawn a moment ago."""
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(self.history[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(self.history)
        write_whole(self.out / METRICS, text.getvalue())
        if final or time.monotonic() - self._drawn > REDRAW_SECONDS:
            plot_curves(self.history, self.out, self.card.data.get("mean_predictor_rmse"))
            self._drawn = time.monotonic()

    def _stop_early(self, trainer: Trainer, task: LightningModule) -> None:
        """Stop if validation RMSE has not fallen for as many epochs as the recipe waits."""
        assert isinstance(task, GalaxyTask)
        rmse, patience = [row["validation_rmse"] for row in self.history], task.recipe.training.patience
        if rmse and patience is not None and len(rmse) - rmse.index(min(rmse)) > patience:
            trainer.should_stop = True

    def _save(self, task: GalaxyTask, name: str) -> None:
        scores = self.history[-1]
        network = task.kept_network
        save_model(
            network.with_head(network.head),
            self.card.model_copy(update={"scores": scores}),
            self.out / name,
        )
        for campaign, head in zip(task.campaigns, network.heads[1:], strict=True):
            described = {
                "name": f"{self.card.name}-{campaign}",
                "tree": head.tree.to_dict(),
                "scores": {
                    "epoch": scores["epoch"],
                    "validation_rmse": scores[f"{campaign}_validation_rmse"],
                },
            }
            save_model(
                network.with_head(head),
                self.card.model_copy(update=described),
                self.out / CAMPAIGNS / campaign / name,
            )


def _describe_steps(recipe: Recipe, an_epoch: int) -> str:
    training = recipe.training
    in_all = training.epochs * an_epoch
    said = f"Steps: {an_epoch:,} an epoch, {in_all:,} in all"
    if in_all >= ENOUGH_STEPS or training.first_weights != "random":
        return said
    return (
        f"{said}\nWarning: after fewer than {ENOUGH_STEPS:,} steps a network may still be worse than the "
        f"mean predictor. Give it more epochs (training.epochs={-(-ENOUGH_STEPS // an_epoch)} or more) "
        f"or smaller batches (training.batch_size, now {training.batch_size})."
    )


def _describe(recipe: Recipe, epoch: int, measured: Mapping[str, float]) -> str:
    return (
        f"epoch {epoch:3d}/{recipe.training.epochs}"
        f"  training loss {measured['training_loss']:.5f} RMSE {measured['training_rmse']:.4f}"
        f"  validation loss {measured['validation_loss']:.5f} RMSE {measured['validation_rmse']:.4f}"
        + "".join(f"  {name} RMSE {measured[f'{name}_validation_rmse']:.4f}" for name in recipe.campaigns)
    )


def refuse_taken(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or a run that is neither gone on with nor replaced.

    `fit` does so too; this comes before anything is written there, and needs no data.
    """
    if resume and overwrite:
        raise TrainingError("--resume goes on with a run and --overwrite starts it again; give one of them.")
    if (out / RUN).exists():
        if not resume and not overwrite:
            raise TrainingError(
                f"{out} holds a run already; go on with --resume, start again with --overwrite, "
                "or choose another --out."
            )
    elif out.exists() and any(item.name not in (STORE, START) for item in out.iterdir()):
        raise TrainingError(f"{out} is not empty and holds no run; choose another --out.")


def claim(out: Path, card: Card, *, resume: bool, overwrite: bool) -> None:
    """Say in a folder what runs there, unless it holds something else."""
    refuse_taken(out, resume=resume, overwrite=overwrite)
    described = json.loads(card.model_dump_json())
    if (out / RUN).exists() and not overwrite:
        check_same(out, card)
    else:
        out.mkdir(parents=True, exist_ok=True)
        for earlier in (*(out / name for name in (CHECKPOINT, METRICS, *CURVES)), *out.glob("teacher-*")):
            earlier.unlink(missing_ok=True)
        for name in ("best", "last", CAMPAIGNS, TEACHER, TENSORBOARD):
            shutil.rmtree(out / name, ignore_errors=True)
    write_whole(out / RUN, json.dumps(described, indent=2) + "\n")


def check_same(out: Path, card: Card) -> None:
    """Refuse to go on with a run that was begun with another recipe, other data or another tree.

    The recipe may have more epochs, if those before stay as they were.
    """
    if not (out / RUN).exists():
        raise TrainingError(
            f"{out} is not the same folder on all machines; choose an --out that all of them see."
        )
    earlier, now = json.loads((out / RUN).read_text()), json.loads(card.model_dump_json())
    for part in ("recipe", "data", "tree"):
        if earlier[part] == now[part]:
            continue
        hint = "resume it with the same, or choose another --out."
        if part == "recipe":
            before, after = (Recipe.model_validate(run["recipe"]) for run in (earlier, now))
            if after.extends(before):
                continue
            if after.training.epochs > before.training.epochs:
                hint = (
                    f"{before.why_no_more_epochs()}: resume it with the same, or start another run from its "
                    f"weights, with --out and --set training.pretrained={out / 'last'}."
                )
        changed = "; ".join(_differences(earlier[part], now[part]))
        other = "other data" if part == "data" else f"another {part}"
        raise TrainingError(f"{out} was begun with {other} ({changed}); {hint}")


def _differences(earlier: Any, now: Any, name: str = "") -> list[str]:
    if earlier == now:
        return []
    if isinstance(now, list):  # a whole tree would be too much to read
        return [f"{name} changed"]
    if "_sha256" in name and not isinstance(now, dict):  # a file, or the galaxies of a split
        how = "is new" if earlier is None else "is left out" if now is None else "changed"
        return [f"{name.removeprefix('files_sha256.').replace('_sha256', ' galaxies')} {how}"]
    if not (isinstance(earlier, dict) and isinstance(now, dict)):
        return [f"{name} {earlier}, now {now}"]
    return [
        difference
        for key in earlier | now
        for difference in _differences(earlier.get(key), now.get(key), f"{name}.{key}" if name else key)
    ]
