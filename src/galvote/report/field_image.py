"""The image of a field with its galaxies outlined and named."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Rectangle

from galvote.report.canvas import INK, MUTED, NIGHT, new_canvas, text_width, to_pixels
from galvote.report.labels import Label, place_labels

_FOOT = 56  # pixels, height of the line with title and legend
_LABELLED = 400  # more labels than this cover the sky


@dataclass(frozen=True)
class Mark:
    """A galaxy to be outlined."""

    number: int  # stands at its outline
    label: str  # a few words after the number, which give way where there is no room
    x: float  # centre in pixels; 0 is the centre of the first pixel
    y: float  # pointing down
    radius: float  # of the outline along the major axis, in pixels
    axis_ratio: float  # in (0, 1]
    angle: float  # of the major axis, in degrees from x towards y
    colour: str  # of outline and number
    dashed: bool = False


def draw_field(
    rgb: UInt8[np.ndarray, "y x 3"],
    marks: Sequence[Mark],
    *,
    title: str = "",
    legend: Sequence[tuple[str, str]] = (),
    width: int = 2000,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a field with its galaxies outlined, and under it a line with title and legend.

    The most important marks come first: where labels would meet, later ones shrink to their number or are
    left out. The longer side has ``width`` pixels; a small field is enlarged at most three times. Its first
    row and column are those of the drawing.
    """
    scale = min(3.0, width / max(rgb.shape[:2]))
    across, down = (max(round(side * scale), 1) for side in (rgb.shape[1], rgb.shape[0]))
    resized = cv2.resize(rgb, (across, down), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    axes = new_canvas(max(across, 480), down + _FOOT)
    axes.imshow(resized, extent=(0, across, down, 0), aspect="auto")
    labels = [
        Label(
            texts=(f"{mark.number} {mark.label}", f"{mark.number}"),
            colour=mark.colour,
            x=(mark.x + 0.5) * scale,
            y=(mark.y + 0.5) * scale,
            radius=mark.radius * scale,
            axis_ratio=mark.axis_ratio,
            angle=mark.angle,
        )
        for mark in marks
    ]
    radii = np.array([label.radius for label in labels])
    outlines = EllipseCollection(
        2 * radii,
        2 * radii * [label.axis_ratio for label in labels],
        [label.angle for label in labels],
        units="xy",
        offsets=np.array([(label.x, label.y) for label in labels]).reshape(-1, 2),
        offset_transform=axes.transData,
        facecolors="none",
        edgecolors=[label.colour for label in labels],
        linewidths=0.9,
        linestyles=["--" if mark.dashed else "-" for mark in marks],
        alpha=0.9,
    )
    axes.add_collection(outlines, autolim=False)
    place_labels(axes, labels[:_LABELLED], (across, down))
    _write_foot(axes, down, title, legend)
    return to_pixels(axes)


def _write_foot(axes: Axes, top: int, title: str, legend: Sequence[tuple[str, str]]) -> None:
    axes.add_patch(Rectangle((0, top), axes.get_xlim()[1], _FOOT, color=NIGHT))
    middle = top + _FOOT / 2
    axes.text(20, middle, title, color=INK, fontsize=11, va="center", fontweight="bold")
    x = 60 + 1.15 * text_width(title, 11.0)  # bold is wider
    for words, colour in legend:
        axes.plot([x], [middle], "o", color=colour, markersize=6)
        axes.text(x + 12, middle, words, color=MUTED, fontsize=10, va="center")
        x += text_width(words, 10.0) + 36
