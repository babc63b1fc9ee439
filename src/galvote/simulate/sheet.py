"""A contact sheet: one simulated galaxy of each kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from galvote.images.geometry import COMPACT, R90_PIXELS, to_cutout
from galvote.io.atomic import atomic_file
from galvote.simulate.crowd import ODD_ANSWERS, TREE
from galvote.simulate.galaxies import SimulatedGalaxy
from galvote.simulate.shapes import GalaxyShape

_CAPTION = 16


class ContactSheet:
    """Keeps, of each kind of galaxy, the one that the crowd sees most clearly.

    Parameters
    ----------
    columns
        Galaxies in a row.
    """

    def __init__(self, columns: int = 7) -> None:
        self.columns = columns
        self._clearest: dict[str, tuple[float, SimulatedGalaxy]] = {}

    def add(self, galaxy: SimulatedGalaxy) -> None:
        """Consider a galaxy for the sheet."""
        kind, clarity = galaxy.shape.describe(), _clarity(galaxy)
        if kind not in self._clearest or clarity > self._clearest[kind][0]:
            self._clearest[kind] = clarity, galaxy

    def save(self, path: Path) -> None:
        """Write the sheet, sorted by kind, each galaxy 128 pixels wide above its caption."""
        width, height = 128 + 2, 128 + _CAPTION
        rows = -(-len(self._clearest) // self.columns)
        sheet = Image.new("RGB", (self.columns * width, rows * height))
        write, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
        for place, kind in enumerate(sorted(self._clearest)):
            row, column = divmod(place, self.columns)
            cutout = to_cutout(self._clearest[kind][1].image, COMPACT)
            sheet.paste(Image.fromarray(cutout), (column * width, row * height))
            write.text((column * width + 3, row * height + 128), kind, fill="white", font=font)
        # 256 colours are enough for so much black and make the file three times as small.
        few = sheet.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        with atomic_file(path) as partial:
            few.save(partial, format="PNG", optimize=True)


def _clarity(galaxy: SimulatedGalaxy) -> float:
    """Return the probability of the answers that tell the galaxy's kind; less if blurred or inclined."""
    shape, probable = galaxy.shape, dict(zip(TREE.columns, galaxy.probabilities, strict=True))
    sharpness = 1 / (1 + shape.blur / (R90_PIXELS * shape.axis_ratio))
    return sharpness * math.prod(float(probable[column]) for column in _telling_answers(shape))


def _telling_answers(shape: GalaxyShape) -> Iterator[str]:
    yield {"elliptical": "Class1.1", "disc": "Class1.2", "star": "Class1.3"}[shape.kind]
    if shape.oddity != "nothing":
        yield from ("Class6.1", ODD_ANSWERS[shape.oddity])
    elif shape.is_edge_on:
        yield from (
            "Class2.1",
            {"round": "Class9.1", "boxy": "Class9.2", "no": "Class9.3"}[shape.bulge_shape],
        )
    elif shape.kind == "disc":
        yield from ("Class2.2", "Class3.1" if shape.is_barred else "Class3.2")
        if shape.arms:
            yield from ("Class4.1", f"Class11.{min(shape.arms, 5)}")
