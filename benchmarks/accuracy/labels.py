"""Score against the number of a user's own labels, by what begins to learn them, a head or all of a network.

    python -m benchmarks.accuracy.labels --data DATA --runs runs/own --rings RINGS --gz1 GZ1
    python -m benchmarks.accuracy.labels ... --only "bar, (galvote|ImageNet).*, full, 100, 0"

A head, as `galvote finetune` fits it, learns features of the encoders of `--models`, of galvote-base's with
weights of ImageNet or at random, or classical measures; or the network is trained from there, as by `--mode
full`. RINGS and GZ1 are folders with images and ``labels.csv``; each galaxy is predicted by what learned from
others (five parts). Of the challenge's, labels are what most volunteers said where most were asked: training
galaxies are learned from, and the validation split, which no encoder has learned, is scored. Draws keep the
classes' shares. Each score goes to ``scores.csv`` in the folder of runs at once, and is not measured again.
"""

import csv
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch.optim.swa_utils import update_bn

import galvote
from benchmarks import common
from galvote.finetuning.features import cut_out, look, spread_views
from galvote.finetuning.head import FOLDS, Head, Known, Scaling, fit_head
from galvote.finetuning.own_answers import answer_directions
from galvote.images import PackedStore, try_read
from galvote.images.scale import Shown
from galvote.inference import Settings
from galvote.io import Sources, list_sources
from galvote.labels import Votes, read_labels, read_votes
from galvote.models import CARD, GalaxyNetwork, find_model, load_model, save_model
from galvote.report.figures import new_figure, save_figure, style_axes
from galvote.simulate import simulate_galaxies
from galvote.training.finetune import draw_early_stop, finetune_network
from galvote.training.pretrained import load_pretrained
from galvote.trees import asked_share, class_tree, to_conditional

SIZES = (25, 50, 100, 250, 500, 1000)
DRAWS, MOST = 5, 1200
QUESTIONS = {"bar": "Class3.1", "edge-on": "Class2.1", "merger": "Class8.6"}
OTHERS = ("ImageNet", "random weights", "12 classical measures")
COLUMNS = ["labels", "begun with", "mode", "size", "draw", "roc_auc", "processor_seconds"]

Scores = dict[tuple[str, ...], tuple[float, float]]  # ROC AUC and processor seconds of each cell


class Task(NamedTuple):
    """Galaxies with a class each; none held out means that each is in turn."""

    sources: Sources
    classes: Mapping[str, str]
    scale: Literal["gz2", "auto"]
    held_out: frozenset[str] = frozenset()


def main() -> None:
    options = common.parser(__doc__, "--data", "--runs", "--models", "--rings", "--gz1", "--figure")
    options.add_argument("--only", nargs="+", default=[", head,"], help=f"patterns of {COLUMNS[:5]}")
    chosen = options.parse_args()
    common.print_heading(f"{DRAWS} draws")
    tasks = find_tasks(chosen.data, chosen.rings, chosen.gz1)
    kinds = [*chosen.models, *OTHERS]
    learners = [Learner(*task, kind, chosen.runs) for task in tasks for kind in kinds]
    with (chosen.runs / "scores.csv").open("a+", newline="") as file:
        file.seek(0)
        rows, writer = list(csv.reader(file)), csv.writer(file, lineterminator="\n")
        if not rows:
            writer.writerow(COLUMNS)
        scores: Scores = {tuple(row[:5]): (float(row[5]), float(row[6])) for row in rows[1:]}
        for pattern, learner in product(chosen.only, learners):
            for cell in learner.cells():
                if cell not in scores and re.search(pattern, ", ".join(cell)):
                    began = time.process_time()
                    scores[cell] = learner.score(*cell[2:]), time.process_time() - began
                    writer.writerow([*cell, *(f"{number:.4f}" for number in scores[cell])])
                    file.flush()
    print_tables(learners, scores)
    if chosen.figure:
        draw(learners, scores, chosen.figure)


def find_tasks(data: Path, rings: Path, gz1: Path) -> list[tuple[str, Task]]:
    """Return all tasks by name."""
    return [("DECaLS rings", of_folder(rings)), ("Galaxy Zoo 1", of_folder(gz1)), *of_challenge(data)]


