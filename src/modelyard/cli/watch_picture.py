"""One look at an endpoint (DescribeEndpointTraffic) as something to look at."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

SPARKS = "▁▂▃▄▅▆▇█"
COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red")
STATES = {
    "InService": "green",
    "OK": "green",
    "Failed": "red",
    "ALARM": "red",
    "Updating": "yellow",
    "RollingBack": "red",
    "Creating": "yellow",
}
BAR, KEPT = 48, 40


class History:
    """The last looks: calls a second and p99 of the whole endpoint."""

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=KEPT)
        self.p99: deque[float] = deque(maxlen=KEPT)
        self.errors: deque[float] = deque(maxlen=KEPT)

    def add(self, look: dict[str, Any]) -> None:
        variants = look["Variants"]
        self.rates.append(sum(v["InvocationsPerSecond"] for v in variants))
        self.p99.append(max((v.get("ModelP99Milliseconds", 0.0) for v in variants), default=0.0))
        self.errors.append(sum(v["ClientErrorsPerSecond"] + v["ServerErrorsPerSecond"] for v in variants))


def picture(look: dict[str, Any], history: History) -> RenderableType:
    parts: list[RenderableType] = [split_bar(look), _variants(look), _sparks(history)]
    if rollout := look.get("Rollout"):
        parts.append(_rollout(look, rollout))
    parts += [_alarm(alarm) for alarm in look.get("Alarms", [])]
    parts += [_fault(fault) for fault in look.get("Faults", [])]
    if reason := look.get("FailureReason"):
        parts.append(Text(reason, "red"))
    state = look["EndpointStatus"]
    title = Text.assemble((look["EndpointName"], "bold"), "  ", (state, STATES.get(state, "white")), f"  {look['EndpointConfigName']}")
    speed = look["ClockSpeed"]
    clock = f"{_clock(look['At'])} platform time" + (f", {speed:g} x" if speed != 1 else "")
    return Panel(Group(*parts), title=title, subtitle=clock, title_align="left", subtitle_align="right")


def fleets(look: dict[str, Any]) -> list[tuple[str, str, float, list[dict[str, Any]]]]:
    """(variant, fleet, share, replicas), as many rows as there are fleets."""
    return [(v["VariantName"], f["Fleet"], f["Share"], f["Replicas"]) for v in look["Variants"] for f in v["Fleets"]]


def split_bar(look: dict[str, Any]) -> Text:
    """Where calls go, as one bar."""
    bar = Text()
    rows = [row for row in fleets(look) if row[2] > 0]
    for number, (variant, fleet, share, _) in enumerate(rows):
        width = max(round(share * BAR), 1)
        label = f"{variant}/{fleet} {100 * share:.0f} %"
        bar.append(label[:width].center(width), f"black on {COLOURS[number % len(COLOURS)]}")
    return bar if rows else Text("no traffic can be served", "red")


def _variants(look: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("variant", no_wrap=True, max_width=20)
    for head in ("fleet", "share", "replicas"):
        table.add_column(head, no_wrap=True)
    for head in ("busy", "call/s", "4xx/s", "5xx/s", "p50", "p95", "p99 ms"):
        table.add_column(head, justify="right", no_wrap=True)
    for variant in look["Variants"]:
        for number, fleet in enumerate(variant["Fleets"] or [{"Fleet": "", "Share": 0.0, "Replicas": []}]):
            first = number == 0
            table.add_row(
                variant["VariantName"] if first else "",
                fleet["Fleet"],
                f"{100 * fleet['Share']:.0f} %",
                _replicas(fleet["Replicas"]),
                *(_figures(variant) if first else [""] * 7),
            )
    return table


def _figures(variant: dict[str, Any]) -> list[Text]:
    def number(name: str, bad: bool = False) -> Text:
        value = variant.get(name)
        return Text("-", "dim") if value is None else Text(f"{value:.1f}", "red" if bad and value else "")

    names = ("InFlight", "InvocationsPerSecond", "ClientErrorsPerSecond", "ServerErrorsPerSecond")
    latencies = ("ModelP50Milliseconds", "ModelP95Milliseconds", "ModelP99Milliseconds")
    return [number(name, "Errors" in name) for name in names + latencies]


def _replicas(replicas: list[dict[str, Any]]) -> Text:
    """A dot each: full where calls go to it, its colour says its status."""
    text = Text()
    for replica in replicas:
        text.append("●" if replica["InTable"] else "○", STATES.get(replica["Status"], "yellow"))
    return text


def _sparks(history: History) -> Text:
    return Text.assemble(
        ("calls/s ", "dim"), (spark(history.rates), "cyan"), ("   errors/s ", "dim"), (spark(history.errors), "red"),
        ("   p99 ", "dim"), (spark(history.p99), "yellow"),
    )  # fmt: skip


def spark(values: Any) -> str:
    most = max(values, default=0.0)
    return "".join(SPARKS[min(int(value / most * 7.999), 7)] if most > 0 else SPARKS[0] for value in values)


def _rollout(look: dict[str, Any], rollout: dict[str, Any]) -> Text:
    text = Text.assemble(("rollout  ", "dim"), (rollout.get("Stage", ""), "bold yellow"))
    if rollout.get("ToConfig"):
        text.append(f"  {rollout.get('FromConfig') or 'nothing'} → {rollout['ToConfig']}")
    if until := rollout.get("Until"):
        left = max((until - look["At"]).total_seconds(), 0.0)
        text.append(f"  {left:.0f} s left of this stage (platform time; {left / (look['ClockSpeed'] or 1):.0f} s real)")
    return text


def _alarm(alarm: dict[str, Any]) -> Text:
    state = alarm["StateValue"]
    return Text.assemble(
        ("alarm    ", "dim"), (state, STATES.get(state, "yellow")), f"  {alarm['AlarmName']}  ", (alarm.get("StateReason", ""), "dim")
    )


def _fault(fault: dict[str, Any]) -> Text:
    what = []
    if fault["ErrorRate"]:
        what.append(f"{fault['ErrorRate'] * 100:g} % of the calls fail with {fault['StatusCode']}")
    if fault["LatencyMilliseconds"]:
        what.append(f"{fault['LatencyMilliseconds']} ms more for each")
    return Text(f"fault    {fault['VariantName']}: {', '.join(what)}, until {_clock(fault['Until'])}", "red")


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%H:%M:%S")
