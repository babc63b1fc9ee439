"""The Lightning task: forward, loss, optimiser. It knows nothing of files, the loop nothing of galaxies."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from galvote.errors import TrainingError
from galvote.models import GalaxyNetwork
from galvote.models.heads import TreeHead
from galvote.models.losses import (
    dirichlet_multinomial_loss,
    masked_cross_entropy,
    masked_squared_error,
    tree_cross_entropy,
)
from galvote.training.batches import Batch
from galvote.training.examples import MAIN
from galvote.training.pretrained import load_pretrained
from galvote.training.recipe import Recipe
from galvote.trees import DecisionTree

STATISTICS_BATCHES, FINAL_STATISTICS_BATCHES = 16, 64
"""How many batches measure the statistics of batch normalisation for averaged weights, and at the end."""


class DivergedError(TrainingError):
    """A loss that is not finite any more."""


class GalaxyTask(LightningModule):
    """Learn vote fractions of a tree, and hard classes (if there are any) where only those are known.

    Further campaigns, each a name and a tree, have heads on the same encoder.
    """

    def __init__(
        self,
        recipe: Recipe,
        tree: DecisionTree,
        classes: int,
        steps_per_epoch: int,
        campaigns: Mapping[str, DecisionTree] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.campaigns = tuple(campaigns)
        weights = [1.0, *(recipe.campaigns[name].weight for name in campaigns)]
        self.register_buffer("weights", torch.tensor(weights)[:, None], persistent=False)
        network = GalaxyNetwork(recipe.network, tree, tuple(campaigns.values()))
        self.pretrained = load_pretrained(network, recipe.training.first_weights)
        """What the weights began as, for the card."""
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.class_head = nn.Linear(network.head.linear.in_features, classes) if classes else None
        decay = recipe.training.ema_decay
        self.averaged: AveragedModel | None = None
        if decay:
            mean = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            self.averaged = AveragedModel(self.network, multi_avg_fn=mean)
            self.averaged.requires_grad_(False)  # else several devices would wait for its gradients
        self.measured: dict[str, float] = {}
        """The epoch's results: loss and RMSE of training and validation, and RMSE of further campaigns."""

    @property
    def kept_network(self) -> GalaxyNetwork:
        """The network that is validated and saved: the averaged one if there is one."""
        kept = self.averaged.module if self.averaged is not None else self.network
        assert isinstance(kept, GalaxyNetwork)
        return kept

    def on_train_epoch_start(self) -> None:
        """Make the epoch a function of seed and number alone, so that a resumed run repeats it."""
        # Devices drop out different features.
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.current_epoch + (self.global_rank << 48))
        share = self.recipe.training.unnormalised
        for head in (*self.network.heads, *self.kept_network.heads):
            head.normalise = self.current_epoch >= share * self.recipe.training.epochs
        if self.recipe.training.freeze_batch_norm:
            for layer in _normalisations(self.network):
                layer.eval()
        self._totals = self._zeros()

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Return the loss of one batch."""
        features = self.network.features(batch.images)
        compared = self._compare(self.network, features, batch)
        total, terms = (self.get_buffer("weights") * compared[:, :2]).sum(dim=0)
        classified = (batch.classes >= 0).sum()
        # Devices bring gradients to their mean. That is the whole batch's if each one's loss is divided by
        # the terms that all of them know, and multiplied by their number.
        devices = self.trainer.world_size
        known_to_all = self._sum(torch.stack([terms.detach(), classified])).clamp(min=1) / devices
        loss: Tensor = total / known_to_all[0]
        if self.class_head is not None:
            of_share = masked_cross_entropy(self.class_head(features), batch.classes)
            of_batch = of_share * (classified / known_to_all[1])
            loss = loss + self.recipe.training.classes_weight * of_batch
        mean = self._sum(loss.detach()) / devices
        if not torch.isfinite(mean):
            raise self._diverged(number)
        self._totals += torch.stack([torch.stack([mean, torch.ones_like(mean)]), *compared[:, 2:].detach()])
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the averaged weights."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Start to add up."""
        if self.averaged is not None and not self.recipe.training.freeze_batch_norm:
            self._renew_statistics(self.kept_network)
        self._share_statistics(self.kept_network)
        self._validation_totals = self._zeros()

    def validation_step(self, batch: Batch, number: int) -> None:
        """Add up one batch's losses and squared errors."""
        compared = self._compare(self.kept_network, self.kept_network.features(batch.images), batch)
        self._validation_totals += torch.cat([compared[:1, :2], compared[:, 2:]])

    def on_validation_epoch_end(self) -> None:
        """Gather the epoch's numbers; Lightning validates within the training epoch."""
        (total, terms), *validation = self._sum(self._validation_totals).tolist()
        # Of the loss each device has the whole batch's.
        (loss_sum, batches), *training = self._sum(self._totals).tolist()
        self.measured = {
            "training_loss": loss_sum / max(batches, 1),
            "validation_loss": total / terms,
        }
        for name, learned, watched in zip((MAIN, *self.campaigns), training, validation, strict=True):
            prefix = f"{name}_" if name else ""
            for part, (squared, known) in (("training", learned), ("validation", watched)):
                self.measured[f"{prefix}{part}_rmse"] = math.sqrt(squared / max(known, 1))
        if not math.isfinite(self.measured["validation_loss"]):
            raise self._diverged(self.steps_per_epoch)
        self.log_dict(self.measured, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser with its schedule."""
        training = self.recipe.training
        groups = self._parameter_groups()
        optimizer: torch.optim.Optimizer
        match training.optimizer:
            case "adam":
                optimizer = torch.optim.Adam(groups, training.learning_rate, fused=True)
            case "adamw":
                optimizer = torch.optim.AdamW(groups, training.learning_rate, fused=True)
            case "sgd":
                optimizer = torch.optim.SGD(
                    groups, training.learning_rate, momentum=0.9, nesterov=True, fused=True
                )
        # A plain function leaves nothing of itself in the checkpoint.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate_factor(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters by how fast they learn: the further a layer is from the heads, the slower."""
        training = self.recipe.training
        encoder = [(_layer(name), parameter) for name, parameter in self.network.encoder.named_parameters()]
        layers = list(dict.fromkeys(layer for layer, _ in encoder))
        depths = {parameter: len(layers) - layers.index(layer) for layer, parameter in encoder}
        groups = dict[tuple[float, bool], dict[str, Any]]()
        trained = [self.network, *([self.class_head] if self.class_head is not None else [])]
        for parameter in (parameter for module in trained for parameter in module.parameters()):
            rate = training.learning_rate * training.layer_decay ** depths.get(parameter, 0)
            # Decay pulls at what multiplies inputs, not at biases and normalisation.
            decay = training.weight_decay if parameter.ndim > 1 else 0.0
            group = {"params": [], "lr": rate, "weight_decay": decay}
            groups.setdefault((rate, parameter.ndim > 1), group)["params"].append(parameter)
        return list(groups.values())

    def _sum(self, numbers: Tensor) -> Tensor:
        """Add up over the devices."""
        if self.trainer.world_size > 1:
            numbers = numbers.clone()
            torch.distributed.all_reduce(numbers)
        return numbers

    def _zeros(self) -> Float[Tensor, "row 2"]:
        """Return what an epoch starts to add up: loss and number of terms, then errors of each campaign."""
        return torch.zeros(2 + len(self.campaigns), 2, dtype=torch.float64, device=self.device)

    def _compare(self, network: GalaxyNetwork, features: Tensor, batch: Batch) -> Float[Tensor, "campaign 4"]:
        """Return sum and number of terms of the recipe's loss, then of the squared errors of fractions."""
        widths = [len(head.tree) for head in network.heads]
        labels = torch.split(batch.fractions, widths, dim=1)
        counts = labels if batch.counts is None else torch.split(batch.counts, widths, dim=1)
        compared = map(self._compare_one, network.heads, [features] * len(widths), labels, counts)
        return torch.stack([torch.stack(numbers) for numbers in compared])

    def _compare_one(
        self, head: TreeHead, features: Tensor, fractions: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        squared, known = masked_squared_error(head(features), fractions)
        match self.recipe.training.loss:
            case "squared":
                return squared, known, squared, known
            case "cross-entropy":
                compared = tree_cross_entropy(head.tree, head.conditional(features), fractions)
            case "dirichlet-multinomial":
                compared = dirichlet_multinomial_loss(head.tree, head.concentrations(features), counts)
        return *compared, squared, known

    @torch.no_grad()
    def _renew_statistics(self, network: GalaxyNetwork) -> None:
        """Measure the statistics of batch normalisation again: the averaged weights have others.

        As for stochastic weight averaging (Izmailov et al. 2018, section 3.2), on part of the epoch.
        """
        loader = self.trainer.train_dataloader
        assert loader is not None
        # Images of the last epoch: of full width, and from the representative sample if it ends on that.
        last = self.recipe.training.epochs - 1
        count = FINAL_STATISTICS_BATCHES if self.current_epoch == last else STATISTICS_BATCHES
        batches = (loader.dataset[(last, number)] for number in range(min(count, len(loader.dataset))))
        with self.trainer.precision_plugin.forward_context():
            update_bn(batches, network, self.device)

    @torch.no_grad()
    def _share_statistics(self, network: GalaxyNetwork) -> None:
        """Bring the statistics of batch normalisation, which each device has of its share, to their mean."""
        if self.trainer.world_size > 1:
            for layer in _normalisations(network):
                for statistic in (layer.running_mean, layer.running_var):
                    assert statistic is not None
                    statistic.copy_(self._sum(statistic) / self.trainer.world_size)

    def _rate_factor(self, step: int) -> float:
        training = self.recipe.training
        total = training.epochs * self.steps_per_epoch
        match training.schedule:
            case "constant":
                return 1.0
            case "steps":
                return 0.1 ** sum(step >= milestone * total for milestone in training.milestones)
            case "cosine":
                warmup = training.warmup * total
                if step < warmup:
                    return (step + 1) / (warmup + 1)
                return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))

    def _diverged(self, step: int) -> DivergedError:
        training = self.recipe.training
        return DivergedError(
            f"The loss is not finite any more (epoch {self.current_epoch + 1}, step {step}). Most often "
            f"training.learning_rate = {training.learning_rate:g} is too high for training.batch_size = "
            f"{training.batch_size}: try --set training.learning_rate={training.learning_rate / 10:g}. "
            "If it still happens, try --set training.precision=float32."
        )


def _normalisations(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


def _layer(parameter: str) -> str:
    """Return the layer that a parameter of an encoder belongs to, such as ``blocks.3`` or ``conv_stem``."""
    parts = parameter.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts) - 2)
    return ".".join(parts[: number + 1])
