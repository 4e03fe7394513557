"""GetMetricWidgetImage."""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.services.cloudwatch import api, metrics
from modelyard.services.cloudwatch.expressions import ExpressionError
from modelyard.services.cloudwatch.query import Queries
from modelyard.services.cloudwatch.widget import chart, figures, gauge
from modelyard.services.cloudwatch.widget.alarms import with_alarms
from modelyard.services.cloudwatch.widget.canvas import COLORS, INK, PALE, Canvas, figure, width_of
from modelyard.services.cloudwatch.widget.chart import Frame, Line
from modelyard.services.cloudwatch.widget.model import Widget, WidgetError, read

VIEWS = {"timeSeries": chart.draw, "singleValue": figures.single_value, "bar": figures.bar, "pie": figures.pie, "gauge": gauge.draw}
MARGIN, ROW, LARGEST_LEGEND = 10, 16, 0.35


@api.operation
def get_metric_widget_image(call, request):
    if request.get("OutputFormat", "png") != "png":
        raise _bad(f"The value {request['OutputFormat']} for parameter OutputFormat is not supported: it must be png.")
    try:
        widget = with_alarms(read(request["MetricWidget"], call.now()), call)
        queries = [row.query for row in widget.rows]
        lines: list[Line] = []
        if queries:
            metrics.check_queries(queries)
            asked = Queries(
                call.platform.metrics, call.account, call.region, queries, widget.start, widget.end, now=call.now(), zone=widget.zone
            )
            lines = _lines(widget, asked)
    except (WidgetError, ExpressionError) as problem:
        raise _bad(f"Invalid MetricWidget: {problem}") from None
    return {"MetricWidgetImage": picture(widget, lines)}


def picture(widget: Widget, lines: list[Line]) -> bytes:
    """The widget as PNG."""
    canvas = Canvas(widget.width, widget.height)
    top = MARGIN
    if widget.title:
        canvas.text((widget.width / 2, top), widget.title, 14, INK, "ma", most=widget.width - 2 * MARGIN)
        top += 24
    frame = Frame(MARGIN, top, widget.width - MARGIN, widget.height - MARGIN)
    if widget.view not in ("singleValue", "gauge") and widget.legend != "hidden":
        frame = _legend(canvas, frame, widget, lines)
    VIEWS[widget.view](canvas, frame, widget, lines)
    return canvas.png()


def _lines(widget: Widget, asked: Queries) -> list[Line]:
    found: list[Line] = []
    for row in widget.rows:
        if not row.visible:
            continue
        for number, series in enumerate(asked.series(row.query["Id"])):
            color = row.color if row.color and number == 0 else COLORS[len(found) % len(COLORS)]
            points = [(at, value) for at, value in sorted(series.points.items()) if widget.start <= at < widget.end]
            found.append(Line(series.label, color, points, series.period, row.right))
    return found


def _legend(canvas: Canvas, frame: Frame, widget: Widget, lines: list[Line]) -> Frame:
    """Draws the legend and says what is left for the rest."""
    words = [_words(widget, line) for line in lines]
    if widget.legend == "right":
        wide = min(max((width_of(text, 11) for text in words), default=0) + 18, (frame.right - frame.left) * 0.4)
        left = frame.right - wide
        for n, (line, text) in enumerate(zip(lines, words, strict=True)):
            y = frame.top + n * ROW
            if y + ROW <= frame.bottom:
                _entry(canvas, left, y, line, text, wide - 14)
        return Frame(frame.left, frame.top, left - 12, frame.bottom)
    rows: list[list[tuple[float, Line, str]]] = [[]]
    x = frame.left
    for line, text in zip(lines, words, strict=True):
        wide = min(width_of(text, 11) + 30, frame.right - frame.left)
        if rows[-1] and x + wide > frame.right:
            rows.append([])
            x = frame.left
        rows[-1].append((x, line, text))
        x += wide
    rows = rows[: max(1, int((frame.bottom - frame.top) * LARGEST_LEGEND / ROW))]
    top = frame.bottom - len(rows) * ROW
    for n, row in enumerate(rows):
        for x, line, text in row:
            _entry(canvas, x, top + n * ROW, line, text, frame.right - x - 14)
    return Frame(frame.left, frame.top, frame.right, top - 6)


def _words(widget: Widget, line: Line) -> str:
    if widget.view == "pie" and line.points:
        return f"{line.label}: {figure(line.points[-1][1])}"
    return line.label


def _entry(canvas: Canvas, x: float, y: float, line: Line, text: str, most: float) -> None:
    canvas.box(x, y + 3, x + 9, y + 12, line.color)
    canvas.text((x + 14, y + 8), text, 11, PALE, "lm", most=most)


def _bad(message: str) -> ApiError:
    # The model lists no error of this operation; AWS answers the query-era code.
    return ApiError("ValidationError", message, 400)
