"""What training minimises. Each loss of the tree is a sum and the number of terms that were known."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from galvote.trees import DecisionTree

LossKind = Literal["squared", "cross-entropy", "dirichlet-multinomial"]


def masked_squared_error(
    predicted: Float[Tensor, "galaxy answer"], actual: Float[Tensor, "galaxy answer"]
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Return the sum of squared errors over the known columns, and how many they are.

    Parameters
    ----------
    predicted
        Cumulative vote fractions.
    actual
        The volunteers'; NaN where unknown, which then has no gradient.
    """
    known = torch.isfinite(actual)
    error = torch.where(known, predicted - torch.where(known, actual, 0), 0)
    return error.square().sum(), known.sum()


def tree_cross_entropy(
    tree: DecisionTree, conditional: Float[Tensor, "galaxy answer"], actual: Float[Tensor, "galaxy answer"]
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Return the cross-entropy of what volunteers answer, summed over known questions, and how many they are.

    Minus the sum of each answer's cumulative fraction times the logarithm of its predicted conditional one:
    where a question is put to few volunteers it counts little. It is least where the prediction is true. A
    question with NaN among its answers is unknown.
    """
    # Smaller than any softmax of trained outputs: 0 x log 0 would be NaN.
    logarithms = conditional.clamp(min=torch.finfo(conditional.dtype).tiny).log()
    known, actual = _known_questions(tree, actual)
    return -(actual * logarithms).sum(), known


def dirichlet_multinomial_loss(
    tree: DecisionTree, concentrations: Float[Tensor, "galaxy answer"], counts: Float[Tensor, "galaxy answer"]
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    r"""Return minus the log-likelihood of the votes, summed over known questions, and how many they are.

    Of the N volunteers who answer a question, n_i choose the answer with concentration a_i, out of a crowd
    whose fractions are drawn from the Dirichlet distribution; with A the sum of the a_i,

    .. math::
        p(n \mid a) = \frac{N!\,\Gamma(A)}{\Gamma(N + A)} \prod_i \frac{\Gamma(n_i + a_i)}{n_i!\,\Gamma(a_i)}

    (Mosimann 1962, Biometrika 49, 65; for galaxies' votes Walmsley et al. 2022, MNRAS 509, 3966). Where
    nobody was asked it is 1. Down the tree the likelihoods multiply, as N is given by the answers before. A
    question with NaN among its answers is unknown.
    """
    known, counts = _known_questions(tree, counts)
    likelihood = (
        torch.lgamma(counts + concentrations) - torch.lgamma(concentrations) - torch.lgamma(counts + 1)
    ).sum()
    for answers in tree.slices.values():
        total, asked = concentrations[:, answers].sum(dim=1), counts[:, answers].sum(dim=1)
        likelihood += (torch.lgamma(total) - torch.lgamma(asked + total) + torch.lgamma(asked + 1)).sum()
    return -likelihood, known


def masked_cross_entropy(
    logits: Float[Tensor, "galaxy class"], classes: Int[Tensor, " galaxy"]
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over the galaxies whose class is known; 0 if none is.

    Parameters
    ----------
    logits
        One for each class.
    classes
        Number of the class; -1 where unknown.
    """
    total = F.cross_entropy(logits.float(), classes, ignore_index=-1, reduction="sum")
    return total / (classes >= 0).sum().clamp(min=1)


def _known_questions(tree: DecisionTree, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many questions have all their answers known, and the values with 0 for the others."""
    parts = [values[:, answers] for answers in tree.slices.values()]
    known = [torch.isfinite(part).all(dim=1, keepdim=True) for part in parts]
    filled = [torch.where(mask, part, 0) for mask, part in zip(known, parts, strict=True)]
    return torch.cat(known).sum(), torch.cat(filled, dim=1)
