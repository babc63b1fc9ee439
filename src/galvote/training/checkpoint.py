"""Checkpoints without pickle: tensors as safetensors, everything else as JSON in the same file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from galvote.errors import TrainingError
from galvote.io.atomic import atomic_file


class SafetensorsCheckpointIO(CheckpointIO):
    """How Lightning reads and writes a run's checkpoint: one file, complete or absent."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint beside its place, then put it there."""
        tensors = dict[str, torch.Tensor]()
        structure = json.dumps(_take_apart(checkpoint, tensors))
        with atomic_file(Path(path)) as partial:
            save_file(tensors, partial, metadata={"structure": structure})

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, or raise `TrainingError` if it is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                structure = json.loads(file.metadata()["structure"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"The checkpoint {path} cannot be read ({error}); start the run again with --overwrite."
            ) from error
        restored: dict[str, Any] = _put_together(structure, tensors)
        return restored

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


# Fused optimisers walk through a weight and its moments in the order of memory, so that order is kept too.
def _is_channels_last(tensor: torch.Tensor) -> bool:
    return (
        tensor.ndim == 4
        and tensor.is_contiguous(memory_format=torch.channels_last)
        and not tensor.is_contiguous()
    )


# JSON knows neither tensors, nor tuples, nor keys that are numbers; each is written as an object with one
# reserved key.
def _take_apart(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    match value:
        case torch.Tensor():
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().clone().contiguous()
            return {"__tensor__": name, "channels_last": _is_channels_last(value)}
        case Mapping():
            return {
                "__items__": [[_take_apart(k, tensors), _take_apart(v, tensors)] for k, v in value.items()]
            }
        case tuple():
            return {"__tuple__": [_take_apart(item, tensors) for item in value]}
        case list():
            return [_take_apart(item, tensors) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise TypeError(f"a checkpoint cannot hold {type(value).__name__}: {value!r}")


def _put_together(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    match value:
        case {"__tensor__": name, "channels_last": True}:
            return tensors[name].contiguous(memory_format=torch.channels_last)
        case {"__tensor__": name}:
            return tensors[name]
        case {"__items__": items}:
            return {_put_together(k, tensors): _put_together(v, tensors) for k, v in items}
        case {"__tuple__": items}:
            return tuple(_put_together(item, tensors) for item in items)
        case list():
            return [_put_together(item, tensors) for item in value]
        case _:
            return value
