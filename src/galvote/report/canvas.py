"""Dark images with drawings on them: matplotlib axes in pixels, y pointing down."""

import io

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from galvote.report.style import palette

NIGHT, INK, MUTED, FAINT, WARNING = (
    palette(dark=True)[name] for name in ("paper", "ink", "muted", "track", "low")
)
DPI = 100


def new_canvas(width: int, height: int) -> Axes:
    """Return the axes of an empty dark image of so many pixels."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=NIGHT)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return axes


def to_pixels(axes: Axes) -> UInt8[np.ndarray, "y x 3"]:
    """Return the RGB pixels of what is drawn on a canvas."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file, format="rgba", dpi=DPI)
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    return np.frombuffer(file.getvalue(), np.uint8).reshape(height, width, 4)[:, :, :3]


def text_width(words: str, size: float) -> float:
    """Return the width in pixels of words in one line, of a size in points."""
    width, _, _ = text_to_path.get_text_width_height_descent(words, FontProperties(size=size), ismath=False)
    return width * DPI / 72
