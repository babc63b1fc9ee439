"""Checkpoints without pickle: tensors as safetensors, everything else as JSON in the same file."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils._pytree import tree_flatten, tree_unflatten, treespec_dumps, treespec_loads

from galvote.errors import TrainingError
from galvote.io.atomic import atomic_file, save_tensors


class SafetensorsCheckpointIO(CheckpointIO):
    """How Lightning reads and writes a run's checkpoint: one file, complete or absent."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint beside its place, then put it there."""
        leaves, structure = tree_flatten(checkpoint)
        tensors = {i: leaf.detach().cpu() for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)}
        described = {
            "structure": treespec_dumps(structure),
            "values": [None if i in tensors else leaf for i, leaf in enumerate(leaves)],
            "channels_last": [i for i, tensor in tensors.items() if _is_channels_last(tensor)],
        }
        # Storage may be shared, which the format refuses.
        owned = {str(i): tensor.clone().contiguous() for i, tensor in tensors.items()}
        with atomic_file(Path(path)) as partial:
            save_tensors(save_file, owned, partial, metadata={"checkpoint": json.dumps(described)})

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, or raise `TrainingError` if it is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                described = json.loads(file.metadata()["checkpoint"])
                leaves = described["values"]
                for name in file.keys():  # noqa: SIM118
                    leaves[int(name)] = file.get_tensor(name)
            for i in described["channels_last"]:
                leaves[i] = leaves[i].contiguous(memory_format=torch.channels_last)
            checkpoint: dict[str, Any] = tree_unflatten(leaves, treespec_loads(described["structure"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            raise TrainingError(
                f"The checkpoint {path} cannot be read ({error}); start the run again with --overwrite."
            ) from error
        return checkpoint

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
