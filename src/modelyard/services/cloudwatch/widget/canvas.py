"""Lines, areas and words on a picture, drawn at twice the size and made smaller: smooth edges without a drawing library."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

SCALE = 2
INK, PALE, GRID, PAPER = "#16191f", "#5f6b7a", "#e9ebed", "#ffffff"
COLORS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
)  # fmt: skip

Spot = tuple[float, float]


class Canvas:
    """Places are in pixels of the finished picture."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw  # loaded with the first picture: gateways start without

        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def line(self, spots: Sequence[Spot], color: str, thick: float = 1.0, dash: float = 0.0) -> None:
        if dash:
            for (x, y), (u, v) in pairwise(spots):
                count = max(1, int(math.hypot(u - x, v - y) / dash))
                cuts = [(x + (u - x) * n / count, y + (v - y) * n / count) for n in range(count + 1)]
                for n in range(0, count, 2):
                    self.line([cuts[n], cuts[n + 1]], color, thick)
            return
        self._draw.line(_scaled(spots), fill=color, width=max(1, round(thick * SCALE)), joint="curve")

    def dot(self, at: Spot, color: str, radius: float = 2.5) -> None:
        (x, y), r = at, radius
        self._draw.ellipse(_scaled([(x - r, y - r), (x + r, y + r)]), fill=color)

    def area(self, spots: Sequence[Spot], color: str, alpha: float = 1.0) -> None:
        if len(spots) > 2:
            self._draw.polygon(_scaled(spots), fill=color + f"{round(alpha * 255):02x}")

    def box(self, left: float, top: float, right: float, bottom: float, color: str, alpha: float = 1.0) -> None:
        if right > left and bottom > top:
            self._draw.rectangle(_scaled([(left, top), (right, bottom)]), fill=color + f"{round(alpha * 255):02x}")

    def slice(self, box: tuple[float, float, float, float], begin: float, end: float, color: str) -> None:
        """Of a pie; degrees from three o'clock on."""
        self._draw.pieslice(_scaled([box[:2], box[2:]]), begin, end, fill=color, outline=PAPER, width=SCALE)

    def ring(self, centre: Spot, outer: float, inner: float, begin: float, end: float, color: str) -> None:
        """A part of a ring; degrees clockwise from three o'clock on."""
        steps = max(2, int((end - begin) / 2) + 2)
        turns = [math.radians(begin + (end - begin) * n / (steps - 1)) for n in range(steps)]
        (x, y), rims = centre, []
        for radius, angles in ((outer, turns), (inner, turns[::-1])):
            rims += [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
        if end > begin:
            self.area(rims, color)

    def text(self, at: Spot, words: str, size: float = 11, color: str = PALE, anchor: str = "la", most: float | None = None) -> None:
        """`anchor` is Pillow's: l/m/r and a/m/s. Words wider than `most` pixels end in an ellipsis."""
        if most is not None:
            words = fitted(words, size, most)
        self._draw.text(_scaled([at])[0], words, fill=color, font=_font(round(size * SCALE)), anchor=anchor)

    def upright(self, at: Spot, words: str, size: float = 11, color: str = PALE) -> None:
        """Words from below to above, centred at a place."""
        from PIL import Image, ImageDraw

        font = _font(round(size * SCALE))
        box = font.getbbox(words)
        wide, high = max(1, math.ceil(box[2])), max(1, math.ceil(box[3]) + SCALE)
        mask = Image.new("L", (wide, high), 0)
        ImageDraw.Draw(mask).text((0, 0), words, fill=255, font=font)
        mask = mask.rotate(90, expand=True)
        corner = (round(at[0] * SCALE - mask.width / 2), round(at[1] * SCALE - mask.height / 2))
        self._image.paste(Image.new("RGB", mask.size, color), corner, mask)

    def png(self) -> bytes:
        from PIL import Image

        made = io.BytesIO()
        self._image.resize((self.width, self.height), Image.Resampling.LANCZOS).save(made, "PNG")
        return made.getvalue()


def width_of(words: str, size: float) -> float:
    return _font(round(size * SCALE)).getlength(words) / SCALE


def fitted(words: str, size: float, most: float) -> str:
    if width_of(words, size) <= most:
        return words
    while words and width_of(words + "…", size) > most:
        words = words[:-1]
    return words + "…" if words else ""


def figure(value: float) -> str:
    """A number as axes and legends have it: 1.5k, 20M, 0.25."""
    for size, sign in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{value:.4g}"


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _scaled(spots: Sequence[Any]) -> list[tuple[float, float]]:
    return [(x * SCALE, y * SCALE) for x, y in spots]
