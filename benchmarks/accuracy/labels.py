"""Score against the number of a user's own labels, by what begins to learn them, a head or all of a network.

    python -m benchmarks.accuracy.labels --data DATA --runs runs/own --rings RINGS --gz1 GZ1 --views 1
    python -m benchmarks.accuracy.labels ... --only "bar, (galvote|ImageNet).*, full, 100, 0"

A head, as `galvote finetune` fits it, learns features of galvote's encoders, of galvote-base's with weights
of ImageNet or at random, or classical measures; or the network is trained from there, as by `--mode full`.
RINGS and GZ1 are folders with images and ``labels.csv``; each galaxy is predicted by what learned from others
(five parts). Of the challenge's, labels are what most volunteers said where most were asked: training
galaxies are learned from, and the validation split, which no encoder has learned, is scored. Draws keep the
classes' shares. Each score goes to ``scores.csv`` in the folder of runs at once, and is not measured again.
"""

import csv
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from benchmarks.accuracy.cost import COLOURS
from galvote.finetuning.features import cut_out, look, spread_views
from galvote.finetuning.head import FOLDS, Head, Known, Scaling, fit_head
from galvote.images import try_read
from galvote.images.scale import Shown
from galvote.inference import Settings
from galvote.io import Sources, list_sources
from galvote.labels import Votes, read_labels, read_votes
from galvote.models import CARD, GalaxyNetwork, load_model, save_model
from galvote.report.figures import new_figure, save_figure, style_axes
from galvote.simulate import simulate_galaxies
from galvote.training.finetune import draw_early_stop, finetune_network
from galvote.training.pretrained import load_pretrained
from galvote.trees import asked_share, class_tree, to_conditional

SIZES = (25, 50, 100, 250, 500, 1000)
DRAWS, MOST = 5, 1200
QUESTIONS = {"bar": "Class3.1", "edge-on": "Class2.1", "merger": "Class8.6"}
KINDS = ("galvote-base", "galvote-small", "ImageNet", "random weights", "12 classical measures")
COLUMNS = ("labels", "begun with", "mode", "size", "draw", "roc_auc", "processor_seconds")


Described = tuple[Sequence[str], np.ndarray]  # ids and features, (view, galaxy, feature)


class Task(NamedTuple):
    """Galaxies with a class each; none held out means that each is in turn."""

    sources: Sources
    classes: Mapping[str, str]
    scale: Literal["gz2", "auto"]
    held_out: frozenset[str] = frozenset()


