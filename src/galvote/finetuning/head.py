"""A regularised linear head: for each question a softmax regression on features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold

from galvote.finetuning.own_answers import agree
from galvote.trees import DecisionTree, asked_share, to_conditional, to_cumulative

STRENGTHS = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Inverse regularisations to choose from, for features whose variances sum to 1."""

_ANSWER_VARIANCE = 1.0
"""Of each of the model's own answers: as large as that of all other features together."""

_FIRST = 3.0
FOLDS = 5
_INNER = 3
_AXES = 256
_PRIOR = 0.5  # of a galaxy with mean features: so many votes for each answer, that none is impossible

Rows = Int[np.ndarray, " row"]


@dataclass(frozen=True, eq=False)
class Known:
    """Features and labels of some galaxies, as a head learns them."""

    tree: DecisionTree
    features: Float32[np.ndarray, "view galaxy feature"]  # in each view, scaled; the model's answers last
    shares: Float[np.ndarray, "galaxy answer"]  # conditional fractions of the answers
    weights: Float[np.ndarray, "galaxy question"]  # votes, 1 on average; 0 where unknown or not asked
    answers: int = 0  # how many of the features are answers of the model that is taught

    @classmethod
    def of(
        cls,
        tree: DecisionTree,
        features: Float32[np.ndarray, "view galaxy feature"],
        fractions: Float[np.ndarray, "galaxy answer"],
        counts: Float[np.ndarray, "galaxy answer"] | None,
        answers: int = 0,
    ) -> Known:
        """Return what is known by cumulative fractions, and by numbers of votes if those are known."""
        shares = to_conditional(tree, fractions)
        weights = np.nan_to_num(asked_share(tree, fractions))
        for place, columns in enumerate(tree.slices.values()):
            if counts is not None:
                votes = counts[:, columns].sum(axis=1)
                typical = np.nanmean(votes) if np.isfinite(votes).any() else 1.0
                weights[:, place] = np.where(np.isfinite(votes), votes, weights[:, place] * typical)
            weights[np.isnan(shares[:, columns]).any(axis=1), place] = 0
        mean = weights.sum(axis=0) / np.maximum((weights > 0).sum(axis=0), 1)
        return cls(tree, features, np.nan_to_num(shares), weights / np.where(mean > 0, mean, 1), answers)

    def __len__(self) -> int:
        return len(self.shares)

    def select(self, rows: Rows) -> Known:
        """Return what is known of the galaxies in some rows."""
        return replace(
            self,
            features=self.features[:, rows],
            shares=self.shares[rows],
            weights=self.weights[rows],
        )

    def folds(self, count: int = FOLDS, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Divide the galaxies into parts of like classes; each is left out once.

        Returned are the rows of the galaxies to learn from, and of those that are left out.
        """
        root = next(iter(self.tree.slices.values()))
        classes = self.shares[:, root].argmax(axis=1)
        least = np.unique(classes, return_counts=True)[1].min()
        splitter = StratifiedKFold if least >= count else KFold
        return list(splitter(count, shuffle=True, random_state=seed).split(classes, classes))


@dataclass(frozen=True, eq=False)
class Scaling:
    """Brings features to zero mean along the directions of their largest variances, which sum to 1.

    After these come directions of the model's own answers, each of a larger variance.
    """

    mean: Float[np.ndarray, " feature"]
    axes: Float[np.ndarray, "axis feature"]  # row vectors along which features are measured
    answers: int = 0  # how many of them are directions of answers

    @classmethod
    def fit(
        cls,
        features: Float32[np.ndarray, "galaxy feature"],
        directions: Float[np.ndarray, "answer feature"] | None = None,
    ) -> Scaling:
        """Return the scaling that images give, labelled or not, by the encoder's features of them.

        Directions are those of `galvote.finetuning.own_answers.answer_directions`.
        """
        mean, spread = features.mean(axis=0), features.std(axis=0)
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0)
        found = PCA(min(_AXES, *features.shape), random_state=0).fit((features - mean) * scale)
        axes = found.components_ * scale / np.sqrt(found.explained_variance_.sum())
        if directions is None:
            return cls(mean, axes)
        varied = ((features - mean) @ directions.T).std(axis=0)[:, None]
        own = np.where(varied > 1e-6, directions / np.maximum(varied, 1e-6), 0) * np.sqrt(_ANSWER_VARIANCE)
        return cls(mean, np.concatenate([axes, own]), len(own))

    def apply(
        self, features: Float32[np.ndarray, "view galaxy feature"]
    ) -> Float32[np.ndarray, "view galaxy axis"]:
        """Return scaled features."""
        return np.asarray((features - self.mean) @ self.axes.T, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer; each question's answers share the softmax of their outputs."""

    tree: DecisionTree
    weight: Float[np.ndarray, "answer feature"]
    bias: Float[np.ndarray, " answer"]
    strengths: tuple[float, ...]  # the inverse regularisation of each question

    def logits(self, features: Float[np.ndarray, "galaxy feature"]) -> Float[np.ndarray, "galaxy answer"]:
        """Return the linear layer's outputs for features such as it learned from."""
        return np.asarray(features @ self.weight.T + self.bias, dtype=np.float64)

    def unscaled(self, scaling: Scaling, temperatures: Float[np.ndarray, " question"]) -> Head:
        """Return the head that takes the encoder's own features, and is calibrated.

        It learned from features with this scaling; each question's outputs are divided by its temperature.
        """
        weight = self.weight @ scaling.axes
        return replace(self, weight=weight, bias=self.bias - weight @ scaling.mean).softened(temperatures)

    def softened(self, temperatures: Float[np.ndarray, " question"]) -> Head:
        """Return the head with each question's outputs divided by a temperature."""
        per_answer = np.repeat(temperatures, [len(question.answers) for question in self.tree.questions])
        return replace(self, weight=self.weight / per_answer[:, None], bias=self.bias / per_answer)


def fit_head(
    known: Known, strengths: Sequence[float] | None = None, *, near: Sequence[float] | None = None
) -> Head:
    """Learn a head, each question by itself.

    The inverse regularisation (`strengths`) of each question is chosen by cross-validation if it is not
    given. The search begins `near` what was chosen for other galaxies.
    """
    if strengths is None:
        near = near or [_FIRST] * len(known.tree.questions)
        strengths = [_choose(known, place, first) for place, first in enumerate(near)]
    parts = [_fit(known, place, strength) for place, strength in enumerate(strengths)]
    return Head(
        known.tree,
        np.concatenate([weight for weight, _ in parts]),
        np.concatenate([bias for _, bias in parts]),
        tuple(strengths),
    )


def _choose(known: Known, place: int, first: float) -> float:
    """Return the strength whose head is the least surprised by answers that it did not learn.

    Beginning at the first, the better neighbour is taken while there is one, since each costs several fits.
    """
    asked = known.select(np.flatnonzero(known.weights[:, place]))
    if len(asked) < 2 * _INNER:
        return STRENGTHS[0]
    columns = known.tree.slices[known.tree.questions[place].name]
    parts = [(asked.select(learned), asked.select(rest)) for learned, rest in asked.folds(_INNER, seed=1)]

    def loss(strength: float) -> float:
        total = 0.0
        for some, others in parts:
            weight, bias = _fit(some, place, strength)
            log = log_softmax(others.features[0] @ weight.T + bias, axis=1)
            total -= float((others.weights[:, place, None] * others.shares[:, columns] * log).sum())
        return total

    losses, best = dict[int, float](), STRENGTHS.index(first)
    while new := {best - 1, best, best + 1} & {*range(len(STRENGTHS))} - losses.keys():
        losses |= {i: loss(STRENGTHS[i]) for i in sorted(new)}
        best = min(losses, key=losses.__getitem__)
    return STRENGTHS[best]


def _fit(
    known: Known, place: int, strength: float
) -> tuple[Float[np.ndarray, "own feature"], Float[np.ndarray, " own"]]:
    """Fit one question to the axes of the features, and to those of the model's answers that come nearest."""
    used, width = _choose_features(known, place), known.features.shape[2]
    fit = _fit_steps if known.tree.questions[place].values else _fit_answers
    own, bias = fit(replace(known, features=known.features[:, :, used], answers=0), place, strength)
    weight = np.zeros((len(own), width))
    weight[:, used] = own
    return weight, bias


def _choose_features(known: Known, place: int) -> Rows:
    """Return all features but answers that follow none of the question's own best."""
    question, others = known.tree.questions[place], known.features.shape[2] - known.answers
    asked = np.flatnonzero(known.weights[:, place])
    if not known.answers or len(asked) < 3:
        return np.arange(others)
    shares = known.shares[asked][:, known.tree.slices[question.name]]
    values = (shares @ question.values)[:, None] if question.values else shares
    nearest = agree(known.features[0, asked, others:], values).argmax(axis=0)
    return np.concatenate([np.arange(others), others + np.unique(nearest)])


def _fit_answers(
    known: Known, place: int, strength: float
) -> tuple[Float[np.ndarray, "own feature"], Float[np.ndarray, " own"]]:
    """Fit a question's classes: a row for each view and answer, which weighs as much as it has votes."""
    columns = known.tree.slices[known.tree.questions[place].name]
    answers, (views, _, width) = columns.stop - columns.start, known.features.shape
    votes = known.weights[:, place, None] * known.shares[:, columns]
    galaxy, answer = np.nonzero(votes)
    features = known.features[:, galaxy].reshape(-1, width)
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
    # Of a large tree, checks of what is known to be sound take as long as the fits themselves.
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore", ConvergenceWarning)  # next to the optimum is as good
        model.fit(
            np.concatenate([features, np.zeros((answers, width), np.float32)]),
            np.concatenate([np.tile(answer, views), np.arange(answers)]),
            np.concatenate([np.tile(votes[galaxy, answer] / views, views), np.full(answers, _PRIOR)]),
        )
    weight, bias = model.coef_, model.intercept_
    if answers == 2:  # scikit-learn has the second answer's alone
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


def _fit_steps(
    known: Known, place: int, strength: float
) -> tuple[Float[np.ndarray, "own feature"], Float[np.ndarray, " own"]]:
    """Fit one question whose answers are numbers: features change the odds of every step up them alike.

    These are adjacent-category logits (Agresti 2010, *Analysis of Ordinal Categorical Data*, section 4.1).
    One direction of the features tells larger numbers from smaller ones, so that few labels are enough.
    """
    columns = known.tree.slices[known.tree.questions[place].name]
    answers, (views, _, width) = columns.stop - columns.start, known.features.shape
    asked = np.flatnonzero(known.weights[:, place])
    shares = known.weights[asked, place, None] * known.shares[asked, columns] / views
    features = np.concatenate([*known.features[:, asked], np.zeros((1, width))])  # the last are the prior's
    votes = np.concatenate([np.tile(shares, (views, 1)), np.full((1, answers), _PRIOR)])
    total, steps = votes.sum(axis=1, keepdims=True), np.linspace(-1, 1, answers)
    steps /= np.linalg.norm(steps)

    def lose(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        direction, bias = parameters[:width], parameters[width:]
        log = log_softmax((features @ direction)[:, None] * steps + bias, axis=1)
        apart = total * np.exp(log) - votes
        loss = -(votes * log).sum() + (direction @ direction) / (2 * strength)
        return loss, np.concatenate([(apart @ steps) @ features + direction / strength, apart.sum(axis=0)])

    found = minimize(lose, np.zeros(width + answers), jac=True, method="L-BFGS-B", options={"ftol": 1e-7}).x
    return steps[:, None] * found[:width], found[width:]


def fit_temperatures(
    known: Known, logits: Float[np.ndarray, "galaxy answer"]
) -> Float[np.ndarray, " question"]:
    """Return what the logits of each question are to be divided by, so that probabilities hold.

    Logits are those of heads that did not learn from these galaxies (Guo et al. 2017, arXiv:1706.04599).
    Where answers are numbers it is 1: few labels tell it badly, their mean depends on it, and its intervals
    are calibrated anyway.
    """
    found = []
    for place, columns in enumerate(known.tree.slices.values()):
        if known.tree.questions[place].values:
            found.append(1.0)
            continue
        votes = known.weights[:, place, None] * known.shares[:, columns]

        def lost(log: float, votes: np.ndarray = votes, own: np.ndarray = logits[:, columns]) -> float:
            return float(-(votes * log_softmax(own * np.exp(-log), axis=1)).sum())

        found.append(np.exp(minimize_scalar(lost, bounds=(-2, 2), method="bounded").x))
    return np.array(found)


def to_fractions(
    tree: DecisionTree,
    logits: Float[np.ndarray, "galaxy answer"],
    temperatures: Float[np.ndarray, "*galaxy question"],
) -> Float[np.ndarray, "galaxy answer"]:
    """Return cumulative fractions of a linear layer's outputs, each question's divided by a temperature."""
    per_question = np.broadcast_to(temperatures, (len(logits), len(tree.questions)))
    shares = [
        softmax(logits[:, columns] / per_question[:, place, None], axis=1)
        for place, columns in enumerate(tree.slices.values())
    ]
    return to_cumulative(tree, np.concatenate(shares, axis=1))