def of_folder(folder: Path) -> Task:
    """Return a folder's galaxies; those that turn one way and the other are spirals."""
    labels = read_labels(folder / "labels.csv").items()
    classes = {
        id_: one.partition("-anti")[0].partition("-clock")[0] for id_, one in labels if one[:2] != "do"
    }
    return Task(list_sources([*folder.glob("images*")]).select(classes), classes, "auto")


def of_challenge(data: Path) -> Iterator[tuple[str, Task]]:
    """Yield what most volunteers say of galaxies that were not selected."""
    votes = read_votes([data / "training_solutions.csv", data / "partial_solutions.csv"])
    tree, ids = votes.tree, np.array(votes.ids)
    shares, asked = to_conditional(tree, votes.fractions), asked_share(tree, votes.fractions)
    sample, split = (read_labels(data / "splits.csv", column) for column in ("sample", "split"))
    unselected = np.array([sample[id_] == "complete" for id_ in votes.ids])
    learned = np.array([split[id_] == "train" for id_ in votes.ids])
    sources = list_sources([data / "compact"])
    for name, column in QUESTIONS.items():
        answer = tree.columns.index(column)
        place = [answer in range(len(tree))[own] for own in tree.slices.values()].index(True)
        known = unselected & (asked[:, place] > 0.5) & np.isfinite(shares[:, answer])
        some = np.random.default_rng(0).permutation(np.flatnonzero(known & learned))[:MOST]
        held_out = np.flatnonzero(known & ~learned)
        classes = {ids[row]: name if shares[row, answer] > 0.5 else "none" for row in (*some, *held_out)}
        yield name, Task(sources.select(classes), classes, "gz2", frozenset(ids[held_out]))


def network(kind: str, folder: Path) -> str | Path:
    """Return a shipped model's name, or the folder of galvote-base's network with other weights."""
    source = {"ImageNet": "imagenet", "random weights": "random"}.get(kind)
    if source is None:
        return kind
    if not (folder / source / CARD).exists():
        trained, card = load_model("galvote-base")
        torch.manual_seed(0)
        made = GalaxyNetwork(card.network, trained.head.tree)
        load_pretrained(made, source)
        if source == "random":  # without statistics of some pictures, features vanish
            images = np.stack([galaxy.image for galaxy in simulate_galaxies(64, seed=0)])
            update_bn([torch.from_numpy(images)], made)
        galvote.export(save_model(made, card, folder / source))
    return folder / source


