"""The image of a field with its galaxies outlined and named."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from galvote.report.canvas import DPI, INK, MUTED, NIGHT, new_canvas, text_width, to_pixels

_SIDE = 2000  # pixels, of a drawn field
_FOOT = 56  # pixels, height of the line with title and legend
_LABELLED = 400  # more labels than this cover the sky
_SIZE = 7.6  # of labels, points
_HEIGHT = 1.2 * _SIZE * DPI / 72
_TURNS = np.deg2rad([0, 180, 90, 270, 22, -22, 45, -45, 135, -135, 158, -158, 68, -68, 112, -112])
"""Where a label may stand around an outline, best first."""


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
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a field with its galaxies outlined, and under it a line with title and legend.

    The most important marks come first: where labels would meet, later ones shrink to their number or are
    left out. The longer side has 2000 pixels; a small field is enlarged at most three times. Its first
    row and column are those of the drawing.
    """
    scale = min(3.0, _SIDE / max(rgb.shape[:2]))
    across, down = (max(round(side * scale), 1) for side in (rgb.shape[1], rgb.shape[0]))
    resized = cv2.resize(rgb, (across, down), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    axes = new_canvas(max(across, 480), down + _FOOT)
    axes.imshow(resized, extent=(0, across, down, 0), aspect="auto")
    drawn = [
        replace(mark, x=(mark.x + 0.5) * scale, y=(mark.y + 0.5) * scale, radius=mark.radius * scale)
        for mark in marks
    ]
    radii = np.array([mark.radius for mark in drawn])
    outlines = EllipseCollection(
        2 * radii,
        2 * radii * [mark.axis_ratio for mark in drawn],
        [mark.angle for mark in drawn],
        units="xy",
        offsets=np.array([(mark.x, mark.y) for mark in drawn]).reshape(-1, 2),
        offset_transform=axes.transData,
        facecolors="none",
        edgecolors=[mark.colour for mark in drawn],
        linewidths=0.9,
        linestyles=["--" if mark.dashed else "-" for mark in drawn],
        alpha=0.9,
    )
    axes.add_collection(outlines, autolim=False)
    _place_labels(axes, drawn[:_LABELLED], (across, down))
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


def _place_labels(axes: Axes, marks: Sequence[Mark], size: tuple[int, int]) -> None:
    """Write each label at the side of its outline where it covers least, within so many pixels.

    Later ones are left out where there is no room. The package adjustText was tried on the Hubble Deep Field:
    it takes longer, leaves labels on galaxies, and cannot leave out a mark.
    """
    taken = np.empty((0, 4))  # left, top, right, bottom
    inner = np.array([(mark.x, mark.y, 0.7 * mark.radius) for mark in marks]).reshape(-1, 3)
    galaxies = np.hstack([inner[:, :2] - inner[:, 2:], inner[:, :2] + inner[:, 2:]])
    outline = withStroke(linewidth=2.2, foreground=NIGHT)
    for mark in marks:
        for words in (f"{mark.number} {mark.label}".strip(), f"{mark.number}"):
            extent = np.array([text_width(words, _SIZE), _HEIGHT])
            corners = _corners(mark, extent)
            boxes = np.hstack([corners, corners + extent])
            # A label on a label cannot be read, a label on a galaxy hides it, the image's edge cuts it off.
            cost = 8 * _overlap(boxes, taken) + _overlap(boxes, galaxies) + 0.5 * np.arange(len(boxes))
            cost[(boxes < 0).any(axis=1) | (boxes[:, 2:] > size).any(axis=1)] = np.inf
            best = int(cost.argmin())
            if cost[best] < 0.25 * extent.prod():
                x, y = corners[best] + [0, _HEIGHT / 2]
                text = axes.text(x, y, words, color=mark.colour, fontsize=_SIZE, va="center_baseline")
                text.set_path_effects([outline])
                taken = np.vstack([taken, boxes[best] + [-2, -1, 2, 1]])
                break


def _corners(mark: Mark, extent: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "place 2"]:
    """Return where the upper left corner of words of some extent may be."""
    direction = np.column_stack([np.cos(_TURNS), np.sin(_TURNS)])
    # How far an ellipse reaches in a direction that has some angle to its major axis
    from_axis = _TURNS - np.deg2rad(mark.angle)
    reach = mark.radius * np.hypot(np.cos(from_axis), mark.axis_ratio * np.sin(from_axis))
    middle = [mark.x, mark.y] + direction * (reach + 4 + np.abs(direction) @ extent / 2)[:, None]
    return np.asarray(middle - extent / 2)


def _overlap(
    boxes: Float[np.ndarray, "place 4"], others: Float[np.ndarray, "other 4"]
) -> Float[np.ndarray, " place"]:
    """Return how many square pixels of each box the others cover, all together."""
    last = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    first = np.maximum(boxes[:, None, :2], others[None, :, :2])
    return np.asarray((last - first).clip(0).prod(axis=2).sum(axis=1))
