"""Pictures of a field: its galaxies outlined and named, and a sheet of what was said of each."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import imsave
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from PIL import Image

from galvote.io.atomic import write_whole
from galvote.report.style import palette

NIGHT, INK, MUTED, FAINT, WARNING = (
    palette(dark=True)[name] for name in ("paper", "ink", "muted", "track", "low")
)
MAX_BYTES = 3_000_000
"""What a picture may weigh, so that a page or a message can show it."""

CARDS_PER_SHEET = 40

_DPI = 100
_LABELLED = 400  # more labels than this cover the sky
_CARD_WIDTH, _CARD_HEIGHT, _CARD_COLUMNS, _SHEET_TITLE = 480, 176, 4, 84


@dataclass(frozen=True)
class Mark:
    """A galaxy to be outlined.

    Parameters
    ----------
    number
        Stands at its outline.
    label
        A few words after the number, which give way where there is no room.
    x, y
        Its centre in pixels; (0, 0) is the centre of the first pixel, and y points down.
    radius
        Of the outline along the major axis, in pixels.
    axis_ratio
        Of the outline, in (0, 1].
    angle
        Of the major axis, in degrees from x towards y.
    colour
        Of outline and number, as matplotlib writes it.
    dashed
        Whether the outline is.
    """

    number: int
    label: str
    x: float
    y: float
    radius: float
    axis_ratio: float
    angle: float
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Card:
    """What a sheet shows of one galaxy.

    Parameters
    ----------
    number, label, colour
        As its `Mark`.
    cutout
        Its picture.
    path
        Its decision path in words.
    bars
        Names and fractions in [0, 1], four or fewer.
    note
        What to beware of; empty if nothing.
    """

    number: int
    label: str
    colour: str
    cutout: UInt8[np.ndarray, "p p 3"]
    path: str
    bars: tuple[tuple[str, float], ...]
    note: str = ""


def draw_field(
    rgb: UInt8[np.ndarray, "y x 3"],
    marks: Sequence[Mark],
    *,
    title: str = "",
    legend: Sequence[tuple[str, str]] = (),
    width: int = 2000,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a field with its galaxies outlined, and under it a line with title and legend.

    Parameters
    ----------
    marks
        Most important first: where labels would meet, later ones shrink to their number or are left out.
    legend
        Words and their colours.
    width
        Of the drawing's longer side, roughly, in pixels; a small field is enlarged at most three times.
    """
    rgb, shrunk = _shrink(rgb, width)
    scale = min(3.0, width / max(rgb.shape[:2]))
    across, down, foot = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale), 56
    across = max(across, 480)
    figure, axes = _canvas(across, down + foot)
    axes.imshow(
        rgb,
        extent=(0, rgb.shape[1] * scale, rgb.shape[0] * scale, 0),
        interpolation="bicubic" if scale > 1 else "antialiased",
        aspect="auto",
    )
    axes.set(xlim=(0, across), ylim=(down + foot, 0))
    axes.add_patch(Rectangle((0, down), across, foot, color=NIGHT))
    to_canvas = scale / shrunk
    centres = np.array([((mark.x + 0.5) * to_canvas, (mark.y + 0.5) * to_canvas) for mark in marks]).reshape(
        -1, 2
    )
    radii = np.array([mark.radius * to_canvas for mark in marks])
    axes.add_collection(
        EllipseCollection(
            2 * radii,
            2 * radii * [mark.axis_ratio for mark in marks],
            [mark.angle for mark in marks],
            units="xy",
            offsets=centres,
            offset_transform=axes.transData,
            facecolors="none",
            edgecolors=[mark.colour for mark in marks],
            linewidths=0.9,
            linestyles=["--" if mark.dashed else "-" for mark in marks],
            alpha=0.9,
        ),
        autolim=False,
    )
    _place_labels(axes, marks[:_LABELLED], centres, radii, (across, down))
    middle = down + foot / 2
    axes.text(20, middle, title, color=INK, fontsize=11, va="center", fontweight="bold")
    x = 60 + 1.15 * _text_width(title, 11.0)  # bold is wider
    for word, colour in legend:
        axes.plot([x], [middle], "o", color=colour, markersize=6)
        axes.text(x + 12, middle, word, color=MUTED, fontsize=10, va="center")
        x += _text_width(word, 10.0) + 36
    return _pixels(figure)