class Learner:
    """Learns a task from some of its labels, beginning with galaxies as they are described in one way."""

    def __init__(self, name: str, task: Task, kind: str, runs: Path, views: int = 1) -> None:
        self.name, self.task, self.kind, self.runs = name, task, kind, runs
        place = runs / re.sub("[ /]", "-", f"{name}-{kind}-{views}.npz")
        if not place.exists():
            runs.mkdir(parents=True, exist_ok=True)
            ids, features = self.described(views)
            np.savez(place, ids=np.array(ids), features=features)
        with np.load(place) as known:
            self.ids, features = known["ids"].tolist(), known["features"]
        names, self.own = np.unique([task.classes[id_] for id_ in self.ids], return_inverse=True)
        self.tree, self.given = class_tree("own", names.tolist()), np.eye(len(names))[self.own]
        self.out = np.isin(self.ids, list(task.held_out))
        every = features.reshape(-1, features.shape[2])
        answers = answer_directions(find_model(kind), every) if kind not in OTHERS else None
        self.scaling = Scaling.fit(every, answers)
        scaled = self.scaling.apply(features)
        self.known = Known.of(self.tree, scaled, self.given, None, self.scaling.answers)
        self.strengths = dict[str, tuple[float, ...]]()

    def described(self, views: int) -> tuple[Sequence[str], np.ndarray]:
        """Return ids and what the galaxies are described with, (view, galaxy, feature)."""
        if self.kind == OTHERS[-1]:
            return measure_all(self.task)
        predictor = galvote.load(network(self.kind, self.runs))
        found = look(predictor, self.task.sources, spread_views(views), Settings(scale=self.task.scale))
        return found.ids, found.features

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the first five `COLUMNS` of what can be scored; of all labels there is one draw."""
        most = min(len(rows) for rows, _ in self.parts(MOST, 0))
        for mode in ("head", "full")[: 1 + (self.kind != OTHERS[-1])]:
            for size in [*(size for size in SIZES if size < most), most]:
                for draw in range(1 if size == most and self.out.any() else DRAWS):
                    yield self.name, self.kind, mode, str(size), str(draw)

    def scored(self, scores: Scores, mode: str) -> dict[int, dict[str, tuple[float, float]]]:
        """Return what is scored of a mode, by size and draw."""
        found = defaultdict[int, dict[str, tuple[float, float]]](dict)
        for cell in self.cells():
            if cell[2] == mode and cell in scores:
                found[int(cell[3])][cell[4]] = scores[cell]
        return found

    def parts(self, size: int, draw: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows to learn from, and rows that are then predicted."""
        parts = [(np.flatnonzero(~self.out), np.flatnonzero(self.out))]
        if not self.out.any():
            parts = StratifiedKFold(FOLDS, shuffle=True, random_state=draw).split(self.own, self.own)
        for rows, left_out in parts:
            if size < len(rows):
                own = self.own[rows]
                rows = train_test_split(rows, train_size=size, stratify=own, random_state=draw)[0]
            yield rows, left_out

    def score(self, mode: str, size: str, draw: str) -> float:
        """Return ROC AUC, the mean over classes."""
        said = np.full(self.given.shape, np.nan)
        for rows, left_out in self.parts(int(size), int(draw)):
            # Chosen once for each size: the search is most of a head's time.
            head = fit_head(self.known.select(rows), self.strengths.get(size))
            self.strengths[size] = head.strengths
            if mode == "full":
                said[left_out] = self.train(rows, head, left_out)
            else:
                said[left_out] = softmax(head.logits(self.known.features[0, left_out]), axis=1)
        scored = np.isfinite(said[:, 0])
        return float(roc_auc_score(self.given[scored], said[scored]))

    @cached_property
    def store(self) -> PackedStore:
        """What the network is shown."""
        predictor = galvote.load(network(self.kind, self.runs))
        return cut_out(predictor, self.task.sources, self.ids, Settings(scale=self.task.scale))

    def train(self, rows: np.ndarray, head: Head, left_out: np.ndarray) -> np.ndarray:
        """Train all of the network, beginning with a head; return what it then says of other galaxies."""
        votes, begun = Votes(self.tree, self.store.ids, self.given), head.unscaled(self.scaling, np.ones(1))
        learned, early_stop = draw_early_stop(votes, [self.ids[row] for row in rows])
        weights = begun.weight.astype(np.float32), begun.bias.astype(np.float32)
        with TemporaryDirectory(dir=self.runs) as folder:
            model, out = network(self.kind, self.runs), Path(folder) / "run"
            best = finetune_network(model, self.store, votes, learned, early_stop, out, head=weights)
            trained = galvote.load(best, backend="torch")
            return trained.predict_features(np.asarray(self.store.cutouts[left_out]))[0]


def measure_all(task: Task) -> tuple[Sequence[str], np.ndarray]:
    """Measure the cutouts that galvote-base is shown; return ids and measures, (view, galaxy, measure)."""
    predictor = galvote.load("galvote-base")
    shown = {one.id: predictor.preprocessor.show(one, try_read(one.read), task.scale) for one in task.sources}
    rows = {id_: measure(one.cutout) for id_, one in shown.items() if isinstance(one, Shown)}
    return list(rows), np.array([list(rows.values())], np.float32)


