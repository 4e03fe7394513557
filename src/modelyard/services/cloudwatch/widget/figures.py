"""The views singleValue, bar and pie: the newest value of each time series."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.services.cloudwatch.widget.canvas import GRID, INK, PALE, Canvas, figure, width_of
from modelyard.services.cloudwatch.widget.chart import Frame, Line, scale
from modelyard.services.cloudwatch.widget.model import Widget


def single_value(canvas: Canvas, frame: Frame, widget: Widget, lines: Sequence[Line]) -> None:
    columns = min(len(lines), max(1, int((frame.right - frame.left) / 140))) or 1
    rows = -(-len(lines) // columns) or 1
    wide, high = (frame.right - frame.left) / columns, (frame.bottom - frame.top) / rows
    for n, line in enumerate(lines):
        left, top = frame.left + n % columns * wide, frame.top + n // columns * high
        words = figure(line.points[-1][1]) if line.points else "--"
        spark = widget.sparkline and len(line.points) > 1
        size = max(12.0, min(48.0, high * (0.3 if spark else 0.35), 48.0 * (wide - 16) / max(1.0, width_of(words, 48))))
        middle, x = top + high * (0.25 if spark else 0.45), left + wide / 2
        canvas.text((x, middle), words, size, INK, "mm")
        label_at, half = middle + size * 0.6 + 4, min(width_of(line.label, 11), wide - 40) / 2
        canvas.box(x - half - 7, label_at + 2, x - half + 2, label_at + 11, line.color)
        canvas.text((x - half + 7, label_at), line.label, 11, PALE, "la", most=wide - 40)
        if spark:
            _sparkline(canvas, Frame(left + 8, min(label_at + 22, top + high - 8), left + wide - 8, top + high - 4), line)


def bar(canvas: Canvas, frame: Frame, widget: Widget, lines: Sequence[Line]) -> None:
    newest = [line.points[-1][1] if line.points else 0.0 for line in lines]
    size = scale([0.0, *newest], widget.left, frame.bottom - frame.top)
    left = frame.left + max((width_of(figure(tick), 10) for tick in size.ticks), default=0) + 8
    high, wide = frame.bottom - frame.top, (frame.right - left) / max(1, len(lines))
    for tick in size.ticks:
        y = frame.bottom - size.part(tick) * high
        canvas.line([(left, y), (frame.right, y)], GRID)
        canvas.text((left - 6, y), figure(tick), 10, PALE, "rm")
    floor = frame.bottom - min(max(size.part(0.0), 0.0), 1.0) * high
    for n, (line, value) in enumerate(zip(lines, newest, strict=True)):
        top, x = frame.bottom - min(max(size.part(value), 0.0), 1.0) * high, left + (n + 0.5) * wide
        half = min(wide * 0.35, 60)
        canvas.box(x - half, min(top, floor), x + half, max(top, floor), line.color)
        canvas.text((x, min(top, floor) - 3), figure(value) if line.points else "--", 10, INK, "ms")
    canvas.line([(left, floor), (frame.right, floor)], "#aab7b8")


def pie(canvas: Canvas, frame: Frame, widget: Widget, lines: Sequence[Line]) -> None:
    newest = [max(0.0, line.points[-1][1]) if line.points else 0.0 for line in lines]
    total = sum(newest)
    x, y = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
    radius = max(4.0, min(frame.right - frame.left, frame.bottom - frame.top) / 2 - 4)
    if not total:
        canvas.text((x, y), "No data available.", 12, PALE, "mm")
        return
    begin = -90.0
    for line, value in zip(lines, newest, strict=True):
        end = begin + 360 * value / total
        if value:
            canvas.slice((x - radius, y - radius, x + radius, y + radius), begin, end, line.color)
        begin = end


def _sparkline(canvas: Canvas, frame: Frame, line: Line) -> None:
    low, high = min(v for _, v in line.points), max(v for _, v in line.points)
    first, last = line.points[0][0], line.points[-1][0]
    spots = [
        (
            frame.left + (at - first) / ((last - first) or 1) * (frame.right - frame.left),
            frame.bottom - (value - low) / ((high - low) or 1) * (frame.bottom - frame.top),
        )
        for at, value in line.points
    ]
    canvas.area([(frame.left, frame.bottom), *spots, (frame.right, frame.bottom)], line.color, 0.15)
    canvas.line(spots, line.color, 1.2)