def draw_sheet(cards: Sequence[Card], *, title: str) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a sheet of up to 40 galaxies, each with its picture, decision path and main fractions.

    Raises
    ------
    ValueError
        If there are more cards than a sheet holds, or none.
    """
    if not 0 < len(cards) <= CARDS_PER_SHEET:
        raise ValueError(f"{len(cards)} cards; a sheet holds 1 to {CARDS_PER_SHEET}.")
    columns = min(_CARD_COLUMNS, len(cards))
    width = max(columns * _CARD_WIDTH + 40, 700)
    figure, axes = _canvas(width, _SHEET_TITLE + -(-len(cards) // columns) * _CARD_HEIGHT + 20)
    axes.text(24, _SHEET_TITLE / 2, title, color=INK, fontsize=15, fontweight="bold", va="center")
    for place, card in enumerate(cards):
        row, column = divmod(place, columns)
        _draw_card(axes, card, 24 + column * _CARD_WIDTH, _SHEET_TITLE + row * _CARD_HEIGHT)
    return _pixels(figure)


def write_png(image: UInt8[np.ndarray, "y x 3"], path: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Write a PNG, with fewer shades if it would weigh too much.

    PNG spends most of its bytes on the noise of the sky, which lies in the last bits: they are dropped, up to
    four of them, until the file is small enough. It is written beside its place and renamed.
    """
    data = b""
    for dropped in range(5):
        file = io.BytesIO()
        imsave(file, (image >> dropped) << dropped, format="png", pil_kwargs={"compress_level": 6})
        data = file.getvalue()
        if len(data) <= max_bytes:
            break
    write_whole(path, data)


