"""The bill, purely: meters and traffic in a window, by the price table, as lines; lines as groups.

As AWS bills: instances by the second at their hourly price, volumes by GB-month while the instances run, endpoint data by the GB in and out,
serverless variants by the model's seconds and their memory size. Spot: the billable seconds; what the rest would have cost is the saving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from modelyard.services.sagemaker.cost.meters import Meter
from modelyard.services.sagemaker.cost.prices import HOURS_PER_MONTH, Prices
from modelyard.services.sagemaker.cost.traffic import DAY, Traffic

HOUR, GB = 3600.0, 1024.0**3
TITLES = {"training-job": "Training", "processing-job": "Processing", "transform-job": "Batch transform", "endpoint": "Hosting"}


@dataclass(frozen=True)
class Line:
    """`usd` is None where there is no price for `item`. `at` is when it was used first; `saved` what spot instances spared."""

    kind: str
    name: str
    region: str
    item: str
    quantity: float
    unit: str
    price: float | None
    usd: float | None
    at: float
    saved: float = 0.0


def of_meter(meter: Meter, prices: Prices, start: float, end: float, now: float) -> list[Line]:
    """What falls into [start, end)."""
    whole = (meter.ended if meter.ended is not None else now) - meter.began
    first, last = max(meter.began, start), min(meter.ended if meter.ended is not None else now, end)
    if whole <= 0 or last <= first:
        return []
    share = (last - first) / whole
    used, billed = (share * seconds for seconds in _seconds(meter, whole, now))
    instances = (
        [{"type": meter.facts.get("type", "unknown"), "count": meter.facts.get("count", 1)}]
        if meter.kind == "endpoint"
        else meter.facts["instances"]
    )
    if memory_of(meter):
        instances = []
    lines = [_hours(meter, instance, billed, used, prices, first) for instance in instances]
    count = sum(instance["count"] for instance in instances)
    if meter.facts.get("volume_gb") and count and meter.kind != "transform-job":
        months = meter.facts["volume_gb"] * count * used / HOUR / HOURS_PER_MONTH
        lines.append(_line(meter, f"{TITLES[meter.kind]} storage", months, "GB-month", prices.of("storage_gb_month", meter.kind), first))
    return lines


def _seconds(meter: Meter, whole: float, now: float) -> tuple[float, float]:
    """(used, billed) of the whole time. Jobs that ended by whole seconds, at least one, as DescribeTrainingJob tells them."""
    facts = meter.facts
    if meter.kind == "endpoint" or facts.get("warm"):
        return whole, whole
    if meter.ended is not None:
        rounded = max(1.0, round(whole))
        return facts.get("used_s", rounded), facts.get("billable_s", rounded)
    since = facts.get("held_from", meter.began)
    held = facts.get("held_s", 0.0) + (now - since if since is not None else 0.0)
    return held, held * (1.0 - facts.get("discount", 0.0) / 100.0)


def _hours(meter: Meter, instance: dict[str, Any], billed: float, used: float, prices: Prices, at: float) -> Line:
    price = prices.of("instance_hour", instance["type"])
    hours, spot = instance["count"] * billed / HOUR, bool(meter.facts.get("spot"))
    saved = (used - billed) * instance["count"] / HOUR * (price or 0.0) if spot else 0.0
    title = f"{TITLES[meter.kind]} {instance['type']}" + (" (spot)" if spot else " (warm pool)" if meter.facts.get("warm") else "")
    return _line(meter, title, hours, "hours", price, at, saved)


def _line(meter: Meter, item: str, quantity: float, unit: str, price: float | None, at: float, saved: float = 0.0) -> Line:
    return Line(meter.kind, meter.name, meter.region, item, quantity, unit, price, None if price is None else quantity * price, at, saved)


def memory_of(meter: Meter) -> int | None:
    """Megabytes of a serverless instance, which is not billed by its time."""
    kind = meter.facts.get("type") or ""
    return int(kind.rpartition(".")[2]) if meter.facts.get("serverless") and ".serverless." in kind else None


def of_provisioned(meters: Iterable[Meter], prices: Prices, start: float, end: float) -> list[Line]:
    """The seconds in which provisioned instances of serverless variants stood: of those that live at a time as many as are provisioned."""
    steps: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    named: dict[tuple[Any, ...], Meter] = {}
    for meter in meters:
        most = meter.facts.get("provisioned")
        first = max(end if meter.began is None else meter.began, start)
        last = min(end if meter.ended is None else meter.ended, end)
        if most and last > first:
            key = (meter.region, meter.name, meter.facts.get("variant"), memory_of(meter), most)
            named.setdefault(key, meter)
            steps.setdefault(key, []).extend([(first, 1), (last, -1)])
    found = []
    for key, moves in steps.items():
        meter, memory, most = named[key], key[3], key[4]
        moves.sort()
        living, seconds = 0, 0.0
        for (at, by), (until, _) in pairwise(moves):
            living += by
            seconds += min(living, most) * (until - at)
        price = prices.of("provisioned_second", str(memory))
        found.append(_line(meter, f"Provisioned concurrency {memory} MB", seconds, "seconds", price, moves[0][0]))
    return found


def of_traffic(traffic: Traffic, memory_mb: int | None, prices: Prices) -> list[Line]:
    """Data in and out, and the seconds of a serverless variant (`memory_mb`). Requests by themselves cost nothing."""
    price = prices.of("data_gb", "endpoint")
    found = [
        _of_endpoint(traffic, f"Endpoint data {way}", size / GB, "GB", price)
        for way, size in (("in", traffic.bytes_in), ("out", traffic.bytes_out))
        if size
    ]
    found.append(_of_endpoint(traffic, "Endpoint requests", traffic.requests, "requests", 0.0))
    if memory_mb:
        price = prices.of("serverless_second", str(memory_mb))
        found.append(_of_endpoint(traffic, f"Serverless inference {memory_mb} MB", traffic.busy_s, "seconds", price))
    return found


def _of_endpoint(traffic: Traffic, item: str, quantity: float, unit: str, price: float | None) -> Line:
    usd = None if price is None else quantity * price
    return Line("endpoint", traffic.endpoint, traffic.region, item, quantity, unit, price, usd, traffic.day)


# --- groups ----------------------------------------------------------------------------------------


def days(start: float, end: float) -> list[tuple[float, float]]:
    """[start, end) cut at UTC midnights."""
    found, at = [], start
    while at < end:
        following = min(end, (at // DAY + 1) * DAY)
        found.append((at, following))
        at = following
    return found


def key_of(by: str) -> Callable[[Line], tuple[str, str] | None]:
    """(kind, key) of a line's group; None: it is in none."""
    if by == "day":
        return lambda line: ("day", f"{datetime.fromtimestamp(line.at, UTC):%Y-%m-%d}")
    if by == "job":
        return lambda line: None if line.kind == "endpoint" else (line.kind, line.name)
    if by == "endpoint":
        return lambda line: (line.kind, line.name) if line.kind == "endpoint" else None
    return lambda line: (line.kind, line.name)