def main() -> None:
    options = common.parser(__doc__, "--data", "--runs")
    options.add_argument("--rings", type=Path, required=True)
    options.add_argument("--gz1", type=Path, required=True)
    options.add_argument("--views", type=int, default=4, help="orientations that a head learns from")
    options.add_argument("--only", nargs="+", default=[", head,"], help=f"patterns of {COLUMNS[:5]}, in turn")
    options.add_argument("--figure", type=Path, default=common.PICTURES / "own-labels.png")
    chosen = options.parse_args()
    tasks = {"DECaLS rings": of_folder(chosen.rings), "Galaxy Zoo 1": of_folder(chosen.gz1)}
    tasks |= of_challenge(chosen.data)
    common.print_heading(f"{DRAWS} draws", f"{chosen.views} views")
    place = chosen.runs / "scores.csv"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(",".join(COLUMNS) + "\n")
    done = {tuple(row)[:5] for row in csv.reader(place.open())}
    learners = [
        Learner(name, task, kind, chosen.runs, chosen.views) for name, task in tasks.items() for kind in KINDS
    ]
    for pattern in chosen.only:
        for learner in learners:
            for cell in learner.cells():
                if cell not in done and re.search(pattern, ", ".join(cell)):
                    began = time.process_time()
                    score = learner.score(*cell[2:])
                    seconds = round(time.process_time() - began, 1)
                    done.add(cell)
                    with place.open("a", newline="") as file:
                        csv.writer(file, lineterminator="\n").writerow([*cell, f"{score:.4f}", seconds])
    show(place, chosen.figure)


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

    def __init__(self, name: str, task: Task, kind: str, runs: Path, views: int) -> None:
        self.name, self.task, self.kind, self.runs = name, task, kind, runs
        place = runs / f"{name}-{kind}-{views}.npz".replace(" ", "-")
        if not place.exists():
            ids, features = self.described(views)
            np.savez(place, ids=np.array(ids), features=features)
        with np.load(place) as known:
            self.ids, features = known["ids"].tolist(), known["features"]
        names, self.own = np.unique([task.classes[id_] for id_ in self.ids], return_inverse=True)
        self.tree, self.given = class_tree("own", names.tolist()), np.eye(len(names))[self.own]
        self.out = np.isin(self.ids, list(task.held_out))
        self.scaling = Scaling.fit(features.reshape(-1, features.shape[2]))
        self.known = Known.of(self.tree, self.scaling.apply(features), self.given, None)
        self.strengths = dict[str, tuple[float, ...]]()

    def described(self, views: int) -> Described:
        """Return what the galaxies are described with."""
        if self.kind == KINDS[-1]:
            return measure_all(self.task)
        predictor = galvote.load(network(self.kind, self.runs))
        found = look(predictor, self.task.sources, spread_views(views), Settings(scale=self.task.scale))
        return found.ids, found.features

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield `COLUMNS` of what can be scored; of all that may be learned there is one draw."""
        most = min(len(rows) for rows, _ in self.parts(MOST, 0))
        for mode in ("head", "full")[: 1 + (self.kind != KINDS[-1])]:
            for size in [*(size for size in SIZES if size < most), most]:
                for draw in range(1 if size == most and self.out.any() else DRAWS):
                    yield self.name, self.kind, mode, str(size), str(draw)

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
        said, learn = np.full(self.given.shape, np.nan), self.trainer() if mode == "full" else self.by_head
        for rows, left_out in self.parts(int(size), int(draw)):
            # Chosen once for each size: the search is most of a head's time.
            head = fit_head(self.known.select(rows), self.strengths.get(size))
            self.strengths[size] = head.strengths
            said[left_out] = learn(rows, head, left_out)
        scored = np.isfinite(said[:, 0])
        return float(roc_auc_score(self.given[scored], said[scored]))

    def by_head(self, rows: np.ndarray, head: Head, left_out: np.ndarray) -> np.ndarray:
        """Return what a head says of others than those that it learned."""
        return np.asarray(softmax(head.logits(self.known.features[0, left_out]), axis=1))

    def trainer(self) -> Callable[[np.ndarray, Head, np.ndarray], np.ndarray]:
        """Return what trains a network, beginning with a head, and says what that then says of others."""
        begun, votes = network(self.kind, self.runs), Votes(self.tree, tuple(self.ids), self.given)
        settings = Settings(scale=self.task.scale)
        store = cut_out(galvote.load(begun), self.task.sources, self.ids, settings)

        def train(rows: np.ndarray, head: Head, left_out: np.ndarray) -> np.ndarray:
            own = head.unscaled(self.scaling, np.ones(1))
            with TemporaryDirectory(dir=self.runs) as folder:
                best = finetune_network(
                    begun,
                    store,
                    votes,
                    *draw_early_stop(votes, [self.ids[row] for row in rows]),
                    Path(folder) / "run",
                    head=(own.weight.astype(np.float32), own.bias.astype(np.float32)),
                )
                trained = galvote.load(best, backend="torch")
                return trained.predict_features(np.asarray(store.cutouts[left_out]))[0]

        return train


def measure_all(task: Task) -> Described:
    """Measure the cutouts that galvote-base is shown."""
    predictor = galvote.load("galvote-base")
    shown = {one.id: predictor.show(one, try_read(one.read), task.scale) for one in task.sources}
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


def show(place: Path, path: Path) -> None:
    """Print a table of all scores; draw a panel for each task: medians, the lowest and the highest draw."""
    found = defaultdict[str, dict[str, dict[int, list[float]]]](dict)
    spent = defaultdict[str, list[float]](list)
    for row in csv.DictReader(place.open()):
        kind = row["begun with"] + ", whole network" * (row["mode"] == "full")
        scores = found[row["labels"]].setdefault(kind, {}).setdefault(int(row["size"]), [])
        scores.append(float(row["roc_auc"]))
        spent[row["labels"] + kind + row["size"]].append(float(row["processor_seconds"]))
    table = common.Table("labels | begun with | size | ROC AUC | draws | processor seconds of a draw")
    figure = new_figure(12, 7)
    panels = figure.subplots(2, 3).ravel()
    for axes, (name, kinds) in zip(panels, found.items(), strict=False):
        style_axes(axes, name, "labels", "ROC AUC")
        for kind, sizes in kinds.items():
            begun, *whole = kind.split(", ")
            for size in sorted(sizes):
                seconds = statistics.median(spent[f"{name}{kind}{size}"])
                table.row(name, kind, size, common.spread(sizes[size], 3), len(sizes[size]), f"{seconds:.1f}")
            low, middle, high = np.array(
                [np.percentile(sizes[size], [0, 50, 100]) for size in sorted(sizes)]
            ).T
            colour = COLOURS[KINDS.index(begun)]
            axes.plot(sorted(sizes), middle, "s--" if whole else "o-", color=colour, markersize=4, label=kind)
            axes.fill_between(sorted(sizes), low, high, color=colour, alpha=0.15, linewidth=0)
        common.mark_sizes(axes, SIZES)
    panels[-1].set_axis_off()
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
