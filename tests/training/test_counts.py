"""Learning from numbers of votes: the recipe, the tables, and whether a crowd's fractions are found again."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import galvote
from galvote.errors import RecipeError, TrainingError
from galvote.images import PackedStore
from galvote.io import read_table, write_table
from galvote.labels import read_labels, read_votes
from galvote.models import load_model
from galvote.models.heads import TreeHead
from galvote.models.losses import dirichlet_multinomial_loss
from galvote.training import load_recipe
from galvote.training.batches import GalaxyBatches
from galvote.training.examples import gather_examples
from galvote.trees import find_violations, load_tree

GZ2 = load_tree("gz2")

BY_COUNTS = ["network.head=dirichlet", "training.loss=dirichlet-multinomial"]


class Crowd(NamedTuple):
    """Galaxies of two properties and what a simulated crowd thinks and votes."""

    properties: torch.Tensor
    concentrations: np.ndarray
    fractions: np.ndarray
    """What all the volunteers in the world would answer, of those who are asked: drawn for each galaxy."""
    counts: torch.Tensor


def ask(galaxies: int, rng: np.random.Generator, volunteers: int = 40) -> Crowd:
    x, y = properties = rng.uniform(-1, 1, (2, galaxies))
    weights = np.random.default_rng(7).normal(0, 1.3, (3, len(GZ2)))
    likings = np.exp(np.stack([np.sin(3 * x), y, x * y], axis=1) @ weights)
    concentrations, fractions, counts = np.zeros((3, galaxies, len(GZ2)))
    for question in GZ2.asking_order:
        answers, parents = GZ2.slices[question.name], GZ2.parents[question.name]
        shares = likings[:, answers] / likings[:, answers].sum(axis=1, keepdims=True)
        concentrations[:, answers] = 1 + 20 * shares
        weight = rng.gamma(concentrations[:, answers])
        fractions[:, answers] = weight / weight.sum(axis=1, keepdims=True)
        asked = counts[:, parents].sum(axis=1).astype(int) if parents else volunteers
        counts[:, answers] = rng.multinomial(asked, fractions[:, answers])
    return Crowd(
        torch.from_numpy(properties.T).float(), concentrations, fractions, torch.from_numpy(counts).float()
    )


def covered(fractions: np.ndarray, concentrations: np.ndarray) -> float:
    """Return the share of fractions within the 90 % interval that a question's concentrations imply."""
    others = concentrations.sum(axis=1, keepdims=True) - concentrations
    low, high = stats.beta.ppf(np.array([0.05, 0.95])[:, None, None], concentrations, others)
    return float(((low <= fractions) & (fractions <= high)).mean())


def test_a_crowds_fractions_are_found_within_the_intervals(one_thread):
    rng = np.random.default_rng(0)
    known, new = ask(4000, rng), ask(500, rng)
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
    head = TreeHead(32, GZ2, "dirichlet")
    steps = 250
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(0, len(known.counts), (256,))
        predicted = head.concentrations(body(known.properties[batch]))
        loss, terms = dirichlet_multinomial_loss(GZ2, predicted, known.counts[batch])
        optimizer.zero_grad()
        (loss / terms).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        features = body(new.properties)
        found, mean = head.concentrations(features).double().numpy(), head.conditional(features).numpy()
    shares = list[float]()
    for answers in GZ2.slices.values():
        sure = found[:, answers]
        shares.append(covered(new.fractions[:, answers], sure))
        assert 0.8 < shares[-1] < 0.97
        of_crowd = new.concentrations[:, answers]
        truth = of_crowd / of_crowd.sum(axis=1, keepdims=True)
        of_all = known.fractions[:, answers].mean(axis=0)
        assert rms(mean[:, answers] - truth) < 0.3 * rms(of_all - truth)
    assert np.mean(shares) == pytest.approx(0.9, abs=0.04)
    sure = found[:, GZ2.slices["arm_number"]]
    assert covered(new.fractions[:, GZ2.slices["arm_number"]], 4 * sure) < 0.75, "half as wide is noticed"


def rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.square(errors).mean()))


@pytest.fixture
def gather(simulated, tiny_recipe, packed):
    """Return a function that gathers the simulated galaxies' pictures and the votes of a table."""

    def run(table="vote_counts.csv", *settings: str, votes=None):
        return gather_examples(
            load_recipe(tiny_recipe, [*settings]),
            PackedStore.open(packed),
            votes or read_votes(simulated / table),
            splits=read_labels(simulated / "splits.csv"),
        )

    return run


def test_counts_stay_with_their_galaxies(gather, simulated, tiny_recipe):
    data = gather("vote_counts.csv", *BY_COUNTS)
    votes = read_votes(simulated / "vote_counts.csv")
    for part in (data.training, data.validation):
        rows = [votes.ids.index(galaxy) for galaxy in part.ids]
        np.testing.assert_array_equal(part.counts, votes.counts[rows])
    recipe = load_recipe(tiny_recipe, BY_COUNTS)
    batches = GalaxyBatches(recipe, data.store, data.training, recipe.augmentation, 8)
    batch, order = batches[(2, 1)], batches.order(2)[8:16]
    np.testing.assert_array_equal(batch.counts, data.training.counts[order])
    assert data.training.select([3]).counts.tolist() == data.training.counts[[3]].tolist()


