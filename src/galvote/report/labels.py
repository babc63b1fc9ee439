"""Labels beside the outlines of galaxies, where they hide least.

The package adjustText was tried on the Hubble Deep Field: it takes longer, leaves labels on galaxies, and
cannot leave out a label that has no room.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from galvote.report.canvas import DPI, NIGHT, text_width

_SIZE = 7.6  # points
_HEIGHT = 1.2 * _SIZE * DPI / 72
_TURNS = np.deg2rad([0, 180, 90, 270, 22, -22, 45, -45, 135, -135, 158, -158, 68, -68, 112, -112])
"""Where a label may stand around an outline, best first."""


@dataclass(frozen=True)
class Label:
    """What an outline may be labelled with.

    Parameters
    ----------
    texts
        The first that has room is written.
    colour
        As matplotlib writes it.
    x, y
        Centre of the outline, in pixels of the canvas.
    radius
        Along the major axis, in pixels.
    axis_ratio
        In (0, 1].
    angle
        Of the major axis, in degrees from x towards y.
    """

    texts: tuple[str, ...]
    colour: str
    x: float
    y: float
    radius: float
    axis_ratio: float
    angle: float


def place_labels(axes: Axes, labels: Sequence[Label], size: tuple[int, int]) -> None:
    """Write each label at the side of its outline where it covers least.

    Parameters
    ----------
    axes
        Of a canvas.
    labels
        The first choose first; later ones are left out where there is no room.
    size
        Width and height within which they stand, in pixels.
    """
    taken = np.empty((0, 4))  # left, top, right, bottom
    inner = np.array([(label.x, label.y, 0.7 * label.radius) for label in labels]).reshape(-1, 3)
    galaxies = np.hstack([inner[:, :2] - inner[:, 2:], inner[:, :2] + inner[:, 2:]])
    outline = withStroke(linewidth=2.2, foreground=NIGHT)
    for label in labels:
        for words in label.texts:
            extent = np.array([text_width(words, _SIZE), _HEIGHT])
            corners = _corners(label, extent)
            boxes = np.hstack([corners, corners + extent])
            # A label on a label cannot be read, a label on a galaxy hides it, the image's edge cuts it off.
            cost = 8 * _overlap(boxes, taken) + _overlap(boxes, galaxies) + 0.5 * np.arange(len(boxes))
            cost[(boxes < 0).any(axis=1) | (boxes[:, 2:] > size).any(axis=1)] = np.inf
            best = int(cost.argmin())
            if cost[best] < 0.25 * extent.prod():
                x, y = corners[best] + [0, _HEIGHT / 2]
                text = axes.text(x, y, words, color=label.colour, fontsize=_SIZE, va="center_baseline")
                text.set_path_effects([outline])
                taken = np.vstack([taken, boxes[best] + [-2, -1, 2, 1]])
                break


def _corners(label: Label, extent: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "place 2"]:
    """Return where the upper left corner of words of some extent may be."""
    direction = np.column_stack([np.cos(_TURNS), np.sin(_TURNS)])
    # How far an ellipse reaches in a direction that has some angle to its major axis
    from_axis = _TURNS - np.deg2rad(label.angle)
    reach = label.radius * np.hypot(np.cos(from_axis), label.axis_ratio * np.sin(from_axis))
    middle = [label.x, label.y] + direction * (reach + 4 + np.abs(direction) @ extent / 2)[:, None]
    return np.asarray(middle - extent / 2)


def _overlap(
    boxes: Float[np.ndarray, "place 4"], others: Float[np.ndarray, "other 4"]
) -> Float[np.ndarray, " place"]:
    """Return how many square pixels of each box the others cover, all together."""
    last = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    first = np.maximum(boxes[:, None, :2], others[None, :, :2])
    return np.asarray((last - first).clip(0).prod(axis=2).sum(axis=1))
