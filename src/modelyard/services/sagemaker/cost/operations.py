"""GetCost: what an account used in a span of platform time, by the price table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.modelyard import api
from modelyard.services.sagemaker.cost import bill, traffic
from modelyard.services.sagemaker.cost.bill import Line
from modelyard.services.sagemaker.cost.meters import Meter
from modelyard.services.sagemaker.cost.prices import OWN, BadPrices, Prices, load


@api.operation
def get_cost(call, request):
    now = call.now()
    start, end = request.get("StartTime", 0.0), min(request.get("EndTime", now), now)
    if end < start:
        raise validation("StartTime must be before EndTime.")
    prices, by = prices_of(call.platform), request.get("GroupBy", "resource")
    lines = lines_of(call.platform, call.account, prices, start, end, now, by_day=by == "day")
    found = bill.groups(lines, by)
    return {
        "StartTime": start,
        "EndTime": end,
        "TotalUSD": sum(group["TotalUSD"] for group in found),
        "SavedUSD": sum(group["SavedUSD"] for group in found),
        "Groups": found,
        "Unpriced": bill.unpriced(lines),
        "Prices": prices.told(),
    }


def prices_of(platform: Any) -> Prices:
    try:
        return load(platform.settings.data / OWN)
    except BadPrices as problem:
        raise validation(str(problem)) from None


def lines_of(platform: Any, account: str, prices: Prices, start: float, end: float, now: float, by_day: bool = False) -> list[Line]:
    """Everything of an account in [start, end)."""
    meters = platform.meters.of(account, start, end)
    regions = {meter.region for meter in meters}
    moved = traffic.of(platform, account, regions, start, end)
    found: list[Line] = []
    for meter in meters:
        spans = bill.days(max(start, meter.began), min(end, meter.ended or end)) if by_day else [(start, end)]
        for first, last in spans:
            found += bill.of_meter(meter, prices, first, last, now)
    for first, last in bill.days(start_of(meters, start), end) if by_day else [(start, end)]:
        found += bill.of_provisioned(meters, prices, first, last)
    sizes = {(m.region, m.name, m.facts.get("variant", "")): bill.memory_of(m) for m in meters if m.kind == "endpoint"}
    for row in moved:
        found += bill.of_traffic(row, sizes.get((row.region, row.endpoint, row.variant)), prices)
    return found


def start_of(meters: list[Meter], start: float) -> float:
    """Not before anything began: days are counted from it."""
    return max(start, min((meter.began for meter in meters if meter.began is not None), default=start))


def spent(platform: Any, account: str, start: float, now: float) -> float:
    return bill.total(lines_of(platform, account, prices_of(platform), start, now, now))


def begin_of(period: str, now: float, since: float) -> float:
    """When the span of a budget began: its UTC day or month, or when it was made."""
    if period == "DAY":
        return now - now % bill.DAY
    if period == "MONTH":
        return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return since
