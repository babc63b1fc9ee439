"""Fixtures that every room's tests share."""

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import hypothesis
import jaxtyping._import_hook as hook
import pytest
from filelock import FileLock

hypothesis.settings.register_profile("patient", deadline=None)  # busy machines are no bug
hypothesis.settings.load_profile("patient")

# In the background of a script they ignore Ctrl-C, and so would every command that they stop with it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _get_code(self: Any, name: str) -> Any:
    cache = functools.partial(hook._optimized_cache_from_source, self._typechecker.get_hash())
    with patch("importlib._bootstrap_external.cache_from_source", cache):
        return SourceFileLoader.get_code(self, name)


# jaxtyping looks in a cache of its own for all that a checked module imports: torch would be compiled anew.
hook._JaxtypingLoader.get_code = _get_code
hook._JaxtypingLoader.exec_module = SourceFileLoader.exec_module


@pytest.fixture(scope="session")
def build_once(tmp_path_factory) -> Callable[..., Path]:
    """Have a folder made once for all the processes in which tests run side by side."""
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "shared"
    root.mkdir(exist_ok=True)

    def build_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = root / name, root / f"{name}.made"
        with FileLock(root / f"{name}.lock"):
            if not made.exists():
                make(folder)
                made.touch()
        return folder

    return build_once


@pytest.fixture(scope="session", autouse=True)
def _own_cache(build_once) -> Iterator[None]:
    """Keep what is measured of this machine out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(build_once("cache", Path.mkdir)))
        yield


@pytest.fixture(scope="session")
def real_galaxies() -> Path:
    """Return the folder of real galaxies (with `galaxyzoo/`, `fits/`, `gz2_stripe82/`), or skip."""
    for place in (os.environ.get("GALVOTE_DATA"), Path(__file__).parents[2] / "shared"):
        if place and (Path(place) / "galaxyzoo" / "training_solutions.csv").is_file():
            return Path(place)
    pytest.skip("real galaxies not found: set GALVOTE_DATA to the folder that holds galaxyzoo/")


@pytest.fixture(scope="session")
def simulated(build_once) -> Path:
    """Return a folder of 60 simulated galaxies in the challenge's layout, with classes and splits.

    ``classes.csv`` has a class for every third galaxy; in ``splits.csv`` every fourth is for validation.
    """
    from galvote.simulate import simulate_galaxies, write_galaxies

    def make(folder: Path) -> None:
        galaxies = list(simulate_galaxies(60, seed=1))
        write_galaxies(folder, galaxies)
        classes = (f"{each.id},{('disc', 'round')[i % 2]}\n" for i, each in enumerate(galaxies) if i % 3 == 0)
        (folder / "classes.csv").write_text("id,class\n" + "".join(classes))
        splits = (f"{each.id},{'train' if i % 4 else 'validation'}\n" for i, each in enumerate(galaxies))
        (folder / "splits.csv").write_text("id,split\n" + "".join(splits))

    return build_once("simulated", make)


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory) -> Path:
    """Return a recipe that takes seconds and has all that a run must remember: moments, schedule, average."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(
        """
        [cutout]
        pixels = 64

        [network]
        encoder = "residual"
        widths = [8, 16]
        depths = [1, 1]
        field_of_view = 4.16
        pixels = 32
        dropout = 0.3
        head = "softmax"

        [augmentation]
        rotation = true
        flip = true
        shift = 0.03
        zoom = 1.15
        colour = 0.5

        [training]
        epochs = 10
        batch_size = 8
        learning_rate = 5e-3
        weight_decay = 0.02
        schedule = "cosine"
        warmup = 0.1
        ema_decay = 0.8
        classes_weight = 0.02
        precision = "float32"
        """
    )
    return path


@pytest.fixture(scope="session")
def packed(simulated, build_once) -> Path:
    """Return a packed store of the simulated galaxies, as the tiny recipe wants it."""
    from galvote.images import Geometry, pack
    from galvote.io import list_sources

    images = simulated / "images_training"
    return build_once("packed", lambda folder: pack(list_sources(images), folder, Geometry(pixels=64)))


@pytest.fixture(scope="session")
def training_data(simulated, tiny_recipe, packed):
    """Return the simulated galaxies as the tiny recipe learns from them."""
    from galvote.images import PackedStore
    from galvote.labels import read_labels, read_votes
    from galvote.training import load_recipe
    from galvote.training.examples import gather_examples

    return gather_examples(
        load_recipe(tiny_recipe),
        PackedStore.open(packed),
        read_votes(simulated / "training_solutions.csv"),
        classes=read_labels(simulated / "classes.csv"),
        splits=read_labels(simulated / "splits.csv"),
    )


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Let torch use one thread: sums come out the same only in the same number of parts."""
    import torch

    torch.set_num_threads(1)


@contextmanager
def _quickly() -> Iterator[None]:
    from galvote.calibration import cross_fit

    with (
        patch("galvote.training.run_folder.plot_curves"),
        patch("galvote.inference.calibrate.cross_fit", functools.partial(cross_fit, halves=4)),
    ):
        yield


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Draw no run's curves, and measure calibrations on few halves: both cost more than a tiny run."""
    with _quickly():
        yield


@pytest.fixture(scope="session")
def trained(training_data, tiny_recipe, build_once, one_thread) -> Path:
    """Return the folder of a finished run of the tiny recipe."""
    from galvote.training import fit, load_recipe

    with _quickly():
        return build_once("trained", lambda folder: fit(load_recipe(tiny_recipe), training_data, folder))


