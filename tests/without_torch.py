"""What the base install must do without torch: `python tests/without_torch.py FOLDER [MODEL]`.

It is run where torch is not installed (`make base`), and by a test that hides it.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from galvote.cli import main


def run(*words: object, ends_with: int = 0) -> None:
    """Run a verb in this process, and stop unless it ends as expected."""
    sys.argv = ["galvote", *map(str, words)]
    try:
        main()
    except SystemExit as ended:
        assert (ended.code or 0) == ends_with, f"galvote {' '.join(sys.argv[1:])} ended with {ended.code}"


def check(folder: Path, model: str = "galvote-small") -> None:
    """Let every verb of the base install do its work in a folder."""
    images, votes, splits = (
        folder / name for name in ("images_training", "training_solutions.csv", "splits.csv")
    )
    run("simulate", "--count", 60, "--out", folder, "--overwrite")
    names = sorted(path.stem for path in images.iterdir())
    rows = (f"{name},{('train', 'validation')[place % 2]}\n" for place, name in enumerate(names))
    splits.write_text("id,split\n" + "".join(rows))
    known = ("--images", images, "--votes", votes)
    run("predict", images, "--model", model, "--out", folder / "votes.parquet", "--overwrite")
    run("predict", images, "--model", model, "--out", folder / "shards/", "--shard-size", 32, "--overwrite")
    run("pack", images, "--out", folder / "store", "--overwrite")
    run("evaluate", "--model", model, *known, "--report", folder / "report", "--overwrite")
    run("calibrate", "galvote-small", *known, "--splits", splits, "--out", folder / "own", "--overwrite")
    run(
        "predict",
        images / f"{names[0]}.jpg",
        "--model",
        folder / "own",
        "--out",
        folder / "one.csv",
        "--overwrite",
    )
    run("models")
    run("tree", "gz2")
    run("recipes")
    run("train", "--recipe", "residual", *known, "--out", folder / "run", ends_with=2)
    run("export", "--out", folder / "small.onnx", ends_with=2)
    if find_spec("sklearn") is not None:
        labels = folder / "labels.csv"
        classes = (f"{name},{('disc', 'round')[place % 2]}\n" for place, name in enumerate(names[:30]))
        labels.write_text("id,look\n" + "".join(classes))
        learned = ("finetune", "galvote-small", "--images", images, "--labels", labels, "--tta", 1)
        run(*learned, "--out", folder / "look", "--overwrite", "--budget", 5)
        run(*learned, "--out", folder / "whole", "--mode", "full", ends_with=2)
    if find_spec("fastapi") is not None:
        from galvote.serve import ServeSettings, create_app

        create_app([__import__("galvote").load("galvote-small")], ServeSettings())
    loaded = {name.partition(".")[0] for name in sys.modules} & {"torch", "lightning", "onnxscript"}
    assert not loaded, f"{loaded} were imported"


if __name__ == "__main__":
    assert find_spec("torch") is None, "torch is installed here"
    check(*map(Path, sys.argv[1:2]), *sys.argv[2:])
    if len(sys.argv) == 2:  # it takes the longest
        run("demo", "--out", Path(sys.argv[1]) / "demo", "--overwrite")
    size = subprocess.run(["du", "-sm", sys.prefix], capture_output=True, text=True, check=True).stdout
    sys.stdout.write(f"The base install works without torch; the environment takes {size.split()[0]} MB.\n")