def measure(cutout: np.ndarray) -> list[float]:
    """Measure the segment in the middle: Conselice 2003, ApJS 147, 1; Lotz et al. 2004, AJ 128, 163."""
    side, border = len(cutout), np.concatenate([cutout[:8], cutout[-8:]]).reshape(-1, 3).astype(float)
    planes = cutout - np.median(border, axis=0)
    light = planes.mean(axis=2)
    above = cv2.GaussianBlur(light, (0, 0), side / 80) > max(2 * border.mean(axis=1).std(), 2)
    parts = cv2.connectedComponents(above.astype(np.uint8))[1]
    own = parts == parts[side // 2, side // 2]
    flux = np.where(own, np.maximum(light, 0), 0) + 1e-6
    y, x = np.mgrid[:side, :side]
    centre = [(flux * one).sum() / flux.sum() for one in (x, y)]
    radius = np.hypot(x - centre[0], y - centre[1])
    growth = flux.ravel()[np.argsort(radius, axis=None)].cumsum() / flux.sum()
    r20, r50, r80, r90 = 0.5 + np.sort(radius, axis=None)[np.searchsorted(growth, (0.2, 0.5, 0.8, 0.9))]
    minor, major = np.linalg.eigvalsh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=flux.ravel()))
    turned = cv2.warpAffine(light, cv2.getRotationMatrix2D(centre, 180, 1), (side, side))
    blurred = cv2.GaussianBlur(light, (0, 0), max(r50 / 4, 1))
    near = own & (radius < 1.5 * r90)
    apart = [np.abs(light - other)[near].sum() / np.abs(light)[near].sum() for other in (turned, blurred)]
    ranked, count = np.sort(flux[own]), int(own.sum())
    gini = (2 * np.arange(1, count + 1) - count - 1) @ ranked / (ranked.mean() * count * max(count - 1, 1))
    order = np.argsort(-flux, axis=None)
    moments, brightest = (flux * radius**2).ravel()[order], flux.ravel()[order].cumsum() < 0.2 * flux.sum()
    m20 = np.log10(moments[brightest].sum() / moments.sum() + 1e-4)
    red, green, blue = np.log(np.maximum(planes[own].mean(axis=0), 1))
    inner = np.log(np.maximum(planes[radius < r50].mean(axis=0), 1))
    sizes = 5 * np.log10(r80 / r20), np.log(r50), np.log(r90 / r50), 1 - np.sqrt(minor / major)
    colours = red - green, green - blue, inner[0] - inner[2] - red + blue
    return [*sizes, *apart, gini, m20, np.log(flux[own].mean()), *colours]


def print_tables(learners: Sequence[Learner], scores: Scores) -> None:
    """Print medians and ranges over draws: of heads by size, and of whole networks beside heads."""
    table = common.Table("labels | galaxies | begun with | " + " | ".join(map(str, SIZES)) + " | all")
    for learner in learners:
        said = {size: say(draws) for size, draws in learner.scored(scores, "head").items()}
        rest = [f"{size}: {text}" for size, text in said.items() if size not in SIZES]
        galaxies = f"{len(learner.ids):,}, {learner.out.sum() or 'each'} held out"
        table.row(learner.name, galaxies, learner.kind, *(said.get(size, "") for size in SIZES), *rest)
    columns = "learned | draws | head | whole network | gain | processor seconds"
    table = common.Table(f"labels | begun with | {columns}")
    for learner in learners:
        heads = learner.scored(scores, "head")
        for size, found in learner.scored(scores, "full").items():
            if same := {draw: head for draw, head in heads[size].items() if draw in found}:
                whole = {draw: found[draw] for draw in same}
                gain = np.mean([one[0] for one in whole.values()]) - np.mean(
                    [one[0] for one in same.values()]
                )
                cells = size, len(whole), say(same), say(whole), f"{gain:+.3f}", say(whole, 1, digits=0)
                table.row(learner.name, learner.kind, *cells)


def draw(learners: Sequence[Learner], scores: Scores, path: Path) -> None:
    """Draw a panel for each task: medians, the lowest and the highest draw."""
    figure = new_figure(12, 7)
    *panels, legend = figure.subplots(2, 3).ravel()
    axes_of = dict(zip(dict.fromkeys(one.name for one in learners), panels, strict=True))
    colours = dict(zip(dict.fromkeys(one.kind for one in learners), common.COLOURS, strict=False))
    for learner, mode in product(learners, ("head", "full")):
        axes, colour = axes_of[learner.name], colours[learner.kind]
        style_axes(axes, learner.name, "labels", "ROC AUC")
        found = learner.scored(scores, mode)
        spans = {
            size: np.percentile([one[0] for one in found[size].values()], [0, 50, 100]) for size in found
        }
        if spans:
            low, middle, high = np.transpose(list(spans.values()))
            label, style = (
                (learner.kind, "o-") if mode == "head" else (f"{learner.kind}, whole network", "s--")
            )
            axes.plot(list(spans), middle, style, color=colour, markersize=4, label=label)
            axes.fill_between(list(spans), low, high, color=colour, alpha=0.15, linewidth=0)
        common.mark_sizes(axes, SIZES)
    legend.set_axis_off()
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    save_figure(figure, path)


def say(draws: Mapping[str, tuple[float, float]], what: int = 0, digits: int = 3) -> str:
    """Return median and range of scores, or of seconds (1); of one draw, its number."""
    values = [one[what] for one in draws.values()]
    return common.spread(values, digits) if len(values) > 1 else f"{values[0]:.{digits}f}"


if __name__ == "__main__":
    main()
