"""A contact sheet: one simulated galaxy of each kind."""

import math
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from galvote.images.geometry import COMPACT, R90_PIXELS, to_cutout
from galvote.io.atomic import atomic_file
from galvote.simulate.galaxies import SimulatedGalaxy
from galvote.simulate.shapes import GalaxyShape
from galvote.simulate.volunteers import ODD_ANSWERS, TREE

_CAPTION, _COLUMNS = 16, 7


class ContactSheet:
    """Keeps, of each kind of galaxy, the one that volunteers see most clearly."""

    def __init__(self) -> None:
        self._clearest: dict[str, tuple[float, SimulatedGalaxy]] = {}

    def add(self, galaxy: SimulatedGalaxy) -> None:
        """Consider a galaxy for the sheet.

        Parameters
        ----------
        galaxy
            Kept if none of its kind was clearer so far.
        """
        kind, clarity = galaxy.shape.describe(), _clarity(galaxy)
        if kind not in self._clearest or clarity > self._clearest[kind][0]:
            self._clearest[kind] = clarity, galaxy

    def save(self, path: Path) -> None:
        """Write the sheet, sorted by kind, each galaxy 128 pixels wide above its caption.

        Parameters
        ----------
        path
            A PNG file, replaced if it is there.
        """
        width, height = 128 + 2, 128 + _CAPTION
        rows = -(-len(self._clearest) // _COLUMNS)
        sheet = Image.new("RGB", (_COLUMNS * width, rows * height))
        write, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
        for place, kind in enumerate(sorted(self._clearest)):
            row, column = divmod(place, _COLUMNS)
            cutout = to_cutout(self._clearest[kind][1].image, COMPACT, COMPACT.field_of_view)
            sheet.paste(Image.fromarray(cutout), (column * width, row * height))
            write.text((column * width + 3, row * height + 128), kind, fill="white", font=font)
        # 256 colours are enough for so much black and make the file three times as small.
        few = sheet.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        with atomic_file(path) as partial:
            few.save(partial, format="PNG", optimize=True)


def _clarity(galaxy: SimulatedGalaxy) -> float:
    """Return the probability of the answers that tell the galaxy's kind; less if blurred or inclined."""
    shape, probable = galaxy.shape, dict(zip(TREE.labels, galaxy.probabilities, strict=True))
    sharpness = 1 / (1 + shape.blur / (R90_PIXELS * shape.axis_ratio))
    return sharpness * math.prod(float(probable[label]) for label in _telling_answers(shape))


def _telling_answers(shape: GalaxyShape) -> Iterator[str]:
    yield {"elliptical": "smooth", "disc": "featured", "star": "star_or_artifact"}[shape.kind]
    if shape.oddity != "nothing":
        yield from ("odd", ODD_ANSWERS[shape.oddity])
    elif shape.is_edge_on:
        bulge = "rounded" if shape.bulge_shape == "round" else shape.bulge_shape
        yield from ("edge_on", f"edge_on_{bulge}_bulge")
    elif shape.kind == "disc":
        yield from ("not_edge_on", "bar" if shape.is_barred else "no_bar")
        if shape.arms:
            yield from ("spiral", f"arms_{shape.arms if shape.arms < 5 else 'more_than_4'}")
