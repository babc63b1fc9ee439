"""Score against the number of a user's own labels, by what the galaxies are described with.

    python -m benchmarks.accuracy.labels --data DATA --runs runs/labels --rings RINGS --gz1 GZ1

A head, as `galvote finetune --mode head` fits it, learns from 25 to 1,000 labels the features of galvote's
encoders, of galvote-base's encoder with ImageNet's weights and with random ones, or 12 classical measures of
the same cutouts. RINGS and GZ1 are folders with images and a ``labels.csv``; each of their galaxies is
predicted by a head that learned from others (five parts). Of the challenge's galaxies, the labels are what
most volunteers said who were asked, where most were asked: heads learn from training galaxies, and are scored
on the validation split, of which no encoder has learned. Draws keep the classes' shares.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split

import galvote
from benchmarks import common
from galvote.finetuning.crossfit import FOLDS
from galvote.finetuning.features import look, spread_views
from galvote.finetuning.head import Known, Scaling, fit_head
from galvote.images import try_read
from galvote.images.scale import Shown
from galvote.inference import Settings
from galvote.io import Sources, list_sources
from galvote.labels import read_labels, read_votes
from galvote.models import CARD, GalaxyNetwork, load_model, save_model
from galvote.report.figures import new_figure, save_figure, style_axes
from galvote.simulate import simulate_galaxies
from galvote.training.pretrained import load_pretrained
from galvote.trees import asked_share, class_tree, to_conditional

SIZES = (25, 50, 100, 250, 500, 1000)
DRAWS, MOST = 5, 1200
CLASSICAL = "12 classical measures"
COLOURS = {"galvote-base": "#0b5394", "galvote-small": "#2a9d8f", "ImageNet": "#d9822b"}
COLOURS |= {"random weights": "#6b7280", CLASSICAL: "#b23a6e"}
QUESTIONS = {"bar": "Class3.1", "edge-on": "Class2.1", "merger": "Class8.6"}

Scores = dict[int, list[float]]


@dataclass(frozen=True)
class Task:
    """Galaxies with a class each; none held out means that each is in turn."""

    sources: Sources
    classes: Mapping[str, str]
    scale: Literal["gz2", "auto"]
    held_out: frozenset[str] = field(default=frozenset())


def main() -> None:
    options = common.parser(__doc__, "--data", "--runs")
    options.add_argument("--rings", type=Path, required=True)
    options.add_argument("--gz1", type=Path, required=True)
    options.add_argument("--views", type=int, default=4, help="orientations that are learned from")
    options.add_argument("--figure", type=Path, default=common.PICTURES / "labels.png")
    chosen = options.parse_args()
    chosen.runs.mkdir(parents=True, exist_ok=True)
    tasks = {"DECaLS rings": of_folder(chosen.rings), "Galaxy Zoo 1": of_folder(chosen.gz1)}
    tasks |= of_challenge(chosen.data)
    describe = dict(encoders(chosen.runs, chosen.views)) | {CLASSICAL: measure_all}
    common.print_heading(f"{DRAWS} draws", f"{chosen.views} views")
    table = common.Table("labels | galaxies | begun with | " + " | ".join(map(str, SIZES)) + " | all")
    found = dict[str, dict[str, Scores]]()
    for name, task in tasks.items():
        found[name], said = {}, f"{len(task.classes)}, {len(task.held_out) or 'each'} held out"
        for kind, make in describe.items():
            place = chosen.runs / f"{name}-{kind}-{chosen.views}.npz".replace(" ", "-")
            if not place.exists():
                ids, features = make(task)
                np.savez(place, ids=ids, features=features)
            found[name][kind] = scores = score(task, **np.load(place))
            cells = [common.spread(scores[size], 3) if size in scores else "" for size in SIZES]
            table.row(name, said, kind, *cells, f"{max(scores)}: {common.spread(scores[max(scores)], 3)}")
    draw(found, chosen.figure)


def of_folder(folder: Path) -> Task:
    """Return a folder's galaxies; those that turn one way and the other are spirals."""
    classes = {
        id_: name.removesuffix("-anticlockwise").removesuffix("-clockwise")
        for id_, name in read_labels(folder / "labels.csv").items()
        if name != "do-not-know"
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


def encoders(folder: Path, views: int) -> Iterator[tuple[str, Callable[[Task], tuple[object, np.ndarray]]]]:
    """Yield what describes a task's galaxies with ids and features, (view, galaxy, feature)."""

    def of(model: str | Path) -> Callable[[Task], tuple[object, np.ndarray]]:
        def describe(task: Task) -> tuple[object, np.ndarray]:
            found = look(galvote.load(model), task.sources, spread_views(views), Settings(scale=task.scale))
            return found.ids, found.features

        return describe

    for name in ("galvote-base", "galvote-small"):
        yield name, of(name)
    for name, source in (("ImageNet", "imagenet"), ("random weights", "random")):
        if not (folder / source / CARD).exists():
            begin(source, folder)
        yield name, of(folder / source)


def begin(source: str, folder: Path) -> None:
    """Save galvote-base's network with weights that have not seen galaxies."""
    trained, card = load_model("galvote-base")
    torch.manual_seed(0)
    network = GalaxyNetwork(card.network, trained.head.tree)
    load_pretrained(network, source)
    if source == "random":  # normalisation needs statistics of some pictures, or features vanish
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None
        with torch.no_grad():
            images = [galaxy.image for galaxy in simulate_galaxies(64, seed=0)]
            network.train()(torch.from_numpy(np.stack(images)))
    galvote.export(save_model(network, card, folder / source))


def score(task: Task, ids: np.ndarray, features: np.ndarray) -> Scores:
    """Return ROC AUC, the mean over classes, of each draw by the number of labels."""
    names, own = np.unique([task.classes[id_] for id_ in ids], return_inverse=True)
    given, out = np.eye(len(names))[own], np.isin(ids, list(task.held_out))
    tree = class_tree("own", names.tolist())
    scaled = Scaling.fit(features.reshape(-1, features.shape[2])).apply(features)
    known, found = Known.of(tree, scaled, given, None), Scores()

    def parts(draw: int) -> list[tuple[np.ndarray, np.ndarray]]:
        if out.any():
            return [(np.flatnonzero(~out), np.flatnonzero(out))]
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=draw).split(own, own))

    most = min(len(others) for others, _ in parts(0))
    for size in [*(size for size in SIZES if size < most), most]:
        strengths = None
        for number in range(DRAWS):
            said = np.zeros_like(given)
            for others, left_out in parts(number):
                if size < len(others):
                    kept = {"train_size": size, "stratify": own[others], "random_state": number}
                    others, _ = train_test_split(others, **kept)
                head = fit_head(known.select(others), strengths)
                strengths = head.strengths  # chosen once for each size: the search is most of the time
                said[left_out] = softmax(head.logits(known.features[0, left_out]), axis=1)
            rows = out if out.any() else slice(None)
            found.setdefault(size, []).append(float(roc_auc_score(given[rows], said[rows])))
    return found