def to_data_url(image: UInt8[np.ndarray, "y x 3"]) -> str:
    """Return a picture as a JPEG in a data URL, for a page that needs nothing from elsewhere."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def _draw_card(axes: Axes, card: Card, left: int, top: int) -> None:
    size = _CARD_HEIGHT - 16
    axes.imshow(
        card.cutout, extent=(left, left + size, top + size, top), interpolation="bicubic", aspect="auto"
    )
    axes.add_patch(Rectangle((left, top), size, size, fill=False, edgecolor=FAINT, linewidth=1))
    left += size + 14
    room = _CARD_WIDTH - size - 40
    axes.text(left, top + 14, f"{card.number}", color=MUTED, fontsize=11, va="center")
    axes.text(left + 38, top + 14, card.label, color=card.colour, fontsize=12, fontweight="bold", va="center")
    if card.note:
        axes.text(left, top + 28, card.note, color=WARNING, fontsize=7, va="top")
    lines = textwrap.wrap(card.path, width=46)
    if len(lines) > 3:
        lines = [*lines[:2], textwrap.shorten(" ".join(lines[2:]), width=46, placeholder=" …")]
    below = top + (43 if card.note else 32)
    axes.text(left, below, "\n".join(lines), color=INK, fontsize=7.8, va="top", linespacing=1.35)
    name_width, value_width = 74, 34
    longest = room - name_width - value_width
    for line, (name, fraction) in enumerate(card.bars):
        y = top + size - 8 - 17 * (len(card.bars) - 1 - line)
        axes.text(left, y, name, color=MUTED, fontsize=7.8, va="center")
        axes.text(left + room, y, f"{fraction:.2f}", color=MUTED, fontsize=7.8, va="center", ha="right")
        bar = left + name_width
        axes.add_patch(Rectangle((bar, y - 4), longest, 8, color=FAINT, linewidth=0))
        axes.add_patch(
            Rectangle((bar, y - 4), longest * min(max(fraction, 0), 1), 8, color=card.colour, linewidth=0)
        )


def _place_labels(
    axes: Axes,
    marks: Sequence[Mark],
    centres: Float[np.ndarray, "galaxy 2"],
    radii: Float[np.ndarray, " galaxy"],
    size: tuple[int, int],
) -> None:
    """Write each label at the side of its outline where it covers least; the first choose first."""
    taken = np.empty((0, 4))  # left, top, right, bottom
    galaxies = np.column_stack([centres - 0.7 * radii[:, None], centres + 0.7 * radii[:, None]])
    outline = withStroke(linewidth=2.2, foreground=NIGHT)
    font_size = 7.6
    down = 1.2 * font_size * _DPI / 72
    for mark, centre, radius in zip(marks, centres, radii, strict=False):
        for words in (f"{mark.number} {mark.label}", f"{mark.number}"):
            across = _text_width(words, font_size)
            places = _places_around(mark, centre, float(radius), across, down)
            boxes = np.hstack([places, places + np.array([across, down])])
            # A label on a label cannot be read, a label on a galaxy hides it, the picture's edge cuts it off.
            cost = 8 * _overlap(boxes, taken) + _overlap(boxes, galaxies) + 0.5 * np.arange(len(boxes))
            cost[(boxes < 0).any(axis=1) | (boxes[:, 2] > size[0]) | (boxes[:, 3] > size[1])] = np.inf
            best = int(cost.argmin())
            if cost[best] < 0.25 * across * down:
                x, y = places[best] + np.array([0, down / 2])
                axes.text(
                    x,
                    y,
                    words,
                    color=mark.colour,
                    fontsize=font_size,
                    va="center_baseline",
                    path_effects=[outline],
                )
                taken = np.vstack([taken, boxes[best] + np.array([-2, -1, 2, 1])])
                break


def _places_around(
    mark: Mark, centre: Float[np.ndarray, " 2"], radius: float, across: float, down: float
) -> Float[np.ndarray, "place 2"]:
    """Return upper left corners of a label at 16 places around an outline, the right side first."""
    turns = np.deg2rad([0, 180, 90, 270, 22, -22, 45, -45, 135, -135, 158, -158, 68, -68, 112, -112])
    direction = np.column_stack([np.cos(turns), np.sin(turns)])
    # How far an ellipse reaches in a direction that has some angle to its major axis
    from_axis = turns - np.deg2rad(mark.angle)
    reach = radius * np.hypot(np.cos(from_axis), mark.axis_ratio * np.sin(from_axis))
    middle = centre + direction * (reach + 4 + np.abs(direction) @ [across / 2, down / 2])[:, None]
    return np.asarray(middle - [across / 2, down / 2])


def _overlap(
    boxes: Float[np.ndarray, "place 4"], others: Float[np.ndarray, "other 4"]
) -> Float[np.ndarray, " place"]:
    """Return how many square pixels of each box the others cover, all together."""
    sides = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], others[None, :, :2]
    )
    return np.asarray(sides.clip(0).prod(axis=2).sum(axis=1))


def _shrink(rgb: UInt8[np.ndarray, "y x 3"], longest: int) -> tuple[UInt8[np.ndarray, "v u 3"], int]:
    """Average whole blocks of pixels, so that the picture is not much longer than that."""
    block = -(-max(rgb.shape[:2]) // longest)
    if block == 1 or min(rgb.shape[:2]) < block:
        return rgb, 1
    height, width = (side // block for side in rgb.shape[:2])
    blocks = rgb[: height * block, : width * block].reshape(height, block, width, block, 3)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32).astype(np.uint8)), block


def _canvas(width: int, height: int) -> tuple[Figure, Axes]:
    """Return a dark figure with axes in its pixels, y pointing down."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=NIGHT)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return figure, axes


def _text_width(words: str, size: float) -> float:
    """Return the width in pixels of words in a size in points."""
    width, _, _ = text_to_path.get_text_width_height_descent(words, FontProperties(size=size), ismath=False)
    return width * _DPI / 72


def _pixels(figure: Figure) -> UInt8[np.ndarray, "y x 3"]:
    file = io.BytesIO()
    figure.savefig(file, format="rgba", dpi=_DPI)
    width, height = (round(side * _DPI) for side in figure.get_size_inches())
    return np.frombuffer(file.getvalue(), np.uint8).reshape(height, width, 4)[:, :, :3]