@pytest.fixture(scope="session")
def calibrated(trained, packed, simulated, build_once) -> Path:
    """Return the folder of the same model, calibrated on half of the galaxies as if it had not seen them."""
    import numpy as np

    from galvote.images import PackedStore
    from galvote.inference import Predictor
    from galvote.inference.calibrate import measure
    from galvote.labels import read_votes
    from galvote.models import find_model, save_calibrated

    def make(folder: Path) -> None:
        store, votes = PackedStore.open(packed), read_votes(simulated / "training_solutions.csv")
        predicted, features = Predictor.load(trained).predict_features(np.asarray(store.cutouts))
        actual = votes.fractions[[votes.ids.index(galaxy) for galaxy in store.ids]]
        calibration, _ = measure(votes.tree, predicted[::2], actual[::2], features[::2], features[1::2])
        save_calibrated(find_model(trained), calibration, {"galaxies": 30}, folder)

    with _quickly():
        return build_once("calibrated", make)


class TwoQuestions(NamedTuple):
    """A questionnaire of a user's own, and what is known of the simulated galaxies by it."""

    tree: Path
    votes: Path
    images: Path
    splits: Path


@pytest.fixture(scope="session")
def two_questions(simulated, tmp_path_factory) -> TwoQuestions:
    """Return a tree of two questions with names of its own, a table of votes, images and splits."""
    import csv

    from galvote.trees import load_tree

    folder = tmp_path_factory.mktemp("two-questions")
    (folder / "two.toml").write_text(
        """
        name = "two"
        title = "A questionnaire of a user's own"
        kinds = [{ name = "whirl", answer = "whirl", colour = "#4cc9f0" }]

        [columns]
        cumulative = "{question}/{answer}"
        count = "n {answer}"

        [[questions]]
        name = "look"
        text = "What does it look like?"
        answers = [{ name = "plain" }, { name = "busy", text = "busy <or> full", leads_to = "whirl" }]

        [[questions]]
        name = "whirl"
        text = "Does it whirl?"
        answers = [
          { name = "whirls", phrase = "whirling", label = "whirl" },
          { name = "rests", phrase = "at rest", label = "no_whirl" },
        ]
        """
    )
    gz2, lines, splits = load_tree("gz2"), ["id,n plain,n busy,n whirls,n rests"], ["id,split"]
    columns = dict(zip(gz2.labels, gz2.published_columns("count"), strict=True))
    with (simulated / "vote_counts.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            smooth, star, busy, whirls = (
                int(row[columns[label]]) for label in ("smooth", "star_or_artifact", "featured", "spiral")
            )
            splits.append(f"{row['objid']},{('train', 'validation')[len(lines) % 2]}")
            lines.append(f"{row['objid']},{smooth + star},{busy},{whirls},{busy - whirls}")
    for name, rows in (("votes", lines), ("splits", splits)):
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    images = simulated / "images_training"
    return TwoQuestions(folder / "two.toml", folder / "votes.csv", images, folder / "splits.csv")


@pytest.fixture(scope="session")
def own_tree(two_questions) -> Any:
    """Return a tree of two questions with names of its own."""
    from galvote.trees import load_tree

    return load_tree(two_questions.tree)


@pytest.fixture(scope="session")
def own_model(own_tree: Any, calibrated: Path, build_once) -> Path:
    """Return the folder of a calibrated model, without training, for a tree of two questions."""
    import numpy as np
    import torch

    from galvote.inference import Predictor
    from galvote.inference.calibrate import measure
    from galvote.models import GalaxyNetwork, load_card, save_calibrated, save_model

    def make(folder: Path) -> None:
        torch.manual_seed(5)
        card = load_card(calibrated).model_copy(update={"name": "two-questions", "tree": own_tree.to_dict()})
        model = save_model(GalaxyNetwork(card.network, own_tree), card, folder.with_name("two-plain"))
        rng = np.random.default_rng(1)
        cutouts = rng.integers(0, 256, (30, 64, 64, 3), np.uint8)
        fractions, features = Predictor.load(model).predict_features(cutouts)
        calibration, _ = measure(own_tree, fractions[::2], fractions[1::2], features[::2], features[1::2])
        save_calibrated(model, calibration, {"galaxies": 30}, folder)

    with _quickly():
        return build_once("two-questions", make)


@pytest.fixture(scope="session")
def exported(calibrated, build_once) -> Path:
    """Return the same model as an ONNX file, or skip."""
    pytest.importorskip("onnxruntime")
    from galvote.inference.export import export_model
    from galvote.models import load_calibration, load_model

    model = load_model(calibrated), load_calibration(calibrated)
    return (
        build_once("exported", lambda path: export_model(*model[0], model[1], path / "tiny.onnx"))
        / "tiny.onnx"
    )


class Ran(NamedTuple):
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch, capfd) -> Callable[..., Ran]:
    """Run the command line in this process, which saves the time of importing torch each time."""
    from galvote.cli import main

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["galvote", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ran(int(ended.value.code or 0), *capfd.readouterr())

    return run


class Crowd(NamedTuple):
    ids: list[str]
    predicted: Any
    actual: Any


@pytest.fixture(scope="session")
def crowd() -> Crowd:
    import numpy as np

    from galvote.trees import load_tree, to_cumulative

    tree = load_tree("gz2")
    rng = np.random.default_rng(11)

    def fractions():
        questions = [rng.dirichlet(np.ones(len(question.answers)), size=40) for question in tree.questions]
        return to_cumulative(tree, np.concatenate(questions, axis=1))

    actual = fractions()
    # A mixture of two galaxies that obey the tree obeys it as well.
    share = rng.uniform(0, 0.6, size=(40, 1))
    return Crowd([f"galaxy {i:02}" for i in range(40)], share * fractions() + (1 - share) * actual, actual)