def measure_all(task: Task) -> tuple[list[str], np.ndarray]:
    """Measure the cutouts that galvote-base is shown; one view."""
    predictor = galvote.load("galvote-base")
    shown = {one.id: predictor.show(one, try_read(one.read), task.scale) for one in task.sources}
    rows = {id_: measure(one.cutout) for id_, one in shown.items() if isinstance(one, Shown)}
    return list(rows), np.float32([list(rows.values())])


def measure(cutout: np.ndarray) -> list[float]:
    """Measure the segment in the middle: Conselice 2003, ApJS 147, 1; Lotz et al. 2004, AJ 128, 163."""
    side = len(cutout)
    border = np.concatenate([cutout[:8], cutout[-8:]]).reshape(-1, 3).astype(float)
    planes = cutout - np.median(border, axis=0)
    light = planes.mean(axis=2)
    smooth = cv2.GaussianBlur(light, (0, 0), side / 80)
    _, parts = cv2.connectedComponents((smooth > max(2 * border.mean(axis=1).std(), 2)).astype(np.uint8))
    own = parts == parts[side // 2, side // 2]
    flux = np.where(own, np.maximum(light, 0), 0) + 1e-6
    y, x = np.mgrid[:side, :side]
    centre = [(flux * one).sum() / flux.sum() for one in (x, y)]
    radius = np.hypot(x - centre[0], y - centre[1])
    growth = flux.ravel()[np.argsort(radius, axis=None)].cumsum()
    r20, r50, r80, r90 = (
        np.sort(radius, axis=None)[np.searchsorted(growth / growth[-1], (0.2, 0.5, 0.8, 0.9))] + 0.5
    )
    minor, major = np.linalg.eigvalsh(np.cov(np.stack([x.ravel(), y.ravel()]), aweights=flux.ravel()))
    turned = cv2.warpAffine(light, cv2.getRotationMatrix2D(centre, 180, 1), (side, side))
    blurred = cv2.GaussianBlur(light, (0, 0), max(r50 / 4, 1))
    near = own & (radius < 1.5 * r90)
    apart = [np.abs(light - other)[near].sum() / np.abs(light)[near].sum() for other in (turned, blurred)]
    ranked = np.sort(flux[own])
    count = len(ranked)
    gini = ((2 * np.arange(1, count + 1) - count - 1) * ranked).sum() / (
        ranked.mean() * count * max(count - 1, 1)
    )
    brightest = np.argsort(-flux, axis=None)
    moments = (flux * radius**2).ravel()[brightest]
    m20 = np.log10(moments[flux.ravel()[brightest].cumsum() < 0.2 * flux.sum()].sum() / moments.sum() + 1e-4)
    red, green, blue = (np.log(np.maximum(plane[own].mean(), 1)) for plane in np.moveaxis(planes, 2, 0))
    inner = np.log(np.maximum(planes[radius < r50].mean(axis=0), 1))
    gradient = inner[0] - inner[2] - red + blue
    shape = (
        5 * np.log10(r80 / r20),
        *apart,
        gini,
        m20,
        1 - np.sqrt(minor / major),
        np.log(r50),
        np.log(r90 / r50),
    )
    return [*shape, np.log(flux[own].mean()), red - green, green - blue, gradient]


def draw(found: Mapping[str, Mapping[str, Scores]], path: Path) -> None:
    """Draw a panel for each kind of labels: medians, and the lowest and highest of the draws."""
    figure = new_figure(12, 7)
    panels = figure.subplots(2, 3).ravel()
    for axes, (name, kinds) in zip(panels, found.items(), strict=False):
        style_axes(axes, name, "labels", "ROC AUC")
        for kind, scores in kinds.items():
            low, middle, high = np.percentile(list(scores.values()), [0, 50, 100], axis=1)
            axes.plot(list(scores), middle, "o-", color=COLOURS[kind], markersize=4, label=kind)
            axes.fill_between(list(scores), low, high, color=COLOURS[kind], alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        axes.minorticks_off()
    panels[-1].set_axis_off()
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
