"""From features to vote fractions that flow down the decision tree."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from galvote.errors import ModelError
from galvote.models.description import HeadKind
from galvote.trees import DecisionTree


class TreeHead(nn.Module):
    """A linear layer, then one of several ways to make cumulative vote fractions of its outputs.

    All but ``sigmoid``, independent sigmoids as in the baseline report, divide each question among its
    answers and let these conditional fractions flow down the tree: by a ``softmax``; ``rectified`` outputs
    divided by their sum (Dieleman, Willett & Dambre 2015, MNRAS 450, 1441, section 7.4), which reaches hard
    zeros; or the mean of a ``dirichlet`` distribution, whose concentrations are predicted.

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
        if kind == "dirichlet":
            # Concentrations of 2.8, unsure of everything: from sigmoid(0), 51, questions that are put to few
            # come down so slowly that their distributions stay too narrow.
            nn.init.constant_(self.linear.bias, -4)

    def forward(self, features: Float[Tensor, "galaxy feature"]) -> Float[Tensor, "galaxy answer"]:
        """Return cumulative vote fractions in [0, 1], in ``tree.columns`` order, in float32."""
        if self.kind == "sigmoid":
            return torch.sigmoid(self._outputs(features))
        if self.kind == "rectified" and not self.normalise:
            return self._outputs(features).clamp(0, 1)
        return flow_down(self.tree, self.conditional(features))

    def conditional(self, features: Float[Tensor, "galaxy feature"]) -> Float[Tensor, "galaxy answer"]:
        """Return fractions that sum to 1 within each question, in float32; a sigmoid head has none."""
        outputs = self._outputs(features)
        return torch.cat([self._divide(outputs[:, answers]) for answers in self.tree.slices.values()], dim=1)

    def concentrations(self, features: Float[Tensor, "galaxy feature"]) -> Float[Tensor, "galaxy answer"]:
        """Return what a ``dirichlet`` head predicts: each answer's concentration, from 1 to 101.

        The conditional fraction of an answer with concentration a in a question whose concentrations sum to A
        is then distributed as Beta(a, A - a).
        """
        if self.kind != "dirichlet":
            raise ModelError(f"A {self.kind} head has no concentrations; train one with head = 'dirichlet'.")
        return _to_concentrations(self._outputs(features))

    def _outputs(self, features: Tensor) -> Tensor:
        # What follows, above all the multiplications down the tree, needs more digits than bfloat16 has.
        outputs: Tensor = self.linear(features).float()
        return outputs

    def _divide(self, outputs: Tensor) -> Tensor:
        """Divide one question among its answers."""
        match self.kind:
            case "sigmoid":
                raise ModelError("A sigmoid head has no conditional fractions; train one of another kind.")
            case "softmax":
                return outputs.softmax(dim=1)
            case "rectified":
                positive = F.relu(outputs)
                # A question whose outputs are all zero would otherwise lose its votes: share them out.
                nothing = positive.sum(dim=1, keepdim=True) < 1e-7
                positive = torch.where(nothing, positive + 1e-7, positive)
            case "dirichlet":
                positive = _to_concentrations(outputs)
        return positive / positive.sum(dim=1, keepdim=True)


def flow_down(
    tree: DecisionTree, conditional: Float[Tensor, "galaxy answer"]
) -> Float[Tensor, "galaxy answer"]:
    """Multiply conditional fractions by the share that is asked, as `galvote.trees.to_cumulative` does."""
    fractions = dict[int, Tensor]()
    for question in tree.asking_order:
        columns, parents = tree.slices[question.name], tree.parents[question.name]
        shares = conditional[:, columns]
        if parents and not question.always_asked:
            shares = shares * sum(fractions[i] for i in parents)
        for i in range(columns.start, columns.stop):
            fractions[i] = shares[:, i - columns.start, None]
    return torch.cat([fractions[i] for i in range(len(tree))], dim=1)


def _to_concentrations(outputs: Tensor) -> Tensor:
    # As Zoobot has it (Walmsley et al. 2022, MNRAS 509, 3966). From 1 on a question's distribution has one
    # mode; up to 101 it is about as narrow as any number of volunteers can tell.
    return 1 + 100 * torch.sigmoid(outputs)
