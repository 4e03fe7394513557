"""The view timeSeries: axes, lines or stacked areas, annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from modelyard.services.cloudwatch import labels
from modelyard.services.cloudwatch.widget.canvas import GRID, INK, PALE, PAPER, Canvas, figure, fitted, width_of
from modelyard.services.cloudwatch.widget.model import Axis, Widget

STEPS_S = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
ANNOTATION = "#d13212"


@dataclass(frozen=True)
class Line:
    """A time series as it is drawn. `points` are (epoch seconds, value) in order."""

    label: str
    color: str
    points: list[tuple[float, float]]
    period: float
    right: bool = False


@dataclass(frozen=True)
class Frame:
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Scale:
    low: float
    high: float
    ticks: list[float]

    def part(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def draw(canvas: Canvas, frame: Frame, widget: Widget, lines: Sequence[Line]) -> None:
    drawn = _stacked(lines) if widget.stacked else [(line, [0.0] * len(line.points)) for line in lines]
    tops = {
        right: [v for line, floor in drawn if line.right is right for v in _tops(line, floor, widget.stacked)] for right in (False, True)
    }
    marks = [
        (note["value"], note.get("yAxis") == "right")
        for group in widget.horizontal
        for note in (group if isinstance(group, list) else [group])
    ]
    scales = {
        right: scale([*tops[right], *(v for v, on in marks if on is right)], axis, frame.bottom - frame.top)
        for right, axis in ((False, widget.left), (True, widget.right))
    }
    both = bool(tops[True])
    frame = _inner(frame, widget, scales, both)
    _axes(canvas, frame, widget, scales, both)

    def spot(at: float, value: float, right: bool) -> tuple[float, float]:
        x = frame.left + (at - widget.start) / (widget.end - widget.start) * (frame.right - frame.left)
        y = frame.bottom - scales[right].part(value) * (frame.bottom - frame.top)
        return x, min(max(y, frame.top), frame.bottom)

    for line, floor in reversed(drawn):
        for run in _runs(line):
            upper = [spot(line.points[n][0], line.points[n][1] + floor[n], line.right) for n in run]
            if widget.stacked:
                lower = [spot(line.points[n][0], floor[n], line.right) for n in run]
                canvas.area([*upper, *reversed(lower)], line.color, 0.55)
            if len(upper) == 1:
                canvas.dot(upper[0], line.color)
            else:
                canvas.line(upper, line.color, 1.5)
    _annotations(canvas, frame, widget, spot)
    if not any(line.points for line in lines):
        canvas.text(((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2), "No data available.", 12, PALE, "mm")


def scale(values: Sequence[float], axis: Axis, pixels: float = 300.0) -> Scale:
    """Round numbers around the values; what the axis fixes stays."""
    low = min(values, default=0.0) if axis.low is None else axis.low
    high = max(values, default=1.0) if axis.high is None else axis.high
    if axis.low is None and 0 <= low <= 0.4 * high:
        low = 0.0
    if high <= low:
        high, low = (high + (abs(high) or 1.0) * 0.5, low if axis.low is not None else low - (abs(low) or 1.0) * 0.5)
    step = _nice((high - low) / max(2, min(6, int(pixels / 45))))
    if axis.low is None:
        low = math.floor(low / step + 1e-9) * step
    if axis.high is None:
        high = math.ceil(high / step - 1e-9) * step
    first = math.ceil(low / step - 1e-9)
    ticks = [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
    return Scale(low, high, ticks)


def _nice(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)


def _stacked(lines: Sequence[Line]) -> list[tuple[Line, list[float]]]:
    """Each line with what lies below each of its points."""
    below: dict[tuple[bool, float], float] = {}
    found = []
    for line in lines:
        floor = []
        for at, value in line.points:
            floor.append(below.get((line.right, at), 0.0))
            below[line.right, at] = floor[-1] + value
        found.append((line, floor))
    return found


def _tops(line: Line, floor: Sequence[float], stacked: bool) -> list[float]:
    tops = [value + below for (_, value), below in zip(line.points, floor, strict=True)]
    return [0.0, *tops] if stacked else tops


def _runs(line: Line) -> list[list[int]]:
    """Indices of points that follow each other without a missing period."""
    runs: list[list[int]] = []
    for n, (at, _) in enumerate(line.points):
        if n and at - line.points[n - 1][0] <= line.period * 1.5:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs


def _inner(frame: Frame, widget: Widget, scales: dict[bool, Scale], both: bool) -> Frame:
    wide = {right: max((width_of(figure(tick), 10) for tick in scales[right].ticks), default=0) + 8 for right in (False, True)}
    left = frame.left + wide[False] + (16 if widget.left.label else 0)
    right = frame.right - (wide[True] if both else 6) - (16 if both and widget.right.label else 0)
    return Frame(left, frame.top, max(right, left + 10), max(frame.bottom - 18, frame.top + 10))


def _axes(canvas: Canvas, frame: Frame, widget: Widget, scales: dict[bool, Scale], both: bool) -> None:
    high = frame.bottom - frame.top
    for right in (False, True) if both else (False,):
        for tick in scales[right].ticks:
            y = frame.bottom - scales[right].part(tick) * high
            if not right:
                canvas.line([(frame.left, y), (frame.right, y)], GRID)
            canvas.text((frame.right + 6, y) if right else (frame.left - 6, y), figure(tick), 10, PALE, "lm" if right else "rm")
    if widget.left.label:
        canvas.upright((12, (frame.top + frame.bottom) / 2), widget.left.label)
    if both and widget.right.label:
        canvas.upright((canvas.width - 12, (frame.top + frame.bottom) / 2), widget.right.label)
    canvas.line([(frame.left, frame.bottom), (frame.right, frame.bottom)], "#aab7b8")
    span, zone = widget.end - widget.start, labels.zone_of(widget.zone)
    most = max(1, int((frame.right - frame.left) / 70))
    step = next((s for s in STEPS_S if span / s <= most), STEPS_S[-1])
    shift = zone.utcoffset(None).total_seconds()
    at = math.ceil((widget.start + shift) / step) * step - shift
    while at <= widget.end:
        x = frame.left + (at - widget.start) / span * (frame.right - frame.left)
        canvas.line([(x, frame.bottom), (x, frame.bottom + 4)], "#aab7b8")
        moment = datetime.fromtimestamp(at, zone)
        form = "%m/%d" if step >= 86_400 else "%m/%d %H:%M" if span > 86_400 and most < 9 else "%H:%M:%S" if step < 60 else "%H:%M"
        words = moment.strftime(form)
        canvas.text((min(x, canvas.width - width_of(words, 10) / 2 - 2), frame.bottom + 6), words, 10, PALE, "ma")
        at += step


def _annotations(canvas: Canvas, frame: Frame, widget: Widget, spot) -> None:
    for group in widget.horizontal:
        notes = group if isinstance(group, list) else [group]
        ys = [spot(widget.start, note["value"], note.get("yAxis") == "right")[1] for note in notes]
        color, fill = notes[0]["color"] or ANNOTATION, notes[0].get("fill")
        if len(ys) == 2:
            canvas.box(frame.left, min(ys), frame.right, max(ys), color, 0.12)
        elif fill in ("above", "below"):
            canvas.box(
                frame.left, frame.top if fill == "above" else ys[0], frame.right, ys[0] if fill == "above" else frame.bottom, color, 0.12
            )
        for y, note in zip(ys, notes, strict=True):
            canvas.line([(frame.left, y), (frame.right, y)], color, 1.2, dash=5)
            _note(canvas, frame.left + 5, y - 14 if y - 14 > frame.top else y + 2, note["label"], frame.right - frame.left)
    for group in widget.vertical:
        notes = group if isinstance(group, list) else [group]
        xs = [min(max(spot(note["value"], 0.0, False)[0], frame.left), frame.right) for note in notes]
        color, fill = notes[0]["color"] or ANNOTATION, notes[0].get("fill")
        if len(xs) == 2:
            canvas.box(min(xs), frame.top, max(xs), frame.bottom, color, 0.12)
        elif fill in ("before", "after"):
            canvas.box(
                frame.left if fill == "before" else xs[0], frame.top, xs[0] if fill == "before" else frame.right, frame.bottom, color, 0.12
            )
        for x, note in zip(xs, notes, strict=True):
            canvas.line([(x, frame.top), (x, frame.bottom)], color, 1.2, dash=5)
            _note(canvas, x + 4, frame.top + 2, note["label"], canvas.width - x - 6)


def _note(canvas: Canvas, x: float, y: float, words: str, most: float) -> None:
    """Words over lines, with paper behind them."""
    if words := fitted(words, 10, most):
        canvas.box(x - 2, y - 1, x + width_of(words, 10) + 3, y + 12, PAPER, 0.8)
        canvas.text((x, y), words, 10, INK, "la")
