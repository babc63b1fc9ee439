"""Predicting needs no torch, where it is not installed."""

import subprocess
import sys
from pathlib import Path

HIDDEN = """
import sys, importlib.util, runpy
from importlib.abc import MetaPathFinder

class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "onnxscript"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name in ("torch", "lightning", "onnxscript") else find_spec(name, package)
)
sys.meta_path.insert(0, Hide())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_every_verb_of_the_base_install(exported, tmp_path):
    script = Path(__file__).with_name("without_torch.py")
    ran = subprocess.run(
        [sys.executable, "-c", HIDDEN, script, tmp_path, exported],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "works without torch" in ran.stdout
    assert ran.stderr.count("pip install 'galvote[train]'") == 3
    assert "A head alone is learned: training the whole network needs PyTorch" in ran.stdout