def groups(lines: Iterable[Line], by: str) -> list[dict[str, Any]]:
    """As GetCost answers them: dearest first, days in their order; equal items of a group are one line."""
    key, found = key_of(by), {}
    for line in lines:
        place = key(line)
        if place is not None:
            found.setdefault(place, []).append(line)
    answer = [_group(kind, name, rows) for (kind, name), rows in found.items()]
    return sorted(answer, key=lambda g: g["Key"] if by == "day" else (-g["TotalUSD"], g["Key"]))


def _group(kind: str, name: str, lines: Sequence[Line]) -> dict[str, Any]:
    items: dict[tuple[Any, ...], list[float]] = {}
    for line in lines:
        row = items.setdefault((line.item, line.unit, line.price), [0.0, 0.0])
        row[0] += line.quantity
        row[1] += line.usd or 0.0
    told = [
        {"Item": item, "Quantity": quantity, "Unit": unit, **({} if price is None else {"Price": price, "USD": usd})}
        for (item, unit, price), (quantity, usd) in items.items()
    ]
    return {"Key": name, "Kind": kind, "TotalUSD": total(lines), "SavedUSD": sum(line.saved for line in lines), "Lines": told}


def total(lines: Iterable[Line]) -> float:
    return sum(line.usd or 0.0 for line in lines)


def unpriced(lines: Iterable[Line]) -> list[str]:
    """Items that were used and have no price."""
    return sorted({line.item for line in lines if line.usd is None})
