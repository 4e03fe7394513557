"""The view gauge: the newest value of each time series on a dial between the bounds of the left axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelyard.services.cloudwatch.widget.canvas import GRID, INK, PALE, Canvas, figure, width_of
from modelyard.services.cloudwatch.widget.chart import Frame, Line
from modelyard.services.cloudwatch.widget.model import Widget

BEGIN, SWEEP = 150.0, 240.0
"""Degrees clockwise from three o'clock."""
THICK, WIDEST = 0.2, 260.0


def draw(canvas: Canvas, frame: Frame, widget: Widget, lines: Sequence[Line]) -> None:
    columns = min(len(lines), max(1, int((frame.right - frame.left) / 150))) or 1
    rows = -(-len(lines) // columns) or 1
    wide, high = (frame.right - frame.left) / columns, (frame.bottom - frame.top) / rows
    for n, line in enumerate(lines):
        left, top = frame.left + n % columns * wide, frame.top + n // columns * high
        _dial(canvas, Frame(left + 4, top, left + wide - 4, top + high - 4), widget, line)


def _dial(canvas: Canvas, frame: Frame, widget: Widget, line: Line) -> None:
    low, high = widget.left.low or 0.0, widget.left.high if widget.left.high is not None else 100.0
    label = 18.0
    radius = max(8.0, min((frame.right - frame.left) / 2, (frame.bottom - frame.top - label) / 1.5, WIDEST) - 2)
    x, y = (frame.left + frame.right) / 2, frame.top + (frame.bottom - frame.top - label - 1.5 * radius) / 2 + radius
    inner = radius * (1 - THICK)
    value = line.points[-1][1] if line.points else None
    canvas.ring((x, y), radius, inner, BEGIN, BEGIN + SWEEP, GRID)
    for begin, end, color in _bands(widget, low, high):
        canvas.ring((x, y), radius + 4, radius + 1, _angle(begin, low, high), _angle(end, low, high), color)
    if value is not None:
        color = next((shade for begin, end, shade in _bands(widget, low, high) if begin <= value <= end), line.color)
        canvas.ring((x, y), radius, inner, BEGIN, _angle(value, low, high), color)
    words = "--" if value is None else figure(value)
    canvas.text((x, y), words, max(10.0, min(44.0, radius * 0.42, 44.0 * inner * 1.5 / max(1.0, width_of(words, 44)))), INK, "mm")
    for at in (low, high):
        angle = math.radians(_angle(at, low, high))
        spot = (x + (radius + inner) / 2 * math.cos(angle), y + (radius + inner) / 2 * math.sin(angle) + 10)
        canvas.text(spot, figure(at), 10, PALE, "mm")
    half = min(width_of(line.label, 11), frame.right - frame.left - 20) / 2
    at = y + radius * 0.5 + 14
    canvas.box(x - half - 7, at - 4, x - half + 2, at + 5, line.color)
    canvas.text((x - half + 7, at), line.label, 11, PALE, "lm", most=frame.right - frame.left - 20)


def _bands(widget: Widget, low: float, high: float) -> list[tuple[float, float, str]]:
    """(from, to, colour) of horizontal annotations that fill a part of the dial."""
    found = []
    for group in widget.horizontal:
        notes = group if isinstance(group, list) else [group]
        color, values = notes[0].get("color") or "#d13212", sorted(note["value"] for note in notes)
        if len(values) == 2:
            found.append((values[0], values[1], color))
        elif notes[0].get("fill") in ("above", "below"):
            found.append((values[0], high, color) if notes[0]["fill"] == "above" else (low, values[0], color))
    return found


def _angle(value: float, low: float, high: float) -> float:
    part = (value - low) / ((high - low) or 1.0)
    return BEGIN + SWEEP * min(1.0, max(0.0, part))