def test_counts_are_carried_for_the_loss_that_learns_from_them_alone(gather):
    plain = gather().training
    assert plain.counts is None and plain.select([1, 2]).counts is None
    counted = gather("vote_counts.csv", *BY_COUNTS).training
    np.testing.assert_array_equal(plain.fractions, counted.fractions)
    other = replace(counted, counts=counted.counts + 1)
    assert len({plain.digest(), counted.digest(), other.digest()}) == 3


def test_tables_with_counts_and_without_go_together(gather, simulated, tmp_path):
    counted = read_table(simulated / "vote_counts.csv").slice(0, 40)
    columns = [name for name in counted.column_names if name == "objid" or name.endswith("_count")]
    write_table(counted.select(columns), tmp_path / "counted.csv")
    write_table(read_table(simulated / "training_solutions.csv").slice(40), tmp_path / "others.csv")
    votes = read_votes([tmp_path / "counted.csv", tmp_path / "others.csv"])
    data = gather(None, *BY_COUNTS, votes=votes).training
    assert len(data) == 45
    known = np.isfinite(data.counts).all(axis=1)
    assert known.tolist() == [galaxy in votes.ids[:40] for galaxy in data.ids]


def test_fractions_alone_are_refused_and_the_table_named(gather, simulated):
    with pytest.raises(TrainingError, match=r"'train' has them: .*smooth_count and so on .*vote_counts\.csv"):
        gather("training_solutions.csv", *BY_COUNTS)
    votes = read_votes(simulated / "vote_counts.csv")
    watched = read_labels(simulated / "splits.csv")
    counts = votes.counts.copy()
    counts[[watched[galaxy] == "validation" for galaxy in votes.ids]] = np.nan
    with pytest.raises(TrainingError, match="in the split 'validation' has them"):
        gather(None, *BY_COUNTS, votes=replace(votes, counts=counts))


@pytest.mark.parametrize(
    ("head", "loss", "says"),
    [
        ("sigmoid", "cross-entropy", r"no conditional fractions\. Set training\.loss to 'squared', or "
         r"network\.head to 'softmax'"),
        ("rectified", "cross-entropy", r"infinite and, cut off, has no gradient\. .* 'softmax'"),
        ("softmax", "dirichlet-multinomial", r"no concentrations\. Set training\.loss to 'squared' or "
         r"'cross-entropy', or network\.head to 'dirichlet'"),
        ("dirichlet", "squared", r"how wide .* 'dirichlet-multinomial', .* 'softmax' or 'rectified'"),
        ("dirichlet", "cross-entropy", "how wide"),
    ],
)  # fmt: skip
def test_head_and_loss_must_fit(tiny_recipe, head, loss, says):
    with pytest.raises(RecipeError, match=says):
        load_recipe(tiny_recipe, [f"network.head={head}", f"training.loss={loss}"])


def test_a_teacher_of_fractions_cannot_teach_counts(tiny_recipe):
    with pytest.raises(RecipeError, match="leave the teacher out"):
        load_recipe(tiny_recipe, [*BY_COUNTS, "training.teacher=galvote-small"])


@pytest.mark.parametrize(
    ("table", "settings"),
    [
        ("vote_counts.csv", BY_COUNTS),
        ("training_solutions.csv", ["training.loss=cross-entropy"]),
    ],
)
def test_training_goes_from_the_command_line_to_predictions(
    command, simulated, tiny_recipe, packed, tmp_path, one_thread, quick, table, settings
):
    run = tmp_path / "run"
    options = [option for setting in [*settings, "training.epochs=2"] for option in ("--set", setting)]
    ran = command(
        "train", "--recipe", tiny_recipe, "--images", packed, "--votes", simulated / table,
        "--splits", simulated / "splits.csv", "--out", run, *options,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    metrics = read_table(run / "metrics.csv").to_pydict()
    assert metrics["training_loss"][-1] < metrics["training_loss"][0]
    assert all(0 < rmse < 0.5 for rmse in metrics["validation_rmse"])
    predictor = galvote.load(str(run / "best"))
    fractions = predictor.predict_cutouts(PackedStore.open(packed).cutouts, tta=2).fractions
    assert not find_violations(GZ2, fractions.astype(np.float64), 1e-5).galaxies.any()
    network, card = load_model(run / "best")
    assert f"network.head={network.head.kind}" in settings or network.head.kind == "softmax"
    assert f"training.loss={card.recipe['training']['loss']}" in [*settings, "training.loss=squared"]


def test_the_command_line_says_which_table_is_missing(command, simulated, tiny_recipe, packed, tmp_path):
    options = [option for setting in BY_COUNTS for option in ("--set", setting)]
    ran = command(
        "train", "--recipe", tiny_recipe, "--images", packed,
        "--votes", simulated / "training_solutions.csv", "--out", tmp_path / "run", *options,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "_count" in ran.stderr and "vote_counts.csv" in ran.stderr
    assert not (tmp_path / "run").exists()
