"""From features to vote fractions that flow down the decision tree."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from galvote.tree import DecisionTree

HeadKind = Literal["sigmoid", "softmax", "rectified"]


class TreeHead(nn.Module):
    """A linear layer, then one of three ways to make cumulative vote fractions of its outputs.

    Parameters
    ----------
    features
        Width of the encoder's features.
    tree
        The tree whose columns are predicted.
    kind
        ``sigmoid``: 37 independent sigmoids, as in the baseline report; they do not obey the tree.
        ``softmax``: a softmax within each question, times the share of volunteers that is asked it.
        ``rectified``: rectified outputs divided by their sum within each question, times that share
        (Dieleman, Willett & Dambre 2015, MNRAS 450, 1441, section 7.4). It reaches hard zeros.

    Notes
    -----
    `normalise` belongs to ``rectified`` alone: without the division for the first part of training the
    network starts more reliably (the same paper, section 7.5). Each output clipped to [0, 1] is then a
    cumulative fraction by itself, as in the winner's own code; multiplied down the tree, unbounded outputs
    diverge.
    """

    def __init__(self, features: int, tree: DecisionTree, kind: HeadKind) -> None:
        super().__init__()
        self.tree = tree
        self.kind = kind
        self.normalise = True
        self.linear = nn.Linear(features, len(tree))
        if kind == "rectified":
            # A rectifier that starts at zero for a whole question has no gradient.
            nn.init.constant_(self.linear.bias, 0.1)

    @property
    def obeys_tree(self) -> bool:
        """Whether every question's predictions sum to the share of volunteers that is asked it."""
        return self.kind != "sigmoid"

    def forward(self, features: Float[Tensor, "galaxy feature"]) -> Float[Tensor, "galaxy answer"]:
        """Return cumulative vote fractions in [0, 1], in ``tree.columns`` order, in float32."""
        # The multiplications down the tree need more digits than bfloat16 has.
        outputs: Tensor = self.linear(features).float()
        if self.kind == "sigmoid":
            return torch.sigmoid(outputs)
        if not self.normalise:
            return outputs.clamp(0, 1)
        fractions = dict[int, Tensor]()
        for question in self.tree.asking_order:
            columns, parents = self.tree.slices[question.name], self.tree.parents[question.name]
            conditional = self._conditional(outputs[:, columns])
            if parents and not question.always_asked:
                conditional = conditional * sum(fractions[i] for i in parents)
            for i in range(columns.start, columns.stop):
                fractions[i] = conditional[:, i - columns.start, None]
        return torch.cat([fractions[i] for i in range(len(self.tree))], dim=1)

    def _conditional(self, outputs: Tensor) -> Tensor:
        if self.kind == "softmax":
            return outputs.softmax(dim=1)
        # A question whose outputs are all zero would otherwise lose its votes: share them out.
        rectified = F.relu(outputs) + 1e-7
        return rectified / rectified.sum(dim=1, keepdim=True)
